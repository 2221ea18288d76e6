"""Senseless calls of a running page, thousands of them: nothing of ours fails, leaks or grows."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fuzz import CALLS, REAL, fuzz

pytestmark = [pytest.mark.starts, pytest.mark.long]

# Of the page's process between call 1,000 and the last; 4 % were measured.
GROWTH = 0.10
# tests.tools.reliability sends all of them.
COUNT = CALLS if os.environ.get("HEADROOM_RELIABILITY") else 1_800


@pytest.mark.reliability("Senseless calls of all addresses, from a fixed seed")
def test_senseless_calls_break_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = fuzz(COUNT, tmp_path)
    record_property(
        "reliability",
        f"{told.calls:,}: {sum(told.faults.values())} answered with 5xx, {len(told.leaks)} told a "
        f"client what is inside, memory {told.growth:+.0%}",
    )
    assert told.calls >= COUNT
    assert told.ours == [], told.ours[0]
    assert told.faults == {}
    assert told.leaks == []
    assert told.broken == {}
    assert told.clips <= 3 * REAL, "the calls made no clips but those that were meant"
    assert told.serves, "the next clip is made"
    assert told.growth <= GROWTH, told.megabytes
    assert told.statuses["2xx"] > COUNT // 10
    assert told.statuses["4xx"] > COUNT // 10
