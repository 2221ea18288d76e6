"""A queue that another machine works on, the two in one process: what each end does of itself. How
calls travel for real is in tests/system/test_cluster.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.jobs import State
from engine.joined.machines import Machines
from engine.joined.station import Station
from tests.conftest import Ask, finish, wait_until
from tests.support.joined import Line, engine_in, machines_of, station_in

pytestmark = pytest.mark.starts


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Engine]:
    with engine_in(tmp_path / "head") as engine:
        yield engine


@pytest.fixture
def machines(head: Engine) -> Iterator[Machines]:
    with machines_of(head) as made:
        yield made


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with station_in(tmp_path / "station") as made:
        yield made


@pytest.fixture
def line(machines: Machines, station: Station) -> Line:
    made = Line(station)
    machines.met(made)
    return made


def test_a_clip_is_made_there_and_comes_home(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    (machine,) = machines.all
    (lane,) = machine.lanes
    assert lane.suits("scripted")
    head.start()
    job = head.submit(ask("far away", seed=7), lane=lane.name)
    here = head.submit(ask("far away", seed=7), lane="local")
    finish(head, here)
    done = finish(head, job)
    assert (done.state, str(done.note)) == (State.DONE, "")
    assert done.lane == lane.name
    clip, local = head.library.of_job(job.id), head.library.of_job(here.id)
    assert clip is not None
    assert local is not None
    assert clip.receipt["machine"] == machine.name
    assert "machine" not in local.receipt
    assert clip.receipt["frames_sha256"] == local.receipt["frames_sha256"]
    assert head.library.place(clip).is_file()
    assert head.posters.of(clip)
    engine = line.station._engine
    wait_until(lambda: not list(engine.home.errands.glob("*")), "the station to forget it")
    assert engine.library.newest() == []
    assert [row.request.prompt for row in engine.jobs.recent()] == [""]
    rows = engine.lane.guard.rows("scripted")
    assert [row.measurement.outcome for row in rows] == ["ok"], "it counts where it ran"
    assert len(head.lane.guard.rows("scripted")) == 1
