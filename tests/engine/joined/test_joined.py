"""A queue that other machines work on, all of them in one process: what each end does of itself.
How calls travel for real is in tests/system/test_cluster.py."""

import contextlib
import hashlib
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.by_lane import LaneError
from engine.engine import Engine
from engine.guard.verdict import Word
from engine.guard.verdicts import Refused
from engine.jobs import Job, State
from engine.joined.feeder import key_of
from engine.joined.machines import Machines
from engine.joined.station import Station
from engine.joined.wire import Declined
from engine.known_machines import MachineError
from engine.library.mp4 import read_receipt, write_clip
from engine.presets import Presets
from engine.process.own_files import sha256_of
from engine.request import Size
from engine.text import plain
from engine.weights.checkpoint import WeightsMissing
from tests.conftest import Ask, finish, wait_until
from tests.support.joined import Line, engine_in, machines_of, station_in

pytestmark = pytest.mark.starts

LINES = pytest.mark.reliability("another machine cut off, silent, gone, or its head killed")
LONG = "steps=60 step_seconds=0.1"  # six seconds: a busy machine is late in looking


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.joined.machine.LOST_SECONDS", 0.5)
    monkeypatch.setattr("engine.joined.station.LEASE_SECONDS", 1.5)
    monkeypatch.setattr("engine.joined.station.LOOK_SECONDS", 0.2)


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


def far(machines: Machines) -> str:
    """The name of the first lane of the machine that joined first."""
    return machines.all[0].lanes[0].name


def there(station: Station) -> Engine:
    return station._engine


def made_there(station: Station) -> int:
    """How many clips the station has begun."""
    return sum(job.attempts for job in there(station).jobs.recent())


def running(head: Engine, job: Job) -> Callable[[], bool]:
    """Whether it is being made, as far as the head knows."""

    def seen() -> bool:
        progress = head.progress(head.jobs.get(job.id))
        return progress is not None and progress.step > 1

    return seen


# ---- a clip's way ------------------------------------------------------------------------------


