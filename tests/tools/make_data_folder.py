"""Makes the data folder of this version, which every later one must still be able to use.

``python -m tests.tools.make_data_folder``: whatever comes later, people keep their clips, queue,
measurements and choices. A fingerprint that reads differently would lock every size on every
machine again, and no test that writes its own data sees that. So before a change that touches what
is kept, the version that people have makes a folder, with its own code and its real model, and
tells what it sees in it. It goes to tests/fixtures/data-of-VERSION, and test_data_of_before.py
opens it. One that is there is never made again: later code would write it in its own way.

It takes a minute. Peaks and seconds of the tiny model are this computer's, all else is
written down here.
"""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import VERSION
from engine.doctor.gpu import kept_trials
from engine.engine import Engine
from engine.jobs import Job, State
from engine.library.mp4 import read_frames, write_clip, write_poster
from engine.measurements import Outcome
from engine.pipelines.lightx2v import kernels
from engine.pipelines.lightx2v.kernels import FATAL
from engine.plan.choice import Plan, values
from engine.presets import Role
from engine.prompts.enhancer import Enhancer
from engine.request import ClipRequest, Kind, Size
from engine.text import plain
from engine.units import GIB
from engine.weights.linked_folders import link
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.progress import DownloadProgress
from engine.worker.messages import Failed
from engine.worker.outcomes import Outcomes
from tests.conftest import finish
from tests.support.data_of_before import (
    COMPUTERS,
    FIXTURES,
    FOLDER,
    LARGE,
    OFFICE,
    TINY,
    WORKSHOP,
    opened,
    recovered,
    settled_by_kernels,
    states,
    told_of_computer,
    told_of_folder,
    told_of_queue,
    unpack,
    with_gpu,
)

MOST_BYTES = 400_000
HASHED_NS = 1_760_000_000 * 10**9  # when the weights were hashed: a time that every drive can keep
LARGE_SIZE = Size(480, 832, 81)


def asked(engine: Engine, prompt: str, size: Size, seed: int, model: str) -> ClipRequest:
    shape = {"height": size.height, "width": size.width, "frames": size.frames}
    raw = {"prompt": prompt, "seed": seed, "model": model, **shape}
    return ClipRequest.check(raw, engine.presets)


# ---- the office's: the tiny model, for real --------------------------------------------------


def in_the_office(engine: Engine) -> None:
    """Clips and probes that were really made."""

    def make(prompt: str, size: Size, seed: int, embed: bool = True) -> Job:
        request = asked(engine, prompt, size, seed, TINY)
        job = finish(engine, engine.submit(request, embed), 120)
        assert job.state is State.DONE, job.note
        return job

    def number(job: Job) -> int:
        clip = engine.library.of_job(job.id)
        assert clip is not None
        return clip.id

    engine.start(warm=TINY)
    red = make("a red ball moves left", Size(64, 64, 9), 7)
    # Its file's name holds the prompt's first 40 characters, which every archive can keep.
    green = make(
        "a green cube turns round and round, beside it: ein grüner Würfel, 绿色方块",
        Size(64, 112, 5),
        2**32 - 1,
    )
    star = make("a blue star moves up\nover white", Size(112, 64, 9), 41, embed=False)
    gone = make("a yellow square moves right", Size(64, 64, 5), 0)
    target = asked(engine, "probe", Size(256, 256, 17), 1, TINY)
    probe = finish(engine, engine.measure(target), 300)
    assert engine.guard.verdict(TINY, target.size).open, probe.note
    engine.library.favourite(number(star), True)
    engine.library.trash(number(green))
    clips = engine.home.clips
    red_clip, gone_clip = engine.library.of_job(red.id), engine.library.of_job(gone.id)
    assert red_clip is not None
    assert gone_clip is not None
    shutil.copy(clips / red_clip.file, clips / "from a friend.mp4")
    (clips / gone_clip.file).unlink()
    (clips / gone_clip.file).with_suffix(".jpg").unlink(missing_ok=True)
    time.sleep(3.5)  # a younger file might still be on its way in
    assert engine.folder_sync.scan().added == 1
    jobs, size = engine.jobs, Size(192, 192, 33)
    record(engine, TINY, probe.id, "probe", size, "failed", {})
    record(engine, TINY, probe.id, "probe", size, "over_budget", {"decode": 0.8 * GIB})
    record(engine, TINY, probe.id, "probe", Size(224, 128, 33), "out_of_memory", {})
    job = jobs.add(asked(engine, "a clip that fails", size, 5, TINY))
    jobs.claim(job.id)
    jobs.end(job.id, State.FAILED, "The pipeline failed with ValueError: no.", "Generate again.")
    engine.settings.set("embed_receipts", False)
    Enhancer(engine.settings, engine.home.database).set(
        "http://127.0.0.1:11434/v1", "qwen3:8b", "made-up", 90
    )


