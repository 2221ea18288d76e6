"""How things read."""

import pytest

from engine.request import Size
from engine.worker.progress import TimeLeft
from ui import wording


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (95.0, "95 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (119.7, "2 min 0 s"),
        (220, "3 min 40 s"),
    ],
)
def test_seconds(count: float, text: str) -> None:
    assert wording.seconds(count) == text


def test_sizes_read_width_first() -> None:
    assert wording.size(Size(480, 832, 81), 16) == "832 × 480, landscape, 5.1 s"
    assert wording.size(Size(832, 480, 81), 16) == "480 × 832, portrait, 5.1 s"
    assert wording.size(Size(64, 64, 17), 16) == "64 × 64, square, 1.1 s"


def test_time_left_is_honest() -> None:
    assert wording.time_left(None) == ""
    assert wording.time_left(TimeLeft(12.3, at_least=True)) == "at least 12 s left"
    assert wording.time_left(TimeLeft(7.25, at_least=False)) == "about 7.2 s left"
    assert wording.time_left(TimeLeft(0.3, at_least=False)) == "nearly done"
    assert wording.time_left(TimeLeft(0.3, at_least=True)) == ""
