"""The guard on a real GPU: our supervisor, queue and worker climb under a cap, then run it all.

``python -m tests.tools.gpu.climbing OUT.jsonl [--cap 16 ...]``. Like the page's process this one
never imports torch, so that its children are started as ever.
"""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.guard.verdict import Word
from engine.guard.verdicts import Refused
from engine.install import installed
from engine.jobs import Job, State
from engine.machine.facts import VRAM_LIMIT
from engine.request import ClipRequest, Size
from engine.worker.status import EngineState
from tests.tools.gpu import faults, pretend
from tests.tools.gpu.rows import GRID, LARGE, MODEL, OWN, PROMPT, SHORT, sizes, tell, told

LONGEST = sizes("720x1280x121", "544x960x121", "480x832x121")
DEEP = 7 if pretend.ON else 57  # the check, of a job's, at which CUDA breaks
PATIENCE = 300.0  # seconds for one job, the model's loading included


class Climb:
    """One engine at work; rows go to ``out``."""

    def __init__(self, out: Path, cap: float, engine: Engine) -> None:
        self.out, self.cap, self.engine = out, cap, engine

    def ready(self) -> None:
        """Wait until the worker has loaded; raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while self.engine.status().state is not EngineState.READY:
            if time.monotonic() > deadline:
                raise TimeoutError(self.engine.status().notice or "the worker isn't ready")
            time.sleep(0.05)

    def limit(self, cap: float) -> None:
        """Another card, as far as the guard can tell; a new fingerprint starts locked."""
        self.cap = cap
        os.environ[VRAM_LIMIT] = f"{cap:g}"
        child = self.engine.lane.supervisor._slot.worker
        if child is not None and child.ready:
            # What the worker replaced while it loaded was learnt about the other card.
            self.engine.plans.adopt_replacements(MODEL, child.sent, child.plan)

    def tell(self, kind: str, **facts: Any) -> None:
        tell(self.out, kind, cap=self.cap, **facts)

    def verdicts(self, when: str) -> dict[Size, Word]:
        guard = self.engine.guard
        asked = dict.fromkeys([*guard.offered(MODEL), *GRID, *LONGEST])
        found = guard.verdicts(MODEL, asked)
        offered = set(guard.offered(MODEL))
        self.tell(
            "verdicts",
            when=when,
            budget=guard.budget(MODEL),
            choices=self.engine.plans.values(MODEL),
            sizes=[[str(s), v.word.value, v.basis, v.peak, s in offered] for s, v in found.items()],
        )
        return {size: verdict.word for size, verdict in found.items()}

    def ended(self, job: Job) -> Job:
        deadline = time.monotonic() + PATIENCE
        while not (job := self.engine.jobs.get(job.id)).state.final:
            if time.monotonic() > deadline:
                self.engine.cancel(job.id)
                raise TimeoutError(f"job {job.id} took longer than {PATIENCE} s")
            time.sleep(0.05)
        return job

    def probe(self, size: Size, kind: str = "probe") -> str:
        """Measure ``size``, with the steps to it that the guard wants; returns the last outcome."""
        began = time.perf_counter()
        request = ClipRequest(PROMPT, size.height, size.width, size.frames, 0, MODEL)
        job = self.ended(self.engine.measure(request))
        outcome = ""
        for row in self.engine.guard.of_job(job.id):
            measured, outcome = row.measurement.size, row.measurement.outcome
            self.tell(
                kind,
                size=[measured.height, measured.width, measured.frames],
                tokens=measured.tokens,
                pixels=measured.pixels,
                outcome=outcome,
                peaks=dict(row.measurement.peaks),
                seconds=dict(row.seconds),
                target=str(size),
                choices=self.engine.plans.values(MODEL),
            )
        self.tell(
            "climbed",
            target=str(size),
            seconds=round(time.perf_counter() - began, 1),
            state=job.state.value,
            note=job.note,
            outcome=outcome,
        )
        return outcome

    def clip(self, size: Size, seed: int = 7) -> tuple[Job, dict[str, Any]]:
        request = ClipRequest(PROMPT, size.height, size.width, size.frames, seed, MODEL)
        job = self.ended(self.engine.submit(request))
        clip = self.engine.library.of_job(job.id)
        return job, clip.receipt if clip is not None else {}

    @property
    def pid(self) -> int | None:
        return self.engine.status().worker_pid


def under(out: Path, caps: Sequence[float], run: bool = True) -> None:
    """Climb under each of ``caps`` (GiB), one after the other, with one engine.

    Args:
        run: under the first of them also break the worker, then run all that the guard opens.
    """
    os.environ[VRAM_LIMIT] = f"{caps[0]:g}"
    ask = out.with_suffix(".fault")
    faults.install(ask)
    with open_engine() as engine:
        engine.recorder.start()
        engine.start(warm=MODEL)
        climb = Climb(out, caps[0], engine)
        with told(out, "the worker's load"):
            climb.verdicts("before anything was loaded")
            climb.ready()
        if run:
            with told(out, f"climb under {caps[0]:g} GiB"):
                climb.verdicts("fresh")
                climb.probe(OWN)
                climb.verdicts("after the baseline")
                climb.probe(LARGE)
                climb.verdicts(f"after {LARGE}")
            if not engine.presets.models[MODEL].begins_with_picture:
                with told(out, "a broken context"):
                    broken_context(climb, ask)
            with told(out, "every open size runs"):
                every_open_size(climb)
        for cap in caps[1 if run else 0 :]:
            with told(out, f"climb under {cap:g} GiB"):
                climb.limit(cap)
                climb.verdicts("fresh")
                explore(climb)


def every_open_size(climb: Climb) -> None:
    """Each size that is open runs under the cap; what is told in the end are those that didn't."""
    tried: set[Size] = set()
    failed: list[str] = []
    while fresh := [
        size
        for size, word in climb.verdicts("while running").items()
        if word is Word.OPEN and size not in tried
    ]:
        for size in sorted(fresh, key=lambda s: (s.tokens, s.pixels)):
            tried.add(size)
            if climb.probe(size, "open") not in ("ok", "over_budget"):
                failed.append(str(size))
    climb.verdicts("in the end")
    climb.tell("open_sizes", ran=len(tried) - len(failed), failed=failed)