# ---- the workshop's: the large model, whose runs are written ---------------------------------


def record(
    engine: Engine,
    model: str,
    job: int,
    kind: Kind,
    size: Size,
    outcome: Outcome,
    peaks: Mapping[str, float],
    plan: Plan | None = None,
) -> None:
    counted = {stage: round(peak) for stage, peak in peaks.items()}
    seconds = {"encode": 0.4, "denoise": size.tokens / 2000, "decode": size.pixels / 90_000}
    seconds = {name: round(value, 4) for name, value in seconds.items()} if peaks else {}
    engine.lane.guard.record(job, kind, model, size, outcome, counted, seconds, plan)


def peaks_of(gib: float) -> dict[str, float]:
    return {"encode": 6.9 * GIB, "denoise": gib * GIB, "decode": (gib - 0.8) * GIB}


def in_the_workshop(engine: Engine) -> None:
    """Kernels that were tried, a plan that was learnt, one that was chosen, and runs of each."""
    jobs, plans = engine.jobs, engine.plans
    for size, gib in ((Size(128, 128, 17), 0.52), (Size(256, 256, 33), 0.9)):
        probe = jobs.add(asked(engine, "probe", size, 3, TINY), "probe")
        record(engine, TINY, probe.id, "probe", size, "ok", {"decode": gib * GIB})
        jobs.claim(probe.id)
        jobs.end(probe.id, State.DONE, f"Measured {size}.")

    sent = plans.plan(LARGE)
    with pytest.MonkeyPatch.context() as patch:
        answers = {"fp8-sgl": FATAL, "fp8-triton": 0.99961, "sage_attn2": 0.99934}
        patch.setattr(kernels, "try_matmul", lambda kernel, *_: answers[kernel])
        patch.setattr(kernels, "try_attention", lambda kernel, *_: answers[kernel])
        patch.setattr(kernels, "attention_speed", lambda *_: 0.81)
        patch.setattr(kernels, "try_modulation", lambda _: 0.99998)
        runs = settled_by_kernels(engine.home.root, patch)
    plans.adopt_replacements(LARGE, sent, runs)

    # As the kernels settled it.
    first = jobs.add(asked(engine, "waves at dusk", LARGE_SIZE, 11, LARGE))
    for size, gib in ((Size(480, 832, 17), 7.1), (LARGE_SIZE, 7.7), (Size(544, 960, 81), 9.0)):
        record(engine, LARGE, first.id, "probe", size, "ok", peaks_of(gib))
    jobs.claim(first.id)
    jobs.cancel(first.id)
    jobs.end(first.id, State.CANCELLED, "Cancelled.")

    # Out of memory while decoding: the next try is in tiles, and something else breaks it.
    results = Outcomes(engine.home, jobs, engine.lane.guard, plans, engine.recorder)
    large = Size(720, 1280, 81)
    second = jobs.add(asked(engine, "a city in the rain", large, 12, LARGE))
    for fault in (
        Failed(
            second.id,
            "out_of_memory",
            plain("The GPU is full."),
            plain("Close others."),
            "decode",
            "VRAM",
        ),
        Failed(second.id, "error", plain("The pipeline failed."), plain("Report it."), "denoise"),
    ):
        claimed = jobs.claim(second.id)
        assert claimed is not None
        results.keep_failure(claimed, large, fault, plans.plan(LARGE))
    assert plans.plan(LARGE)["decode"].value == "tiled"
    record(engine, LARGE, second.id, "probe", LARGE_SIZE, "ok", peaks_of(7.5))
    record(engine, LARGE, second.id, "probe", large, "over_budget", peaks_of(14.6))

    # As the user chose. The first run is an outlier of long ago: only the newest few count.
    plans.override(LARGE, "rope_chunk", "2048")
    third = jobs.add(asked(engine, "a market", LARGE_SIZE, 13, LARGE))
    for gib in (13.5, 7.4, 7.3, 7.4, 7.2, 7.4, 7.3):
        record(engine, LARGE, third.id, "clip", LARGE_SIZE, "ok", peaks_of(gib))
    for size, outcome, gib in (
        (Size(624, 624, 81), "ok", 7.2),
        (Size(544, 960, 81), "ok", 14.3),
        (Size(720, 1280, 17), "failed", 0),
        (Size(720, 1280, 33), "over_budget", 14.7),
        (Size(1280, 720, 81), "out_of_memory", 0),
    ):
        peaks = peaks_of(gib) if gib else {}
        record(engine, LARGE, third.id, "probe", size, outcome, peaks)  # type: ignore[arg-type]
    jobs.claim(third.id)
    jobs.end(third.id, State.DONE, "Measured.")


