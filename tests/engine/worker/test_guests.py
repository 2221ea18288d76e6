"""What changes clips on the GPU: beside the model that a worker has loaded, or in its place."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs
from engine.library.library import Clip
from engine.library.mp4 import read_frames
from engine.library.versions import OWN, Asked, original_of
from engine.machine.memory import Holder
from engine.presets import Presets
from tests.conftest import Ask, wait_until
from tests.engine.worker.test_changing import made
from tests.support.machines import GIB
from tests.support.two_cards import SMALL, Machine, install, on_cards

pytestmark = pytest.mark.starts


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    install(machine, monkeypatch, SMALL)
    return machine


@pytest.fixture
def carded(presets: Presets, jobs: Jobs, machine: Machine) -> Iterator[Engine]:
    """With a way to make clips smoother that is planned, judged and placed as one for GPUs."""
    on_gpu = on_cards(presets)
    memory = presets.models["smooth"].memory.model_copy(update={"baseline_peak_gib": 2.0})
    moved = {"id": "smooth-gpu", "runs_on": "nvidia", "memory": memory}
    guest = presets.models["smooth"].model_copy(update=moved)
    enlarge = presets.models["enlarge"]
    named = {"id": "enlarge-gpu", "task": "enlarge", "limits": enlarge.limits, "memory": memory}
    loaded = on_gpu.models["scripted"].model_copy(update=named)
    models = {**on_gpu.models, guest.id: guest, loaded.id: loaded}
    made = Engine(Home.find(), replace(on_gpu, models=models), jobs)
    yield made
    made.close()


def smooth(engine: Engine, clip: Clip) -> Job:
    found = original_of(engine.library, clip)
    return engine.submit(Asked(24).request(found, engine.changers(), OWN))


def test_what_enlarges_by_a_network_is_loaded_for_it_and_measured(
    carded: Engine, machine: Machine, ask: Ask
) -> None:
    carded.start(warm="scripted")
    clip = made(carded, carded.submit(ask()))
    assert carded.status().model == "scripted"
    found = original_of(carded.library, clip)
    both = Asked(fps=24, scale=2).request(found, carded.changers(), OWN)
    larger = made(carded, carded.submit(both))
    assert carded.status().model == larger.request.model == "enlarge-gpu"
    assert (larger.request.height, larger.request.width) == (64, 96)
    assert (larger.frames, larger.fps) == (both.frames, 24)
    assert list(larger.receipt["enlarged"]) == ["decode"]
    assert "between" not in larger.receipt, "there are none"
    assert set(larger.receipt["stages"]) == {"load", "enlarge", "save"}
    (row,) = carded.guard.rows("enlarge-gpu")
    assert set(row.measurement.peaks) == {"enlarge"}
    frames = read_frames(carded.library.place(larger))
    assert frames.shape == (both.frames, 64, 96, 3)
    smoother = made(carded, smooth(carded, clip))
    assert smoother.request.model == "smooth-gpu"
    assert carded.status().model == "enlarge-gpu", "it works beside that, too"
    machine.used[SMALL.uuid] = SMALL.total - 1 * GIB
    assert carded.changers().enlarger.id == "enlarge", "without room it is Lanczos on the processor"


def test_it_works_beside_what_is_loaded_where_there_is_room(
    carded: Engine, machine: Machine, ask: Ask
) -> None:
    carded.start(warm="scripted")
    clip = made(carded, carded.submit(ask()))
    loaded = carded.status().worker_pid
    version = made(carded, smooth(carded, clip))
    assert version.request.model == "smooth-gpu"
    assert carded.status().worker_pid == loaded, "nothing was unloaded for it"
    assert not carded.guard.rows("smooth-gpu")
    machine.used[SMALL.uuid] = SMALL.total - 1 * GIB
    assert carded.changers().smoother.id == "smooth", "it has no room now, the processor has"


def test_without_room_beside_a_model_it_takes_the_place_of_that(
    carded: Engine, machine: Machine, ask: Ask
) -> None:
    carded.start()
    clip = made(carded, carded.submit(ask()))
    loaded, held = carded.status().worker_pid, SMALL.total - 1 * GIB
    assert loaded is not None
    machine.used[SMALL.uuid] = held
    machine.holders[SMALL.uuid] = (Holder(loaded, "python", held),)
    job = smooth(carded, clip)
    wait_until(lambda: carded.status().worker_pid != loaded, "the end of what held it")
    machine.used.clear()
    assert made(carded, job).request.model == "smooth-gpu"
    assert carded.status().worker_pid != loaded
    assert carded.status().model == "smooth-gpu"
    made(carded, smooth(carded, clip))
    assert carded.status().model == "smooth-gpu", "and stays until another is asked for"