def explore(climb: Climb) -> None:
    """Measure what is locked, the smallest first, until nothing is."""
    tried: set[Size] = set()
    while locked := [
        size
        for size, word in climb.verdicts("while climbing").items()
        if word is Word.LOCKED and size not in tried
    ]:
        size = max(locked, key=lambda s: (s.tokens, s.pixels))
        tried.add(size)
        climb.probe(size)
    climb.verdicts("in the end")


def broken_context(climb: Climb, ask: Path) -> None:
    """A clip, one in which CUDA breaks for good, and the first one again."""
    first, clean = climb.clip(SHORT)
    before = climb.pid
    ask.write_text(str(DEEP))
    began = time.perf_counter()
    try:
        broken, receipt = climb.clip(SHORT, seed=8)
    except Refused as error:
        climb.tell("broken_context", refused=str(error))
        return
    finally:
        ask.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - began, 1)
    notice = climb.engine.status().notice
    last, again = climb.clip(SHORT)
    climb.tell(
        "broken_context",
        first=first.state.value,
        state=broken.state.value,
        attempts=broken.attempts,
        note=broken.note,
        notice=notice,
        made=bool(receipt),
        seconds=seconds,
        other_worker=climb.pid != before,
        then=last.state.value,
        note_then=last.note,
        same=last.state is State.DONE and clean.get("frames_sha256") == again.get("frames_sha256"),
        receipt={k: clean.get(k) for k in ("stages", "peaks", "device", "versions", "plan")},
        row=asdict(last.request),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cap", type=float, nargs="+", default=[16.0], help="GiB")
    parser.add_argument("--only-climb", action="store_true", help="run nothing that is open")
    options = parser.parse_args()
    # This machine's packages lie beside Python's own, without the diffusers that set-up brings.
    installed.engine_here = lambda: True
    under(options.out, options.cap, not options.only_climb)


if __name__ == "__main__":
    main()
