"""The next clip begins while the last one is written: a GPU would have nothing to do meanwhile.

A clip of noise takes the encoder a second or more, the scripted pipeline a tenth of that.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.pipelines.base import Cancelled
from engine.presets import Presets
from engine.request import ClipRequest
from engine.worker.early import Early, Told
from engine.worker.making import Writing
from engine.worker.messages import (
    Advance,
    Finished,
    Forget,
    FromWorker,
    Generate,
    Occupied,
    Stop,
)
from tests.conftest import Ask, finish, wait_until
from tests.support.two_cards import LARGE, Machine, engine_on, install

LONG = {"height": 512, "width": 512, "frames": 81}
BEGUN = "begun while the clip before is written"
MADE = "made in "


@pytest.fixture
def presets_of_long_clips(presets: Presets) -> Presets:
    """The scripted model takes what it takes at 128 × 128 for a long clip only."""
    scripted = presets.models["scripted"]
    baseline = scripted.memory.baseline.model_copy(update=LONG)
    memory = scripted.memory.model_copy(update={"baseline": baseline})
    larger = scripted.model_copy(update={"memory": memory})
    return replace(presets, models={**presets.models, "scripted": larger})


@pytest.fixture
def working(
    presets_of_long_clips: Presets, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    install(Machine(), monkeypatch, LARGE)
    engine = engine_on(presets_of_long_clips, jobs)
    engine.record()
    engine.start(warm="scripted")
    yield engine
    engine.close()


@pytest.fixture
def long(ask: Ask) -> Callable[..., ClipRequest]:
    def make(prompt: str = "go", **fields: object) -> ClipRequest:
        return ask(prompt, **{**LONG, **fields})

    return make


def lines() -> list[str]:
    """What the worker said of clips, in order."""
    file = Home.find().logs / "worker.log"
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    words = (BEGUN, MADE, "isn't wanted")
    return [word for line in text.splitlines() for word in words if word in line]


def has_begun() -> bool:
    return BEGUN in lines()


def queued(engine: Engine, *requests: ClipRequest) -> list[Job]:
    """Theirs, once the second is begun beside the writing of the first."""
    jobs = engine.submit_all(requests)
    wait_until(has_begun, "the second clip's begin")
    return jobs


@pytest.mark.starts
def test_the_next_clip_begins_while_the_last_is_written(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    every = working.submit_all([long(seed=n) for n in (1, 2, 3, 2)])
    done = [finish(working, job) for job in every]
    assert [job.state for job in done] == [State.DONE] * 4
    assert [job.attempts for job in done] == [1] * 4
    assert lines() == [BEGUN, MADE] * 3 + [MADE]
    receipts = [working.library.of_job(job.id).receipt for job in done]  # type: ignore[union-attr]
    frames = [receipt["frames_sha256"] for receipt in receipts]
    assert frames[1] == frames[3], "beside another clip's end it is the same clip"
    assert len(set(frames)) == 3
    assert all(set(receipt["stages"]) == set(receipts[0]["stages"]) for receipt in receipts)


@pytest.mark.starts
def test_one_that_is_cancelled_meanwhile_was_never_begun(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    first, second, third = queued(working, *(long(seed=n) for n in (1, 2, 3)))
    working.cancel(second.id)
    assert working.jobs.get(second.id).state is State.CANCELLED, "it waited, so at once"
    assert [finish(working, job).state for job in (first, third)] == [State.DONE] * 2
    assert working.library.of_job(second.id) is None
    assert lines()[:3] == [BEGUN, MADE, "isn't wanted"]


@pytest.mark.starts
def test_one_that_is_changed_meanwhile_is_made_as_it_is_then(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    first, second = queued(working, long(seed=1), long(seed=2))
    working.jobs.edit(second.id, long("other", seed=7))
    assert [finish(working, job).state for job in (first, second)] == [State.DONE] * 2
    clip = working.library.of_job(second.id)
    assert clip is not None
    assert (clip.receipt["request"]["prompt"], clip.receipt["seed"]) == ("other", 7)
    assert "isn't wanted" in lines()


@pytest.mark.starts
@pytest.mark.parametrize("how", ["error", "oom"])
def test_what_fails_early_is_told_in_its_turn(
    working: Engine, long: Callable[..., ClipRequest], how: str
) -> None:
    bad = long(f"fail={how} at=denoise:0 memory=VRAM")
    first, second, third = working.submit_all([long(seed=1), bad, long(height=256, width=256)])
    done = [finish(working, job) for job in (first, second, third)]
    assert [job.state for job in done] == [State.DONE, State.FAILED, State.DONE]
    assert ("memory" if how == "oom" else "scripted failure") in str(done[1].note)
    assert str(done[0].note) == ""
    assert lines()[0] == BEGUN


@pytest.mark.starts
def test_a_worker_that_dies_meanwhile_takes_neither_with_it(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    first, second = queued(working, long(seed=1), long(seed=2))
    pid = working.lanes[0].status.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    done = [finish(working, job) for job in (first, second)]
    assert [job.state for job in done] == [State.DONE] * 2
    assert [job.attempts for job in done] == [2, 1], "the one that waited lost no try"
    assert lines() == [BEGUN, MADE, MADE], "a second try goes alone"
    assert len(list(Home.find().clips.glob("*.mp4"))) == 2


@pytest.mark.starts
def test_one_of_a_model_that_is_gone_takes_nothing_with_it(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    first, gone = working.jobs.add_all([long(seed=1), replace(long(), model="of-before")])
    working.nudge()
    done = [finish(working, job) for job in (first, gone)]
    assert [job.state for job in done] == [State.DONE, State.FAILED]
    assert done[0].attempts == 1
    assert "of-before" in str(done[1].note)
    assert lines() == [MADE]


@pytest.mark.starts
def test_a_pause_at_once_puts_the_one_back_and_leaves_the_other(
    working: Engine, long: Callable[..., ClipRequest]
) -> None:
    both = queued(working, long(seed=1), long(seed=2))
    working.pause(now=True)

    def both_wait() -> bool:
        return all(working.jobs.get(job.id).state is State.QUEUED for job in both)

    wait_until(both_wait, "both in the queue")
    assert working.lanes[0].status.worker_pid is None
    working.resume()
    assert [finish(working, job).state for job in both] == [State.DONE] * 2


@pytest.mark.starts
def test_on_the_processor_nothing_is_begun_early(
    presets_of_long_clips: Presets, jobs: Jobs, long: Callable[..., ClipRequest]
) -> None:
    """The last clip's frames and its encoder would count into the next one's peaks."""
    engine = Engine(Home.find(), presets_of_long_clips, jobs)
    try:
        engine.start(warm="scripted")
        for job in engine.submit_all([long(seed=1), long(seed=2)]):
            assert finish(engine, job).state is State.DONE
        assert lines() == [MADE, MADE]
    finally:
        engine.close()


# ---- in the worker -------------------------------------------------------------------------------


@pytest.fixture
def order(ask: Ask) -> Generate:
    return Generate(7, ask(), 3, "a.part", "a.webp", ceiling=100)


def test_what_is_asked_for_is_what_was_begun(order: Generate, ask: Ask) -> None:
    early = Early(order)
    assert early.is_asked_by(replace(order, ceiling=50)), "the budget is another one by then"
    for other in (
        replace(order, job=8),
        replace(order, request=ask("other")),
        replace(order, seed=4),
        replace(order, embed=False),
        replace(order, before="b.mp4"),
        Forget(),
        Stop(),
    ):
        assert not early.is_asked_by(other)


def test_who_waits_hears_either(order: Generate) -> None:
    claimed, dropped = Early(order), Early(order)
    claimed.claim()
    claimed.wait()
    dropped.drop()
    with pytest.raises(Cancelled):
        dropped.wait()


def test_nothing_is_told_before_and_where_it_is_at_once_then(order: Generate) -> None:
    heard: list[Any] = []
    early = Early(order)
    tell = Told(heard.append, early)
    encode, step = Advance(7, "encode", 0.0, 0, 0), Advance(7, "denoise", 0.25, 1, 4)
    busy = Occupied(7, "LoRAs are merged", 5.0)  # type: ignore[arg-type]
    for message in (encode, busy, step, busy):
        tell(message, starts=isinstance(message, Advance))
    assert heard == []
    early.claim()
    assert heard == [step, busy]
    tell(encode)
    assert heard == [step, busy, encode]


def test_whoever_tells_first_tells_in_order(order: Generate) -> None:
    """The thread that computes may see the claim before the one that heard it has caught up."""
    heard: list[Any] = []
    early = Early(order)
    tell = Told(heard.append, early)
    older, newer = Advance(7, "denoise", 0.25, 1, 4), Advance(7, "denoise", 0.5, 2, 4)
    tell(older, starts=True)
    early.claimed = True
    tell(newer, starts=True)
    early.claim()
    assert heard == [older, newer]


class Clip:
    """One whose writing is what a test says."""

    def __init__(self, order: Generate, answer: FromWorker | Exception) -> None:
        self.order, self._answer = order, answer

    def write(self) -> FromWorker:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Heard:
    """The pipe, as far as answers go."""

    def __init__(self) -> None:
        self.answers: list[FromWorker] = []

    def answer(self, message: FromWorker) -> None:
        self.answers.append(message)


def test_answers_come_in_turn_also_where_there_is_no_thread_left(
    order: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe: Any = Heard()
    writing = Writing(pipe)
    clips: list[Any] = [Clip(order, Finished(number, {})) for number in (1, 2, 3)]
    writing.begin(clips[0])
    writing.begin(clips[1])
    assert pipe.answers[:1] == [Finished(1, {})]

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_more)
    writing.begin(clips[2])
    assert pipe.answers == [Finished(number, {}) for number in (1, 2, 3)]


def test_a_worker_whose_clip_nobody_would_hear_of_ends(
    order: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr("engine.worker.making.os._exit", codes.append)
    monkeypatch.setattr("engine.worker.making.logging.shutdown", lambda: None)
    pipe: Any = Heard()
    clip: Any = Clip(order, OSError("no room for the answer"))
    writing = Writing(pipe)
    writing.begin(clip)
    writing.wait()
    assert codes == [1]
