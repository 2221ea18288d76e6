"""What changes clips on the GPU, beside the model that a worker has loaded."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs
from engine.library.library import Clip
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
    models = {**on_gpu.models, guest.id: guest}
    made = Engine(Home.find(), replace(on_gpu, models=models), jobs)
    yield made
    made.close()


def smoother(engine: Engine, clip: Clip) -> Job:
    found = original_of(engine.library, clip)
    return engine.submit(Asked(24).request(found, engine.changers(), OWN))


def test_it_works_beside_what_is_loaded_where_there_is_room(
    carded: Engine, machine: Machine, ask: Ask
) -> None:
    carded.start(warm="scripted")
    clip = made(carded, carded.submit(ask()))
    loaded = carded.status().worker_pid
    version = made(carded, smoother(carded, clip))
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
    job = smoother(carded, clip)
    wait_until(lambda: carded.status().worker_pid != loaded, "the end of what held it")
    machine.used.clear()
    assert made(carded, job).request.model == "smooth-gpu"
    assert carded.status().worker_pid != loaded
    assert carded.status().model == "smooth-gpu"
    made(carded, smoother(carded, clip))
    assert carded.status().model == "smooth-gpu", "and stays until another is asked for"
