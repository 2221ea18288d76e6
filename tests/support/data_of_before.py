"""Opens a data folder as the program on a certain computer would, and tells what must last of it.

tests/fixtures keeps folders that released versions wrote, each with an ``expected.json`` of what
that version told of it. tests/tools/make_data_folder.py wrote both; test_data_of_before.py has the
present program tell the same. Both ask here.

The computers are written out once more, and not taken from tests/support/machines.py: they stand
in the fingerprints of those folders, so nothing about them can ever change.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.engine import Engine
from engine.guard.verdict import Verdict, Word
from engine.home import PROJECT, Home
from engine.jobs import Jobs
from engine.library.library import Query
from engine.machine.facts import Machine, gpu_facts
from engine.machine.memory import HostSample, MemorySample, Meter
from engine.machine.nvml import GpuSample, Holder
from engine.measurements import MeasurementRow
from engine.pipelines.cuda import CudaMeter
from engine.pipelines.lightx2v.kernels import Trials, settle_kernels, settle_modulation
from engine.pipelines.lightx2v.pipeline import LightX2V
from engine.plan.choice import Plan, PlanError
from engine.plan.make import make_plan
from engine.presets import load_presets
from engine.prompts.enhancer import Enhancer
from engine.store import Store
from engine.text import JOINED, Said, as_text
from engine.weights.linked_folders import linked
from engine.weights.manifest import Manifest
from engine.weights.progress import DownloadProgress
from engine.weights.state import look
from tests.conftest import wait_until

FIXTURES = PROJECT / "tests" / "fixtures"
TINY, LARGE = "wan-tiny", "wan2.1-t2v-14b-fp8"
MODELS = (TINY, LARGE)
FOLDER = "{FOLDER}"  # stands in the folder for the place where it lies
OTHERS = 3 * 2**30  # bytes of RAM that other programs hold on each computer
MIB = 2**20


@dataclass(frozen=True)
class Computer:
    """What a fingerprint is made of, and the memory as it is."""

    machine: Machine
    gpu: GpuSample | None = None


OFFICE = Computer(
    Machine(
        system="Linux 6.8.0",
        processor="12th Gen Intel(R) Core(TM) i5-1240P",
        cores=4,
        ram=16_552_148_992,
        python="3.12.3",
        architecture="x86_64",
        packages={"torch": "2.13.0+cpu", "diffusers": "0.42.1", "transformers": "5.1.0"},
    )
)
WORKSHOP = Computer(
    Machine(
        system="Linux 6.8.0",
        processor="AMD Ryzen 7 7700 8-Core Processor",
        cores=8,
        ram=33_966_145_536,
        python="3.12.3",
        architecture="x86_64",
        packages={
            "torch": "2.11.0+cu130",
            "lightx2v": "0.1.0",
            "sageattention": "2.2.0",
            "sgl-kernel": "0.4.4",
            "triton": "3.6.0",
            "diffusers": "0.42.1",
            "transformers": "5.1.0",
        },
    ),
    GpuSample(
        index=0,
        uuid="GPU-4060f11e-0000-4000-8000-000000000000",
        name="NVIDIA GeForce RTX 4060 Ti",
        total=16_380 * MIB,
        used=600 * MIB,
        free=15_780 * MIB,
        utilisation=3,
        temperature=41,
        power=32.5,
        power_limit=165.0,
        pcie_width=8,
        pcie_width_max=8,
        driver="581.57",
        capability=(8, 9),
        display=True,
        holders=(Holder(1201, "Xorg", 380 * MIB), Holder(2207, "firefox", 120 * MIB)),
        cores=4_352,
    ),
)
# The same with another driver and PyTorch: nothing that was measured or learnt counts there.
UPDATED = Computer(
    replace(WORKSHOP.machine, packages={**WORKSHOP.machine.packages, "torch": "2.12.0+cu130"}),
    WORKSHOP.gpu and replace(WORKSHOP.gpu, driver="590.01"),
)
COMPUTERS = {"office": OFFICE, "workshop": WORKSHOP, "updated workshop": UPDATED}


class _Reads(Meter):
    """The computer's memory; the worker's share is never counted."""

    def __init__(self, computer: Computer) -> None:
        super().__init__()
        self._computer = computer

    def sample(self, worker_pid: int | None) -> MemorySample:
        ram, gpu = self._computer.machine.ram, self._computer.gpu
        host = HostSample(ram, ram - OTHERS, 0, 0, 0, None, None)
        return MemorySample(time.monotonic(), host, gpu, "ok" if gpu else "none", "")


def pretend(patch: pytest.MonkeyPatch, computer: Computer) -> None:
    """Be ``computer``: with its processor, RAM and packages, whatever this runs on.

    Here is all that depends on where the program keeps the functions that look at the machine.
    """
    machine = computer.machine
    for place in (
        "engine.machine.facts",
        "engine.guard.guard",
        "engine.pipelines.lightx2v.pipeline",
    ):
        patch.setattr(f"{place}.this_machine", lambda: machine)
    patch.setattr("engine.guard.guard.package_version", machine.packages.get)
    for name in ("HEADROOM_VRAM_LIMIT_GIB", "HEADROOM_PRESETS"):
        patch.delenv(name, raising=False)


@contextmanager
def opened(home: Path, computer: Computer) -> Iterator[Engine]:
    """The engine on the data folder ``home``, not started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADROOM_HOME", str(home))
        pretend(patch, computer)
        place = Home.find()
        store = Store(place.database)
        engine = Engine(place, load_presets(), Jobs(store), _Reads(computer))
        try:
            yield engine
        finally:
            engine.close()
            store.close()