# ---- as it was left ------------------------------------------------------------------------


def queue(engine: Engine) -> None:
    """Jobs that wait, and two that a power cut ended: one at work, one whose clip was whole."""
    jobs = engine.jobs
    small, other = Size(64, 64, 9), Size(64, 112, 5)
    waiting = [
        jobs.add(asked(engine, prompt, size, seed, model))
        for prompt, size, seed, model in (
            ("a red star moves down", small, 101, TINY),
            ("a green ball, 球", other, 102, TINY),
            ("a harbour in fog", LARGE_SIZE, 103, LARGE),
        )
    ]
    jobs.move(waiting[2].id, "first")
    jobs.add(asked(engine, "probe", Size(320, 320, 17), 104, TINY), "probe")
    jobs.add_all([asked(engine, "of a visitor", small, 105, TINY)], visitor=("v-5f2c", "Ann"))
    cancelled = jobs.add(asked(engine, "nothing", small, 106, TINY))
    jobs.cancel(cancelled.id)
    at_work = jobs.add(asked(engine, "a square, cut short", small, 107, TINY))
    whole = jobs.add(asked(engine, "a ball, whole already", small, 108, TINY))
    jobs.claim(at_work.id)
    jobs.claim(whole.id)
    made = next(clip for clip in engine.library.newest() if clip.request.size == small)
    request = whole.request.to_json()
    receipt = {**made.receipt, "request": request, "seed": whole.seed}
    frames = np.flip(read_frames(engine.library.place(made)), axis=2)
    partial = engine.home.clips / f".partial-{whole.id}.mp4"
    write_clip(partial, np.ascontiguousarray(frames), 16, lambda: receipt)
    write_poster(partial.with_suffix(".jpg"), frames, 160)
    jobs.made(whole.id, f"{whole.id:05d}-a-ball-whole-already-seed108.mp4", receipt)


