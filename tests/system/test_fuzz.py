"""10,000 senseless calls of a running page: nothing of ours fails, leaks or grows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fuzz import CALLS, REAL, fuzz

pytestmark = [pytest.mark.starts, pytest.mark.long]

# Of the page's process between call 1,000 and the last; 4 % were measured.
GROWTH = 0.10


@pytest.mark.reliability("10,000 senseless calls of all addresses, from a fixed seed")
def test_senseless_calls_break_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    told = fuzz(CALLS, tmp_path)
    record_property(
        "reliability",
        f"{told.calls:,}: {sum(told.faults.values())} answered with 5xx, {len(told.leaks)} told a "
        f"client what is inside, memory {told.growth:+.0%}",
    )
    assert told.calls >= CALLS
    assert told.ours == [], told.ours[0]
    assert told.faults == {}
    assert told.leaks == []
    assert told.broken == {}
    assert told.clips <= 3 * REAL, "the calls made no clips but those that were meant"
    assert told.serves, "the next clip is made"
    assert told.growth <= GROWTH, told.megabytes
    assert told.statuses["2xx"] > CALLS // 10
    assert told.statuses["4xx"] > CALLS // 10