def unpack(fixture: Path, target: Path) -> Path:
    """Copy a kept folder as if it had been made at ``target``; returns its HEADROOM_HOME."""
    shutil.copytree(fixture, target)
    target = target.resolve()  # as Home does with its own
    for file in target.rglob("linked.json"):
        folders = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps([_there(name, target) for name in folders]), encoding="utf-8")
    for file in target.rglob("manifest.json"):
        kept = json.loads(file.read_text(encoding="utf-8"))
        for check in kept["checks"].values():
            check["place"] = _there(check["place"], target)
            # What was hashed counts as long as the file has its time, which git doesn't keep.
            os.utime(check["place"], ns=(check["mtime_ns"], check["mtime_ns"]))
        file.write_text(json.dumps(kept), encoding="utf-8")
    return target / "home"


def _there(kept: str, target: Path) -> str:
    return str(Path(kept.replace(FOLDER, str(target))))


# ---- what must last ------------------------------------------------------------------------


def told_of_folder(engine: Engine) -> dict[str, Any]:
    """The same on every computer; as JSON gives it back."""
    return _plain(
        {
            **told_of_queue(engine),
            "clips": _clips(engine, Query()),
            "trash": _clips(engine, Query(trash=True)),
            "missing": _missing(engine),
            "kinds": engine.library.kinds(),
            "settings": {
                row["name"]: json.loads(row["value"])
                for row in engine.jobs.store.rows("select * from settings order by name")
            },
            "enhancer": _enhancer(engine),
            "weights": _weights(engine),
        }
    )


def told_of_queue(engine: Engine) -> dict[str, Any]:
    names = (
        "id",
        "created",
        "started",
        "ended",
        "state",
        "seed",
        "attempts",
        "cancel_requested",
        "note",
        "remedy",
        "kind",
        "embed",
        "visitor",
        "visitor_name",
    )
    jobs = engine.jobs.recent()
    told = [
        {**{name: getattr(job, name) for name in names}, "request": job.request.to_json()}
        for job in jobs
    ]
    return _plain({"jobs": told, "waiting": [job.id for job in engine.jobs.waiting()]})


def told_of_computer(engine: Engine) -> dict[str, Any]:
    """What depends on the machine, by model; as JSON gives it back."""
    return _plain({model: _told_of_model(engine, model) for model in MODELS})


def _told_of_model(engine: Engine, model: str) -> dict[str, Any]:
    guard, plans = engine.lane.guard, engine.plans
    sizes = guard.offered(model)
    lasts = guard.durations(model, sizes)
    try:
        plan = {name: [choice.value, choice.by] for name, choice in plans.plan(model).items()}
    except PlanError:
        plan = {}
    return {
        "fingerprint": guard.fingerprint(model),
        "plan": plan,
        "overrides": plans.overrides(model),
        "measurements": [_measurement(row) for row in guard.rows(model)],
        "verdicts": {
            str(size): {
                "word": verdict.word.value,
                "reason": _ids(verdict.reason),
                "remedy": _ids(verdict.remedy),
                "basis": verdict.basis,
                "peak": verdict.peak,
                "hedge": _hedge_of_before(verdict),
                "budget": verdict.budget,
            }
            for size, verdict in guard.verdicts(model, sizes).items()
        },
        "durations": {
            str(size): [round(found.seconds, 2), found.basis] if found else None
            for size, found in lasts.items()
        },
    }


def _ids(said: Said) -> str:
    """Of its sentences: their words may change from one version to the next, their ids don't."""
    text = as_text(said)
    if text.id == JOINED:
        return " ".join(map(_ids, text.values["parts"]))
    return text.id if text else ""