def fetch(engine: Engine, elsewhere: Path) -> None:
    """Some of the weights: one part verified, one linked, one begun, one not asked for."""
    folder = engine.home.weights / LARGE
    manifest = Manifest(folder)
    begun = promise("transformer", "lightx2v/Wan2.1-Distill-Models", 14_990_000_000, "ab")
    vae = promise("vae", "Wan-AI/Wan2.1-T2V-14B", 4, "cd", "Wan2.1_VAE.pth")
    words = promise("tokenizer", "lightx2v/Encoders", 2, "ef", "google/umt5-xxl/tokenizer.json")
    there = {
        words.path: (folder / words.path, b"{}"),
        vae.path: (elsewhere / vae.path, b"PK\x03\x04"),
        "": (folder / OURS / begun.part_name, bytes(1000)),
    }
    for place, data in there.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        os.utime(place, ns=(HASHED_NS, HASHED_NS))
    for one in (begun, vae, words):
        manifest.promise(one.role, [one])
    for one in (vae, words):
        manifest.note(one.path, there[one.path][0], good=True)
    manifest.save()
    link(folder, [elsewhere, elsewhere.parent / "a drive that is unplugged"])
    total = begun.bytes + vae.bytes + words.bytes
    DownloadProgress("paused", done=1006, total=total, told=plain("You paused it.")).save(folder)


def promise(role: Role, repo: str, size: int, digit: str, path: str = "") -> Promise:
    path = path or "wan2.1_t2v_14b_scaled_fp8_e4m3_lightx2v_4step.safetensors"
    within = Path(path).name if role == "tokenizer" else ""
    return Promise(role, repo, "1f" * 20, path, within, size, digit * 32, "")


def without_places(target: Path) -> None:
    """The folder could lie anywhere."""
    for file in (*target.rglob("linked.json"), *target.rglob("manifest.json")):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(str(target), FOLDER), encoding="utf-8")


def tidy(home: Path) -> None:
    """Keep what a user would miss."""
    shutil.rmtree(home / "logs")
    for file in ("engine.lock", "cache/not-taken-in.json"):
        (home / file).unlink(missing_ok=True)
    database = sqlite3.connect(home / "headroom.sqlite3", isolation_level=None)
    database.execute("vacuum")
    database.execute("pragma wal_checkpoint(truncate)")
    database.close()


def expected(fixture: Path) -> dict[str, Any]:
    """What this version tells of the folder, each time of a fresh copy."""
    told: dict[str, Any] = {"version": VERSION, "computers": {}}
    with tempfile.TemporaryDirectory() as name:

        def copy(number: int) -> Path:
            return unpack(fixture, Path(name) / str(number))

        for number, (called, computer) in enumerate(COMPUTERS.items()):
            with opened(copy(number), computer) as engine:
                told["computers"][called] = told_of_computer(engine)
        with opened(copy(10), WORKSHOP) as engine:
            told["folder"] = told_of_folder(engine)
            engine.plans.reset(LARGE, "rope_chunk")
            told["without the user's choice"] = told_of_computer(engine)
        with opened(copy(11), OFFICE) as engine:
            recovered(engine)
            told["recovered"] = told_of_queue(engine)
            del told["recovered"]["jobs"]  # the times of their ends are of now
            told["recovered"]["states"] = states(engine)
            told["recovered"]["clips"] = [clip.file for clip in engine.library.newest()]
        home = copy(12)
        with pytest.MonkeyPatch.context() as patch:
            told["kernels"] = {
                "runs": dict(values(settled_by_kernels(home, patch))),
                "kept": kept_trials(with_gpu(WORKSHOP), home / "cache" / "kernels.json"),
            }
    return told


def main() -> None:
    fixture = FIXTURES / f"data-of-{VERSION}"
    if fixture.exists():
        sys.exit(f"{fixture} is there: what a version wrote is never written again.")
    with tempfile.TemporaryDirectory() as name:
        target = Path(name).resolve() / "made"
        home = target / "home"
        with opened(home, OFFICE) as engine:
            in_the_office(engine)
        with opened(home, WORKSHOP) as engine:
            in_the_workshop(engine)
            fetch(engine, target / "weights of another program")
            queue(engine)
        tidy(home)
        without_places(target)
        size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
        if size > MOST_BYTES:
            sys.exit(f"It has {size:,} bytes, and {MOST_BYTES:,} are enough.")
        told = expected(target)
        shutil.copytree(target, fixture)
    text = json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True)
    (fixture / "expected.json").write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(f"{fixture}: {size:,} bytes\n")


if __name__ == "__main__":
    main()