def test_a_clip_is_made_there_and_comes_home(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    (machine,) = machines.all
    (lane,) = machine.lanes
    assert lane.suits("scripted")
    head.start()
    job = head.submit(ask("far away"), lane=lane.name)
    done = finish(head, job)
    here = head.submit(ask("far away", seed=job.seed), lane="local")
    finish(head, here)
    assert (done.state, str(done.note)) == (State.DONE, "")
    assert done.lane == lane.name
    clip, local = head.library.of_job(job.id), head.library.of_job(here.id)
    assert clip is not None
    assert local is not None
    assert clip.receipt["machine"] == machine.name
    assert "machine" not in local.receipt
    assert clip.receipt["request"] == job.request.to_json()
    assert clip.receipt["frames_sha256"] == local.receipt["frames_sha256"]
    assert head.library.place(clip).is_file()
    assert head.posters.of(clip)
    engine = there(line.station)
    wait_until(lambda: not list(engine.home.errands.glob("*")), "the station to forget it")
    assert engine.library.newest() == []
    assert [row.request.prompt for row in engine.jobs.recent()] == [""]
    rows = engine.lane.guard.rows("scripted")
    assert [row.measurement.outcome for row in rows] == ["ok"], "it counts where it ran"
    assert len(head.lane.guard.rows("scripted")) == 1


def test_its_progress_is_seen_and_it_can_be_cancelled(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    job = head.submit(ask(LONG), lane=far(machines))
    wait_until(running(head, job), "its progress")
    status = head.status_of(head.jobs.get(job.id))
    assert status.job == job.id
    wait_until(lambda: head.status_of(head.jobs.get(job.id)).preview, "a preview")
    head.cancel(job.id)
    assert finish(head, job).state is State.CANCELLED
    wait_until(lambda: not there(line.station).jobs.recent()[0].errand, "the station's word")
    assert there(line.station).jobs.recent()[0].state is State.CANCELLED


def test_pausing_at_once_puts_it_back(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    job = head.submit(ask(LONG), lane=far(machines))
    wait_until(running(head, job), "its progress")
    head.pause(now=True)
    wait_until(lambda: head.jobs.get(job.id).state is State.QUEUED, "it to wait again")
    assert head.jobs.get(job.id).attempts == 0
    head.cancel(job.id)
    head.resume()


def test_a_failure_there_names_the_machine(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    job = finish(head, head.submit(ask("fail=error"), lane=far(machines)))
    assert job.state is State.FAILED
    assert str(job.note).startswith(f"On {machines.all[0].name}:")
    assert "scripted failure" in str(job.note)


def test_a_worker_that_is_killed_there_is_replaced_there(
    head: Engine, machines: Machines, line: Line, ask: Ask, tmp_path: Path
) -> None:
    head.start()
    asked = ask(f"fail=once marker={tmp_path / 'mark'}")
    job = finish(head, head.submit(asked, lane=far(machines)))
    assert (job.state, job.attempts) == (State.DONE, 1)
    assert made_there(line.station) == 2


def test_a_size_is_tested_there(head: Engine, machines: Machines, line: Line, ask: Ask) -> None:
    head.start()
    large = ask("go", height=256, width=256, frames=17)
    lane = machines.all[0].lanes[0]
    job = finish(head, head.measure(large, lane=lane.name))
    assert job.state is State.DONE, str(job.note)
    wait_until(
        lambda: lane.guard.verdict("scripted", large.size).basis == "measured", "its verdict"
    )


def test_pictures_and_the_clip_before_travel_once(
    head: Engine,
    machines: Machines,
    line: Line,
    ask: Ask,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A worker finds pictures by its environment, which both machines share here.
    monkeypatch.setenv("HEADROOM_HOME", str(there(line.station).home.root))
    noise = np.random.default_rng(1).integers(0, 256, (64, 48, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "own.png")
    picture = head.intake.take(tmp_path / "own.png")
    head.start()
    asked = ask("go", model="scripted-i2v", image=picture.sha256, height=128, width=128)
    for seed in (1, 2):
        job = finish(head, head.submit(replace(asked, seed=seed), lane=far(machines)))
        assert job.state is State.DONE, str(job.note)
    assert line.asked.count("give") == 1
    before = head.library.of_job(job.id)
    assert before is not None
    digest = head.library.learn(before)
    last = replace(asked, prompt="on", after=digest)
    joined = finish(head, head.submit(last, lane=far(machines)))
    assert joined.state is State.DONE, str(joined.note)
    clip = head.library.of_job(joined.id)
    assert clip is not None
    assert len(clip.receipt["parts"]) == 2
    errands = there(line.station).home.errands
    wait_until(lambda: not list(errands.glob("*")), "what it was given for it to go")


# ---- what it may make ----------------------------------------------------------------------------


def test_a_model_that_only_the_other_machine_has(
    tmp_path: Path, presets: Presets, ask: Ask
) -> None:
    """The head has no weights for it: it is queued all the same, and made there."""
    scripted = presets.models["scripted"]
    needs = next(p.weights for p in presets.models.values() if p.weights)
    lacking = scripted.model_copy(update={"weights": needs})
    bare = replace(presets, models={**presets.models, "scripted": lacking})
    with engine_in(tmp_path / "head", bare) as head, machines_of(head) as machines:
        with pytest.raises(WeightsMissing):
            head.submit(ask())
        with station_in(tmp_path / "station") as station:
            machines.met(Line(station))
            head.start()
            job = finish(head, head.submit(ask()))
            assert (job.state, job.lane) == (State.DONE, far(machines))
            assert not head.is_ready_here("scripted"), "whatever others have"
            with pytest.raises(WeightsMissing):
                head.submit(ask(), lane="local")


def test_what_isnt_there_is_said(head: Engine, machines: Machines, line: Line, ask: Ask) -> None:
    large = "wan2.1-t2v-14b-fp8"
    if large not in head.presets.models:
        large = next(m for m, p in head.presets.models.items() if p.weights)
    lane = machines.all[0].lanes[0]
    assert lane.guard.verdict(large, Size(480, 832, 81)).word is Word.IMPOSSIBLE
    with pytest.raises((LaneError, Refused)) as refused:
        head.submit(ask(model=large), lane=lane.name)
    assert "doesn't have" in str(refused.value)


def test_an_odd_size_is_asked_for_once(head: Engine, machines: Machines, line: Line) -> None:
    lane = machines.all[0].lanes[0]
    size = Size(112, 80, 13)
    assert size not in lane.guard.offered("scripted")
    line.asked.clear()
    first, own = (g.verdict("scripted", size) for g in (lane.guard, there(line.station).guard))
    assert (first.word, str(first.reason)) == (own.word, str(own.reason))
    assert lane.guard.durations("scripted", [size])
    assert line.asked.count("verdicts") <= 1


def test_two_lanes_there_are_two_lanes_here(tmp_path: Path, head: Engine, ask: Ask) -> None:
    with (
        machines_of(head) as machines,
        station_in(tmp_path / "two", on_processor=2) as station,
    ):
        machines.met(Line(station))
        names = [lane.name for lane in machines.all[0].lanes]
        assert names == [f"{machines.all[0].name}:cpu1", f"{machines.all[0].name}:cpu2"]
        head.start()
        jobs = [head.submit(ask("steps=10 step_seconds=0.1"), lane=name) for name in names]
        wait_until(
            lambda: len(head.jobs.all_running()) == 2, "both to be made at a time", seconds=20
        )
        for job, name in zip(jobs, names, strict=True):
            done = finish(head, job)
            assert (done.state, done.lane) == (State.DONE, name)


def test_a_queue_that_is_paused_there_takes_none(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    engine, lane = there(line.station), machines.all[0].lanes[0]
    engine.pause()
    wait_until(lambda: lane.paused, "the head to hear of it")
    head.start()
    wanted = head.submit(ask(), lane=lane.name)
    other = head.submit(ask())
    assert finish(head, other).lane == "local"
    assert head.jobs.get(wanted.id).state is State.QUEUED
    engine.resume()
    assert finish(head, wanted).state is State.DONE


def test_a_job_that_hasnt_begun_there_comes_back_when_that_queue_is_paused(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    """Its own clips come first there, and a pause ends nothing that has begun."""
    engine = there(line.station)
    own = engine.submit(ask("steps=20 step_seconds=0.1"))
    wait_until(lambda: engine.jobs.running(), "its own clip to be made")
    head.start()
    job = head.submit(ask(), lane=far(machines))
    wait_until(lambda: engine.jobs.count_waiting() == 1, "the job to wait there")
    assert engine.jobs.waiting()[0].visitor_name == platform.node()
    assert head.jobs.get(job.id).state is State.RUNNING
    engine.pause()
    wait_until(is_waiting(head, job), "it to be back")
    assert head.jobs.get(job.id).attempts == 0
    assert finish(engine, own).state is State.DONE
    engine.resume()
    assert finish(head, job).state is State.DONE


def test_a_visitors_clip_tells_nothing_of_either_machine(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    share = head.jobs.shares.open(600.0)
    try:
        visitor = f"{share.id}.one", "Ann"
        (job,) = head.submit_all([ask()], visitor=visitor, lane=far(machines))
        assert finish(head, job).state is State.DONE
    finally:
        share.close()
    clip = head.library.of_job(job.id)
    assert clip is not None
    assert clip.receipt["machine"] == machines.all[0].name, "the owner may know"
    inside = read_receipt(head.library.place(clip))
    assert set(inside) - {"pictures"} == {"request", "seed", "model"}


# ---- who comes and goes --------------------------------------------------------------------------


@LINES
def test_a_cut_line_puts_the_job_back_and_the_station_gives_up(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    blocker = busy(head, ask)
    job = head.submit(ask(LONG))
    wait_until(running(head, job), "its progress")
    line.cut.set()
    wait_until(lambda: not machines.all, "the machine to be lost")
    head.cancel(blocker.id)
    done = finish(head, job)
    assert (done.state, done.lane, done.attempts) == (State.DONE, "local", 1)
    assert "doesn't answer any more" in str(done.note)
    engine = there(line.station)
    wait_until(lambda: engine.jobs.recent()[0].state is State.CANCELLED, "the station to give up")
    assert len(head.library.newest()) == 1
    assert not head.away


@LINES
def test_a_clip_that_was_whole_when_the_line_was_cut_comes_home_later(
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    name = far(machines)
    head.start()
    job = head.submit(ask("steps=8 step_seconds=0.1"), lane=name)
    wait_until(running(head, job), "its progress")
    line.cut.set()
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
    tmp_path: Path, station: Station, ask: Ask
) -> None:
    root = tmp_path / "head"
    with engine_in(root) as head, machines_of(head) as machines:
        machines.met(Line(station))
        head.start()
        job = head.submit(ask("steps=8 step_seconds=0.1"), lane=far(machines))
        wait_until(running(head, job), "its progress")
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
    head: Engine, machines: Machines, tmp_path: Path, ask: Ask
) -> None:
    """One loss says nothing of the job; after some it may be the reason."""
    head.start()
    blocker = busy(head, ask)
    job = head.submit(ask(LONG))
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
    head.cancel(blocker.id)
    assert finish(head, job).state is State.DONE


def busy(head: Engine, ask: Ask) -> Job:
    """A job that keeps the head's own lane."""
    job = head.submit(ask("steps=400 step_seconds=0.1"), lane="local")
    wait_until(running(head, job), "the head's own lane to be busy")
    return job


def is_waiting(head: Engine, job: Job) -> Callable[[], bool]:
    return lambda: head.jobs.get(job.id).state is State.QUEUED


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
    head: Engine, machines: Machines, line: Line, ask: Ask
) -> None:
    head.start()
    job = head.submit(ask(LONG), lane=far(machines))
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


# ---- what comes from it is looked at -------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["bytes", "frames", "no clip", "receipt"])
def test_a_file_that_isnt_the_clip_never_enters_the_library(
    head: Engine, machines: Machines, line: Line, ask: Ask, wrong: str, tmp_path: Path
) -> None:
    station = line.station
    errands = station._errands
    keep = errands.made

    def made(job: Job) -> Any:
        found = keep(job)
        if found is None or job.state is not State.DONE:
            return found
        clip = errands.clip(job.errand)
        if wrong == "bytes":
            clip.write_bytes(b"\0" * found.bytes)
            return found
        if wrong == "receipt":
            receipt = {**found.receipt, "request": {"prompt": "something else"}}
            return type(found)(receipt, found.sha256, found.bytes)
        if wrong == "frames":
            write_clip(clip, np.zeros((5, 128, 128, 3), np.uint8), 16, None)
        else:
            clip.write_bytes(b"<html>" * 100)
        return type(found)(found.receipt, sha256_of(clip), clip.stat().st_size)

    errands.made = made  # type: ignore[method-assign]
    head.start()
    job = finish(head, head.submit(ask(), lane=far(machines)))
    assert job.state is State.FAILED
    assert str(job.note).startswith("What came back from") or "damaged" in str(job.note)
    assert head.library.newest() == []
    assert list(head.home.clips.iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        ("make", "../../etc", {}),
        ("make", "a" * 64, {"request": {"prompt": "x", "model": "scripted"}, "kind": "clip"}),
        ("give", "picture", "../x", 0, b"", True, ""),
        ("give", "clip", "0" * 64, 0, b"not it", True, {}),
        ("take", "../../../etc/passwd", 0),
        ("take", "b" * 64, 0),
        ("receipt", "c" * 64),
        ("fetch", "no such model", True),
        ("verdicts", "no lane", "scripted", [[1, 2, 3]]),
        ("no_such_method",),
        ("__init__",),
    ],
)
def test_a_senseless_call_is_answered_with_a_sentence(
    station: Station, call: tuple[Any, ...]
) -> None:
    answer = station.answer(*call)
    assert answer.keys() == {"error", "remedy"}
    assert answer["error"]
    assert not any(there(station).home.errands.glob(".part*"))


def test_a_key_is_no_way_to_other_files(station: Station, tmp_path: Path) -> None:
    errands = there(station).home.made(there(station).home.errands)
    secret = errands.parent / "clips" / "own.mp4"
    secret.write_bytes(b"mine")
    assert (errands / "../clips/own.mp4").exists()
    assert "error" in station.answer("take", "../clips/own", 0)
    station.answer("forget", "../clips/own")
    assert secret.read_bytes() == b"mine"


# ---- all of it at once ---------------------------------------------------------------------------


@LINES
def test_twelve_jobs_on_three_machines_with_faults_are_made_once_each(
    head: Engine, machines: Machines, tmp_path: Path, ask: Ask
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
        prompts = [f"number {n} steps=6 step_seconds=0.1" + once * (n == 3) for n in range(12)]
        jobs = [head.submit(ask(prompt)) for prompt in prompts]
        wait_until(lambda: len(head.jobs.all_running()) == 4, "all lanes to be at work")
        lines[0].cut.set()
        wait_until(lambda: len(machines.all) == 2, "one to be lost")
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