def _hedge_of_before(verdict: Verdict) -> str:
    """As 0.1.0 had it: in words, none for a measurement of the very size, and no other than "about"
    of what was neither open nor locked."""
    if verdict.word in (Word.BUSY, Word.IMPOSSIBLE):
        return "about"
    return "up to" if verdict.hedge == "exact" else verdict.hedge.replace("_", " ")


def _measurement(row: MeasurementRow) -> dict[str, Any]:
    return {
        "size": str(row.measurement.size),
        "outcome": row.measurement.outcome,
        "peaks": row.measurement.peaks,
        "kind": row.kind,
        "created": row.created,
        "seconds": row.seconds,
        "budget": row.budget,
        "runs": row.runs,
    }


def _clips(engine: Engine, query: Query) -> list[dict[str, Any]]:
    return [
        {
            "id": clip.id,
            "job": clip.job,
            "created": clip.created,
            "file": clip.file,
            "favourite": clip.favourite,
            "trashed": clip.trashed,
            "request": clip.request.to_json(),
            "seed": clip.receipt["seed"],
            "receipt": clip.receipt,
            "there": engine.library.lies_here(clip),
        }
        for clip in engine.library.page(query).clips
    ]


def _missing(engine: Engine) -> list[str]:
    """Clips whose files somebody took away; they come back to their rows."""
    rows = engine.jobs.store.rows("select id from clips where missing = 1 order by id")
    found = [engine.library.get(row["id"]) for row in rows]
    return [clip.file for clip in found if clip is not None]


def _enhancer(engine: Engine) -> dict[str, Any] | None:
    endpoint = Enhancer(engine.settings, engine.home.database).endpoint
    return asdict(endpoint) if endpoint else None


def _weights(engine: Engine) -> dict[str, Any]:
    """Of the large model: what is here, what was begun, and what was verified."""
    folder, preset = engine.home.weights / LARGE, engine.presets.models[LARGE]
    seen, manifest, tally = (
        look(folder, preset),
        Manifest.load(folder),
        DownloadProgress.load(folder),
    )
    top = engine.home.root.parent

    def short(place: Path) -> str:
        return f"{FOLDER}/{place.relative_to(top).as_posix()}"

    return {
        "state": seen.state,
        "parts": [
            {
                "role": part.role,
                "source": f"{part.repo}/{part.path}",
                "present": part.present,
                "total": part.total,
                "place": part.place and short(part.place),
                "state": part.state,
            }
            for part in seen.parts
        ],
        "linked": [short(place) for place in linked(folder)],
        "gone": [short(place) for place in seen.gone],
        "promises": [asdict(promise) for promise in manifest.promises.values()],
        "verified": {
            path: manifest.verdict(path, Path(check.place))
            for path, check in manifest.checks.items()
        },
        "tally": tally and [tally.phase, tally.what, tally.done, tally.total, str(tally.told)],
    }


def settled_by_kernels(home: Path, patch: pytest.MonkeyPatch) -> Plan:
    """What runs of the automatic plan on the workshop's card once its kernels were tried, which is
    kept in the folder. What a trial answers is up to the caller."""
    pretend(patch, WORKSHOP)
    preset, gpu = load_presets().models[LARGE], with_gpu(WORKSHOP).gpu
    assert gpu is not None
    assert gpu.capability is not None
    assert preset.architecture is not None
    major, minor = gpu.capability
    card = SimpleNamespace(name=gpu.name, major=major, minor=minor)
    patch.setattr("torch.cuda.get_device_properties", lambda _: card)
    pipeline, meter = LightX2V(preset), object.__new__(CudaMeter)  # no card is here to open
    meter.driver = gpu.driver
    pipeline.meter = meter
    trials = Trials(home / "cache" / "kernels.json", pipeline._facts())
    plan = make_plan(with_gpu(WORKSHOP), preset)
    settled = settle_kernels(plan, preset.architecture, "cuda", trials)
    return settle_modulation(settled, preset.architecture, "cuda", trials)


def with_gpu(computer: Computer) -> Machine:
    gpu = computer.gpu
    return replace(computer.machine, gpu=gpu_facts(gpu) if gpu else None)


# ---- what an earlier process left behind ------------------------------------------------------


def recovered(engine: Engine) -> None:
    """Start the engine as after a power cut, and let it work on nothing."""
    engine.start(only=0)  # no job has this number
    wait_until(lambda: engine.jobs.running() is None, "the recovery")
    left = engine.home.clips.glob
    wait_until(lambda: not list(left(".partial-*")), "the end of what was half made")


def states(engine: Engine) -> dict[str, list[Any]]:
    """State, attempts and note by the job's number; as JSON gives it back."""
    jobs = engine.jobs.recent()
    return _plain({str(job.id): [job.state, job.attempts, job.note] for job in jobs})


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(told, default=str)))  # texts in English
