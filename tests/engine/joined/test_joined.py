"""A clip's way to another machine and home, and what that machine may make; all machines in one
process. How calls travel for real is in tests/system/test_cluster.py."""

import platform
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.engine import Engine
from engine.guard.verdict import Word
from engine.guard.verdicts import Refused
from engine.jobs import State
from engine.joined.machines import Machines
from engine.library.mp4 import read_receipt
from engine.library.versions import OWN, Asked, original_at, original_of
from engine.presets import Presets
from engine.request import Size
from engine.weights.checkpoint import WeightsMissing
from engine.worker.by_lane import LaneError
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.joined import (
    Line,
    engine_in,
    far,
    is_waiting,
    machines_of,
    made_there,
    running,
    station_in,
    there,
)
from tests.support.videos import moving, write

pytestmark = pytest.mark.starts


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
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    head.start()
    job = head.submit(ask(str(gate)), lane=far(machines))
    wait_until(running(head, job), "its progress")
    status = head.status_of(head.jobs.get(job.id))
    assert status.job == job.id
    wait_until(lambda: head.status_of(head.jobs.get(job.id)).preview, "a preview")
    head.cancel(job.id)
    assert finish(head, job).state is State.CANCELLED
    wait_until(lambda: not there(line.station).jobs.recent()[0].errand, "the station's word")
    assert there(line.station).jobs.recent()[0].state is State.CANCELLED


def test_pausing_at_once_puts_it_back(
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    head.start()
    job = head.submit(ask(str(gate)), lane=far(machines))
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


def test_a_clip_of_here_is_made_smoother_there(
    head: Engine, machines: Machines, line: Line, ask: Ask, tmp_path: Path
) -> None:
    """One of the library goes there with its receipt, another program's video without one."""
    head.start()
    clip = head.library.of_job(finish(head, head.submit(ask("go"), lane="local")).id)
    assert clip is not None
    file = write(tmp_path / "Trip.mp4", moving(4), [Fraction(at, 10) for at in range(4)])
    originals = original_of(head.library, clip), original_at(head.sources, file)
    for original, source in zip(originals, (clip.receipt["seed"], None), strict=True):
        request = Asked(30).request(original, head.changers(), OWN)
        job = finish(head, head.submit(request, lane=far(machines)))
        assert job.state is State.DONE, str(job.note)
        home = head.library.of_job(job.id)
        assert home is not None
        assert home.receipt["machine"] == machines.all[0].name
        assert home.receipt["source"].get("seed") == source
        here = finish(head, head.submit(request, lane="local"))
        local = head.library.of_job(here.id)
        assert local is not None
        assert home.receipt["frames_sha256"] == local.receipt["frames_sha256"]
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


def test_two_lanes_there_are_two_lanes_here(
    tmp_path: Path, head: Engine, ask: Ask, gate: Gate
) -> None:
    with (
        machines_of(head) as machines,
        station_in(tmp_path / "two", on_processor=2) as station,
    ):
        machines.met(Line(station))
        names = [lane.name for lane in machines.all[0].lanes]
        assert names == [f"{machines.all[0].name}:cpu1", f"{machines.all[0].name}:cpu2"]
        head.start()
        jobs = [head.submit(ask(str(gate)), lane=name) for name in names]
        wait_until(lambda: len(head.jobs.all_running()) == 2, "both to be made at a time")
        gate.open()
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
    head: Engine, machines: Machines, line: Line, ask: Ask, gate: Gate
) -> None:
    """Its own clips come first there, and a pause ends nothing that has begun."""
    engine = there(line.station)
    own = engine.submit(ask(str(gate)))
    wait_until(lambda: engine.jobs.running(), "its own clip to be made")
    head.start()
    job = head.submit(ask(), lane=far(machines))
    wait_until(lambda: engine.jobs.count_waiting() == 1, "the job to wait there")
    assert engine.jobs.waiting()[0].visitor_name == platform.node()
    assert head.jobs.get(job.id).state is State.RUNNING
    engine.pause()
    wait_until(is_waiting(head, job), "it to be back")
    assert head.jobs.get(job.id).attempts == 0
    gate.open()
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
