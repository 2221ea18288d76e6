"""Lines that are cut, machines that come and go, and what becomes of their jobs."""

import contextlib
import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.engine import Engine
from engine.jobs import State
from engine.joined.feeder import key_of
from engine.joined.machines import Machines
from engine.joined.station import Station
from engine.joined.wire import Declined
from engine.known_machines import MachineError
from engine.text import plain
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.joined import (
    Line,
    busy,
    engine_in,
    far,
    is_waiting,
    machines_of,
    made_there,
    running,
    station_in,
    there,
)

pytestmark = pytest.mark.starts
LINES = pytest.mark.reliability("another machine cut off, silent, gone, or its head killed")


@LINES
def test_a_cut_line_puts_the_job_back_and_the_station_gives_up(
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    head.start()
    blocker = busy(head, ask)
    job = head.submit(ask(str(gate)))
    wait_until(running(head, job), "its progress")
    line.cut.set()
    wait_until(lambda: not machines.all, "the machine to be lost")
    engine = there(line.station)
    wait_until(lambda: engine.jobs.recent()[0].state is State.CANCELLED, "the station to give up")
    gate.open()
    head.cancel(blocker.id)
    done = finish(head, job)
    assert (done.state, done.lane, done.attempts) == (State.DONE, "local", 1)
    assert "doesn't answer any more" in str(done.note)
    assert len(head.library.newest()) == 1
    assert not head.away


@LINES
def test_a_clip_that_was_whole_when_the_line_was_cut_comes_home_later(
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    name = far(machines)
    head.start()
    job = head.submit(ask(str(gate)), lane=name)
    wait_until(running(head, job), "its progress")
    line.cut.set()
    gate.open()
    engine = there(line.station)
    wait_until(lambda: engine.jobs.recent()[0].state is State.DONE, "the clip there")
    wait_until(lambda: head.jobs.get(job.id).state is State.QUEUED, "it to wait here")
    wait_until(lambda: not machines.all, "the machine to be lost")
    machines.met(Line(line.station))
    assert finish(head, job).state is State.DONE
    assert made_there(line.station) == 1


@LINES
def test_an_answer_that_was_lost_makes_nothing_twice(
    head: Engine, machines: Machines, line: Line, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The station has the job; the head doesn't know, and asks again once the line is back."""
    answer, lost = line.station.answer, list[str]()

    def lossy(method: str, *values: Any) -> dict[str, Any]:
        answered = answer(method, *values)
        if method == "make" and not lost:
            lost.append(method)
            line.cut.set()
        return answered

    monkeypatch.setattr(line.station, "answer", lossy)
    head.start()
    job = head.submit(ask("once"), lane=far(machines))
    wait_until(lambda: lost, "the call")
    wait_until(lambda: not machines.all, "the machine to be lost")
    machines.met(Line(line.station))
    assert finish(head, job).state is State.DONE
    assert made_there(line.station) == 1


@LINES
def test_a_head_that_was_killed_finds_what_was_made_meanwhile(
    tmp_path: Path, station: Station, ask: Ask, gate: Gate
) -> None:
    root = tmp_path / "head"
    with engine_in(root) as head, machines_of(head) as machines:
        machines.met(Line(station))
        head.start()
        job = head.submit(ask(str(gate)), lane=far(machines))
        wait_until(running(head, job), "its progress")
        gate.open()
        # As kill -9 leaves it: the row says that it runs.
        for machine in machines.all:
            machine.gone.set()
        with head.jobs.store.transaction() as db:
            db.execute("update jobs set state = 'running' where id = ?", (job.id,))
    with engine_in(root) as head, machines_of(head) as machines:
        with head.jobs.store.transaction() as db:
            row = db.execute(
                "update jobs set state = 'running', attempts = 1 where id = ?", (job.id,)
            )
            assert row.rowcount == 1
        head.start()
        wait_until(lambda: head.jobs.get(job.id).state is State.QUEUED, "it to wait again")
        assert head.jobs.get(job.id).attempts == 0
        machines.met(Line(station))
        assert finish(head, job).state is State.DONE
        assert made_there(station) == 1


@LINES
def test_a_job_that_several_machines_went_away_with_counts_as_tried(
    head: Engine, machines: Machines, tmp_path: Path, ask: Ask, gate: Gate
) -> None:
    """One loss says nothing of the job; after some it may be the reason."""
    head.start()
    blocker = busy(head, ask)
    job = head.submit(ask(str(gate)))
    seen = []
    with contextlib.ExitStack() as stack:
        for number in range(3):
            line = Line(stack.enter_context(station_in(tmp_path / f"station {number}")))
            machines.met(line)
            wait_until(running(head, job), "its progress")
            machines.lost(line, plain("It has gone."))
            wait_until(is_waiting(head, job), "it to wait again")
            seen.append(head.jobs.get(job.id).attempts)
    assert seen == [0, 0, 1]
    gate.open()
    head.cancel(blocker.id)
    assert finish(head, job).state is State.DONE


def test_a_machine_of_another_version_is_told(
    machines: Machines, station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.joined.station.VERSION", "9.9.9")
    line = Line(station)
    with pytest.raises(Declined, match=r"runs Headroom 9\.9\.9; this is"):
        machines.met(line)
    assert not machines.all
    assert station.state()["dismissed"]
    assert any("9.9.9" in str(why) for why in machines.refused.values())


def test_machines_of_one_name_and_copies_of_one_disk(
    head: Engine, machines: Machines, tmp_path: Path
) -> None:
    with (
        station_in(tmp_path / "one") as one,
        station_in(tmp_path / "two") as two,
    ):
        assert one.id != two.id
        three = Line(one)
        for line in (Line(one), Line(two), three):
            machines.met(line)
        names = [machine.name for machine in machines.all]
        assert len(set(names)) == 3
        assert names[1] == f"{names[0]}-2"
        lanes = {lane.name for lane in head.makers}
        assert len(lanes) == 4
        machines.rename(machines.all[0].id, "Under the desk")
        assert str(machines.all[0].lanes[0].seat.title) == "Under the desk"
        assert machines.all[0].lanes[0].name == names[0], "jobs and commands know it by that"
    with machines_of(head) as again, station_in(tmp_path / "one") as one:
        assert again.met(Line(one)).title == "Under the desk"
        with pytest.raises(MachineError):
            again.rename(again.all[0].id, "x" * 41)
        with pytest.raises(MachineError):
            again.rename("nobody", "x")


def test_one_that_is_taken_out_leaves_and_its_job_waits(
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    head.start()
    job = head.submit(ask(str(gate)), lane=far(machines))
    wait_until(running(head, job), "its progress")
    machines.take_out(machines.all[0].id)
    assert line.station.state()["dismissed"]
    wait_until(is_waiting(head, job), "it to wait again")
    assert not machines.all
    other = head.submit(ask())
    assert finish(head, other).state is State.DONE, "what waits for a machine keeps nobody waiting"
    assert head.jobs.get(job.id).state is State.QUEUED


def test_a_clock_that_is_off_changes_nothing(
    head: Engine, machines: Machines, station: Station, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = station.hello()
    monkeypatch.setattr(station, "hello", lambda: {**hello, "clock": time.time() - 7200})
    station._methods["hello"] = station.hello
    machine = machines.met(Line(station))
    assert -7300 < machine.clock_off < -7100
    head.start()
    assert finish(head, head.submit(ask(), lane=far(machines))).state is State.DONE


# ---- all of it at once ---------------------------------------------------------------------------


@LINES
def test_twelve_jobs_on_three_machines_with_faults_are_made_once_each(
    head: Engine, machines: Machines, tmp_path: Path, ask: Ask, gate: Gate
) -> None:
    """One is cut off and comes back, one dies for good, one worker is killed."""
    with contextlib.ExitStack() as stack:
        stations = [stack.enter_context(station_in(tmp_path / f"s{n}")) for n in range(3)]
        lines = [Line(station) for station in stations]
        for line in lines:
            machines.met(line)
        head.start()
        marker = tmp_path / "killed once"
        once = f" fail=once marker={marker}"
        prompts = [f"number {n} {gate}" + once * (n == 3) for n in range(12)]
        jobs = [head.submit(ask(prompt)) for prompt in prompts]
        wait_until(lambda: len(head.jobs.all_running()) == 4, "all lanes to be at work")
        lines[0].cut.set()
        wait_until(lambda: len(machines.all) == 2, "one to be lost")
        gate.open()
        machines.lost(lines[1], plain("It has gone."))
        stations[1].close()
        machines.met(Line(stations[0]))
        for job in jobs:
            assert finish(head, job).state is State.DONE, str(head.jobs.get(job.id).note)
        clips = head.library.newest()
        assert sorted(clip.job for clip in clips if clip.job) == [job.id for job in jobs]
        assert len(list(head.home.clips.glob("*.mp4"))) == 12
        assert len({key_of(machines.head, job) for job in jobs}) == 12
        for clip in clips:
            seed = head.jobs.get(clip.job or 0).seed
            size = clip.request.size
            random = np.random.default_rng(seed)
            shape = size.frames, size.height // 16, size.width // 16, 3
            frames = random.integers(0, 256, shape, np.uint8).repeat(16, 1).repeat(16, 2)
            assert clip.receipt["frames_sha256"] == hashlib.sha256(frames.tobytes()).hexdigest()
