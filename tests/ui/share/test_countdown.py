"""A share's time runs out by whichever clock went furthest."""

import pytest

from ui.share.countdown import Countdown

HOUR = 3600.0


@pytest.mark.parametrize(
    ("moves", "left"),
    [
        ([(60, 60)], HOUR - 60),
        ([(0, HOUR + 1)], 0.0),  # asleep for an hour
        ([(60, -7 * HOUR), (60, 60)], HOUR - 120),  # the clock was set back
        ([(HOUR, -HOUR)], 0.0),
        ([(0, HOUR / 2), (1, -HOUR / 2), (0, HOUR / 2)], 0.0),  # asleep, set back, asleep
        ([(0, 2 * HOUR), (0, -2 * HOUR)], 0.0),  # once over, over for good
        ([(-5, -5)], HOUR),
    ],
)
def test_the_earliest_end_counts(moves: list[tuple[float, float]], left: float) -> None:
    clocks = [100.0, 1_000_000.0]
    countdown = Countdown(HOUR, (lambda: clocks[0], lambda: clocks[1]))
    for monotonic, wall in moves:
        clocks[0] += monotonic
        clocks[1] += wall
        found = countdown.left
    assert found == pytest.approx(left)
