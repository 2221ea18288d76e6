"""Which lane gets which job: the scheduling alone, with lanes that a test writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from engine.guard.verdict import Word
from engine.jobs import Job, Jobs
from engine.worker.dispatch import Dispatch, turns
from tests.conftest import Ask
from tests.support.fixed_jobs import job


@dataclass
class Lane:
    """``words`` and ``seconds`` by prompt; what isn't there is open, and takes ``usual``."""

    name: str
    usual: float | None = 10.0
    words: Mapping[str, Word] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    busy_for: float | None = 0.0
    load: float = 0.0
    has: str | None = "scripted"
    refused: frozenset[int] = frozenset()

    def refuses(self, job: Job) -> bool:
        return job.id in self.refused

    def word(self, job: Job) -> Word:
        return self.words.get(job.request.prompt, Word.OPEN)

    def takes(self, job: Job) -> float | None:
        return self.seconds.get(job.request.prompt, self.usual)

    def left(self) -> float | None:
        return self.busy_for

    def loads(self, model: str, after: str | None) -> float:
        return 0.0 if model == (after or self.has) else self.load


def given_out(jobs: Jobs, ask: Ask, lanes: list[Lane], *prompts: str) -> list[str]:
    """The lane of each, in the queue's order. Sizes differ with the prompt, as what lanes say of a
    job goes by its size."""
    sizes = {prompt: 16 * (n + 1) for n, prompt in enumerate(dict.fromkeys(prompts))}
    queued = [jobs.add(ask(prompt, height=sizes[prompt])) for prompt in prompts]
    return [turn.lane for turn in turns(queued, lanes)]


def test_two_equal_lanes_take_turns(jobs: Jobs, ask: Ask) -> None:
    assert given_out(jobs, ask, [Lane("a"), Lane("b")], *"wxyz") == ["a", "b", "a", "b"]


def test_the_faster_lane_makes_more(jobs: Jobs, ask: Ask) -> None:
    lanes = [Lane("slow", usual=30.0), Lane("fast", usual=10.0)]
    found = given_out(jobs, ask, lanes, *"abcd")
    assert found == ["fast", "fast", "slow", "fast"], "the third would end at 30 in either"


def test_a_job_waits_for_the_lane_where_it_ends_first(jobs: Jobs, ask: Ask) -> None:
    """An idle card that takes a minute isn't better than one that is free in ten seconds."""
    lanes = [Lane("slow", usual=60.0), Lane("fast", usual=10.0, busy_for=10.0)]
    assert given_out(jobs, ask, lanes, "a") == ["fast"]


def test_a_size_that_only_one_opens_waits_for_it_and_others_pass(jobs: Jobs, ask: Ask) -> None:
    small = Lane("small", words={"large": Word.LOCKED})
    large = Lane("large", busy_for=100.0)
    assert given_out(jobs, ask, [small, large], "large", "a") == ["large", "small"]


def test_who_waits_only_for_memory_is_the_second_choice(jobs: Jobs, ask: Ask) -> None:
    full = Lane("full", words={"a": Word.BUSY})
    assert given_out(jobs, ask, [full, Lane("other", busy_for=500.0)], "a") == ["other"]
    closed = Lane("closed", words={"a": Word.IMPOSSIBLE})
    assert given_out(jobs, ask, [closed, full], "a") == ["full"]


def test_what_nobody_may_make_falls_to_the_best_reason(jobs: Jobs, ask: Ask) -> None:
    lanes = [Lane("a", words={"x": Word.IMPOSSIBLE}), Lane("b", words={"x": Word.LOCKED})]
    assert given_out(jobs, ask, lanes, "x") == ["b"]


def test_a_loaded_model_is_worth_what_loading_takes(jobs: Jobs, ask: Ask) -> None:
    cold = Lane("cold", load=30.0, has=None)
    assert given_out(jobs, ask, [cold, Lane("warm")], *"abcd") == ["warm", "warm", "warm", "cold"]


def test_a_lane_that_was_never_timed_is_tried(jobs: Jobs, ask: Ask) -> None:
    lanes = [Lane("known", usual=20.0), Lane("new", usual=None)]
    assert given_out(jobs, ask, lanes, *"ab") == ["known", "new"]


