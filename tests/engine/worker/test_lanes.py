"""Several lanes in one machine: what is found, what each may make, and the one queue that they
share. The cards are written by the test; the workers, on the processor, are real."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from engine.engine import Engine
from engine.guard.verdict import Word
from engine.guard.verdicts import Refused
from engine.jobs import Job, Jobs, State
from engine.plan.choice import Choice, PlanError
from engine.presets import Presets
from engine.request import Size
from engine.worker.by_lane import LaneError
from engine.worker.lane import Lane
from engine.worker.process import worker_environment
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.machines import GIB
from tests.support.two_cards import LARGE, SMALL, Machine, engine_on, install

SIZE = Size(128, 128, 17)  # the scripted model's baseline, which takes 12 GiB on the cards


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    install(made, monkeypatch, SMALL, LARGE)
    return made


@pytest.fixture
def two(machine: Machine, presets: Presets, jobs: Jobs) -> Engine:
    return engine_on(presets, jobs)


def names(engine: Engine) -> list[str]:
    return [lane.name for lane in engine.lanes]


# ---- what is found -----------------------------------------------------------------------------


def test_each_card_has_a_lane_the_largest_first(two: Engine) -> None:
    assert names(two) == ["gpu1", "gpu0"]
    assert [str(lane.seat.title) for lane in two.lanes] == [
        "GPU 1 (RTX 4090)",
        "GPU 0 (RTX 4060 Ti)",
    ]
    assert [lane.machine().gpu for lane in two.lanes] == [LARGE, SMALL]
    fingerprints = {lane.guard.fingerprint("scripted") for lane in two.lanes}
    assert len(fingerprints) == 2, "what one measures doesn't count for the other"


@pytest.mark.parametrize(
    ("wanted", "visible", "found"),
    [
        ("0", None, ["local"]),
        ("0,1", None, ["gpu0", "gpu1"]),
        ("GPU-4090, 0", None, ["gpu1", "gpu0"]),
        ("", "1", ["local"]),
        ("1,9", None, ["local"]),
    ],
)
def test_which_cards_are_used_can_be_said(
    machine: Machine,
    presets: Presets,
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    visible: str | None,
    found: list[str],
) -> None:
    monkeypatch.setenv("HEADROOM_GPU", wanted)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert names(engine_on(presets, jobs)) == found


def test_what_runs_on_the_processor_is_the_first_lanes(two: Engine) -> None:
    assert [lane.suits("wan-tiny") for lane in two.lanes] == [True, False]
    assert [lane.suits("scripted") for lane in two.lanes] == [True, True]


def test_a_worker_computes_on_its_own_card(two: Engine) -> None:
    preset = two.presets.models["scripted"]
    found = [worker_environment(preset, lane.look())["CUDA_VISIBLE_DEVICES"] for lane in two.lanes]
    assert found == [LARGE.uuid, SMALL.uuid]


def test_the_second_copy_of_the_weights_is_in_the_plan(
    machine: Machine, two: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """96 GB hold the 14B twice; of 50 too little is left for the second card's, which reads from
    disk then, and says so."""
    large = two.presets.models["wan2.1-t2v-14b-fp8"]

    def ways(ram: int) -> list[str]:
        here = replace(two.machine(), ram=ram)
        monkeypatch.setattr(
            "engine.worker.lane.machine_now", lambda sample: replace(here, gpu=LARGE)
        )
        return [str(lane.plans.plan(large.id)["offload"].value) for lane in two.lanes]

    assert ways(96 * GIB) == ["block", "block"]
    assert ways(50 * GIB) == ["block", "lazy"]
    told = str(two.lanes[1].plans.plan(large.id)["offload"].reason)
    assert "The copy of another card takes 31.7 GB of it." in told
    with pytest.raises(PlanError):
        ways(40 * GIB)


# ---- what each may make --------------------------------------------------------------------------


def test_a_size_is_open_where_one_card_can_make_it(machine: Machine, two: Engine) -> None:
    assert two.guard.verdict("scripted", SIZE).open
    machine.used[SMALL.uuid] = 10 * GIB
    assert two.lanes[1].guard.verdict("scripted", SIZE).word is Word.BUSY
    told = two.guard.verdict("scripted", SIZE)
    assert told.open
    assert str(told.reason).endswith("Only on GPU 1 (RTX 4090).")


def test_no_card_means_the_best_of_the_refusals(machine: Machine, two: Engine, ask: Ask) -> None:
    machine.used = {SMALL.uuid: 10 * GIB, LARGE.uuid: 20 * GIB}
    assert two.guard.verdict("scripted", SIZE).word is Word.BUSY
    machine.gone = {LARGE.uuid}
    assert two.guard.verdict("scripted", SIZE).word is Word.BUSY, "the other may be free again"
    machine.gone |= {SMALL.uuid}
    with pytest.raises(Refused, match="GPU lost"):
        two.submit(ask(height=128, width=128, frames=17))


def test_a_measurement_opens_a_size_on_its_own_card(two: Engine, ask: Ask) -> None:
    larger = Size(192, 192, 17)
    first = two.lanes[0]
    job = two.jobs.add(ask())
    first.guard.record(job.id, "probe", "scripted", larger, "ok", {"decode": 14 * GIB}, {})
    assert first.guard.verdict("scripted", larger).open
    assert two.lanes[1].guard.verdict("scripted", larger).word is Word.LOCKED
    verdict = two.guard.verdict("scripted", larger)
    assert verdict.open
    assert "Only on GPU 1" in str(verdict.reason)
    probe = two.measure(ask(height=192, width=192, frames=17))
    assert probe.wanted == "gpu0", "there it would tell something new"
    assert two.measure(ask(height=192, width=192, frames=17), "gpu1").wanted == "gpu1"


def test_a_lane_can_be_named_and_must_be_there(two: Engine, ask: Ask) -> None:
    assert two.submit(ask(), lane="gpu0").wanted == "gpu0"
    with pytest.raises(LaneError, match="gpu7"):
        two.submit(ask(), lane="gpu7")


def test_a_named_lane_judges_by_itself(machine: Machine, two: Engine, ask: Ask) -> None:
    machine.used[SMALL.uuid] = 10 * GIB
    large = ask(height=128, width=128, frames=17)
    assert two.submit(large, lane="gpu1")
    with pytest.raises(Refused):
        two.submit(large, lane="gpu0")


def test_what_one_card_taught_leaves_the_others_alone(two: Engine) -> None:
    model = "wan2.1-t2v-14b-fp8"
    first, second = two.lanes
    first.plans.learn(model, "decode", Choice("tiled", "Learnt on the first."))
    second.plans.learn(model, "decode", Choice("whole", "Learnt on the second."))
    rows = two.jobs.store.rows("select value from choices where model = ? order by value", (model,))
    assert [row["value"] for row in rows] == ['"tiled"', '"whole"']
    first.plans.forget_kernels()
    assert two.jobs.store.rows("select 1 from choices where model = ?", (model,))


# ---- one queue -----------------------------------------------------------------------------------


@pytest.fixture
def working(two_lanes: Engine) -> Engine:
    two_lanes.record()
    two_lanes.start()
    return two_lanes


def both_run(engine: Engine) -> bool:
    return len(engine.jobs.all_running()) == 2


@pytest.mark.starts
def test_both_make_clips_at_once_and_each_once(working: Engine, ask: Ask, gate: Gate) -> None:
    queued = working.submit_all([ask(str(gate), seed=n) for n in range(6)])
    wait_until(lambda: both_run(working), "two clips at once")
    gate.open()
    done = [finish(working, job) for job in queued]
    assert {job.state for job in done} == {State.DONE}
    assert {job.lane for job in done} == {"cpu1", "cpu2"}
    assert len({working.library.of_job(job.id).file for job in done}) == 6  # type: ignore[union-attr]


@pytest.mark.starts
def test_a_cancel_reaches_the_lane_that_makes_it(working: Engine, ask: Ask) -> None:
    endless = "steps=2000 step_seconds=0.05"
    first, second = working.submit_all([ask(endless), ask(endless)])
    wait_until(lambda: both_run(working), "two clips at once")
    working.cancel(second.id)
    assert finish(working, second).state is State.CANCELLED
    assert working.jobs.get(first.id).state is State.RUNNING
    working.cancel(first.id)
    assert finish(working, first).state is State.CANCELLED


@pytest.mark.starts
def test_a_killed_worker_takes_only_its_own_clip_with_it(
    working: Engine, ask: Ask, gate: Gate
) -> None:
    queued = working.submit_all([ask(str(gate)), ask(str(gate))])
    wait_until(lambda: both_run(working), "two clips at once")
    hit = working.lane_of(working.jobs.get(queued[0].id))
    pid = hit.status.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    gate.open()
    done = [finish(working, job) for job in queued]
    assert [job.state for job in done] == [State.DONE] * 2
    assert [job.attempts for job in done] == [2, 1]


@pytest.mark.starts
def test_a_pause_holds_every_lane_and_frees_all_memory(working: Engine, ask: Ask) -> None:
    queued = working.submit_all([ask("steps=2000 step_seconds=0.05")] * 2)
    wait_until(lambda: both_run(working), "two clips at once")
    working.pause(now=True)
    wait_until(
        lambda: all(lane.status.worker_pid is None for lane in working.lanes), "no worker left"
    )
    wait_until(
        lambda: [working.jobs.get(job.id).state for job in queued] == [State.QUEUED] * 2,
        "both put back",
    )
    for job in queued:
        working.cancel(job.id)


def cannot_load(lane: Lane, patch: pytest.MonkeyPatch) -> None:
    """Every worker that ``lane`` starts fails while it loads."""
    slot = lane.supervisor._slot
    start = slot.start

    def fails(model: str) -> None:
        patch.setenv("HEADROOM_SCRIPTED_LOAD", "fail")
        start(model)
        patch.delenv("HEADROOM_SCRIPTED_LOAD")

    patch.setattr(slot, "start", fails)


@pytest.mark.starts
def test_a_model_that_one_lane_cannot_load_is_left_to_the_other(
    two_lanes: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cannot_load(two_lanes.lanes[0], monkeypatch)
    two_lanes.start()
    job = finish(two_lanes, two_lanes.submit(ask("steps=2")))
    assert (job.state, job.lane) == (State.DONE, "cpu2")
    assert "loading fails" in str(two_lanes.status().notice)


@pytest.mark.starts
def test_a_model_that_no_lane_can_load_fails_with_the_reason(
    two_lanes: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lane in two_lanes.lanes:
        cannot_load(lane, monkeypatch)
    two_lanes.start()
    job = finish(two_lanes, two_lanes.submit(ask("steps=2")))
    assert job.state is State.FAILED
    assert "loading fails" in str(job.note)


@pytest.mark.model
@pytest.mark.starts
def test_a_clip_is_the_same_in_whichever_lane(working: Engine, ask: Ask) -> None:
    """To the bit: lanes of one machine have as many threads."""
    import av

    def frames(job: Job) -> np.ndarray:
        clip = working.library.of_job(job.id)
        assert clip is not None
        with av.open(str(working.library.place(clip))) as file:
            return np.stack([one.to_ndarray() for one in file.decode(video=0)])

    tiny = ask("a red ball moves left", model="wan-tiny", height=64, width=96, frames=9, seed=5)
    pair = working.submit(tiny, lane="cpu1"), working.submit(tiny, lane="cpu2")
    done = [finish(working, job) for job in pair]
    assert [job.state for job in done] == [State.DONE] * 2, [str(job.note) for job in done]
    first, second = (frames(job) for job in done)
    assert np.array_equal(first, second)


@pytest.mark.starts
def test_a_job_for_a_card_that_is_gone_says_so(working: Engine, ask: Ask) -> None:
    job = finish(working, working.jobs.add(ask(), wanted="gpu7"))
    assert job.state is State.FAILED
    assert str(job.note) == "There is no lane gpu7 on this machine now."
    assert "Start it again without naming a lane" in str(job.remedy)


def test_a_lost_card_keeps_nothing_waiting(machine: Machine, two: Engine, ask: Ask) -> None:
    large = ask(height=128, width=128, frames=17)
    waiting = [two.jobs.add(large) for _ in range(3)]
    machine.gone = {LARGE.uuid}
    assert [turn.lane for turn in two.dispatch.turns(waiting)] == ["gpu0"] * 3
    assert two.lanes[0].guard.verdict("scripted", SIZE).word is Word.IMPOSSIBLE


def test_eight_cards_are_eight_lanes(
    monkeypatch: pytest.MonkeyPatch, presets: Presets, jobs: Jobs, ask: Ask
) -> None:
    gpus = [replace(LARGE, uuid=f"GPU-{n}", index=n) for n in range(8)]
    install(Machine(), monkeypatch, *gpus)
    engine = engine_on(presets, jobs)
    assert names(engine) == [f"gpu{n}" for n in range(8)]
    waiting = [engine.jobs.add(ask(height=128, width=128, frames=17)) for _ in range(8)]
    assert sorted(turn.lane for turn in engine.dispatch.turns(waiting)) == names(engine)
