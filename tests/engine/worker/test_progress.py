"""Time left: from the stage's own pace, then from the past, and honest where neither knows."""

from engine.worker.messages import Advance
from engine.worker.progress import Progress, TimeLeft

PAST = {"load": 3.0, "encode": 1.0, "denoise": 8.0, "decode": 4.0, "save": 0.5}


def at(fraction: float, step: int) -> Progress:
    return Progress(1, "denoise", fraction, step, 4, since=100.0)


def test_before_the_first_step_only_the_past_knows() -> None:
    assert at(0.1, 0).time_left({}, now=101) is None
    assert at(0.1, 0).time_left(PAST, now=102) == TimeLeft(6.0 + 4.5, at_least=False)


def test_after_the_first_step_its_own_pace_counts() -> None:
    assert at(0.25, 1).time_left(PAST, now=110) == TimeLeft(30.0 + 4.5, at_least=False)
    assert at(0.25, 1).time_left({}, now=110) == TimeLeft(30.0, at_least=True)


def test_a_late_stage_never_has_less_than_nothing_left() -> None:
    slow = Progress(1, "decode", since=0.0)
    assert slow.time_left(PAST, now=60) == TimeLeft(0.5, at_least=False)


def test_the_clock_restarts_with_each_stage() -> None:
    decode = at(1.0, 4).told(Advance(1, "decode", 0.5, 0, 0))
    assert decode.since != 100.0
    assert decode.told(Advance(1, "decode", 0.6, 0, 0)).since == decode.since


def test_the_bar_only_moves_forward() -> None:
    fractions = [
        Progress(1, stage, part, 0, 4).total
        for stage in ("load", "encode", "denoise", "decode", "save")
        for part in (0.0, 0.5, 1.0)
    ]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_what_was_done_before_anybody_heard_of_it_is_no_pace() -> None:
    """A clip that was begun while the one before was written: a quarter took no time here."""
    early = Progress(1).told(Advance(1, "denoise", 0.25, 1, 4))
    assert early.time_left({}, now=early.since) is None
    assert early.time_left(PAST, now=early.since) == TimeLeft(6.0 + 4.5, at_least=False)
    later = early.told(Advance(1, "denoise", 0.5, 2, 4))
    assert later.time_left(PAST, now=early.since + 2) == TimeLeft(4.0 + 4.5, at_least=False)