def test_who_refuses_a_job_does_not_get_it(jobs: Jobs, ask: Ask) -> None:
    queued = jobs.add(ask("a"))
    lanes = [Lane("a", refused=frozenset({queued.id})), Lane("b", busy_for=100.0)]
    assert [turn.lane for turn in turns([queued], lanes)] == ["b"]


def test_a_named_lane_gets_its_job_and_one_that_is_gone_is_told(jobs: Jobs, ask: Ask) -> None:
    lanes = [Lane("a"), Lane("b", busy_for=100.0)]
    (turn,) = turns([jobs.add(ask("a"), wanted="b")], lanes)
    assert (turn.lane, turn.only) == ("b", True)
    (turn,) = turns([jobs.add(ask("a"), wanted="gone")], lanes)
    assert turn.lane == "a", "who will refuse it"


def test_a_second_try_is_asked_for_by_itself(jobs: Jobs, ask: Ask) -> None:
    """It may run in its lane where a first one of its size may not."""
    first, second = jobs.add(ask("go")), jobs.add(ask("go"))
    assert jobs.claim(first.id, "a")
    assert jobs.retry(first.id, "once more")

    class Second(Lane):
        def word(self, job: Job) -> Word:
            return Word.OPEN if job.attempts and job.lane == self.name else Word.LOCKED

    found = turns([jobs.get(first.id), second], [Second("b"), Second("a")])
    assert [turn.lane for turn in found] == ["a", "b"]


def test_one_lane_gets_the_queue_as_it_stands(jobs: Jobs, ask: Ask) -> None:
    dispatch = Dispatch(jobs)
    dispatch.lanes = [Lane("only", words={"a": Word.LOCKED})]
    first, second = jobs.add(ask("a")), jobs.add(ask("b"))
    assert dispatch.next_for("only") == first
    assert dispatch.next_for("only", only=second.id) == second
    assert dispatch.next_for("only", only=77) is None


TOOK, WAITS = st.sampled_from([1.0, 5.0, 20.0]), st.sampled_from([0.0, 7.0, 50.0])


@given(
    seconds=st.lists(
        st.lists(st.sampled_from([1.0, 5.0, 20.0]), min_size=2, max_size=2), max_size=9
    ),
    waits=st.lists(st.sampled_from([0.0, 7.0, 50.0]), min_size=2, max_size=2),
)
def test_every_job_has_one_lane_and_none_ends_later_than_in_one_alone(
    seconds: list[tuple[float, float]], waits: tuple[float, float]
) -> None:
    """The queue is never over later than if one lane had made it all."""
    queued = [job(n + 1, height=16 * (n + 1)) for n in range(len(seconds))]
    lanes = [
        Lane(name, None, {}, {str(n + 1): pair[at] for n, pair in enumerate(seconds)}, waits[at])
        for at, name in enumerate("ab")
    ]
    found = list(turns(queued, lanes))
    assert [turn.job.id for turn in found] == [one.id for one in queued]
    ends = [
        (turn.begins or 0.0) + seconds[n]["ab".index(turn.lane)] for n, turn in enumerate(found)
    ]
    for at in range(2):
        alone = waits[at] + sum(pair[at] for pair in seconds)
        assert max(ends, default=0.0) <= alone


def test_when_it_begins_is_told_where_it_is_known(jobs: Jobs, ask: Ask) -> None:
    queued = [jobs.add(ask("go", height=16 * n)) for n in (1, 2, 3)]
    found = list(turns(queued, [Lane("a", usual=10.0), Lane("b", usual=10.0, busy_for=4.0)]))
    assert [(turn.lane, turn.begins) for turn in found] == [("a", 0.0), ("b", 4.0), ("a", 10.0)]
    unknown = list(turns(queued, [Lane("a", usual=None)]))
    assert [turn.begins for turn in unknown] == [0.0, None, None]
    assert [turn.begins for turn in turns(queued, [Lane("a", busy_for=None)])] == [None] * 3
