"""10,000 senseless calls of a running page: nothing of ours fails, leaks or grows."""

from pathlib import Path

from tests.fuzz import CALLS, REAL, fuzz

# What Gradio itself raises and logs for calls that make no sense. None of it reaches the client as
# anything but a 4xx with a sentence, or as an error event of its queue.
GROWTH = 0.10


def test_senseless_calls_break_nothing(tmp_path: Path) -> None:
    told = fuzz(CALLS, tmp_path)
    assert told.calls >= CALLS
    assert told.faults == {}
    assert told.ours == [], told.ours[0]
    assert told.leaks == []
    assert told.broken == {}
    assert told.clips <= 3 * REAL, "the calls made no clips but those that were meant"
    assert told.serves, "the next clip is made"
    assert told.growth <= GROWTH, told.megabytes
    assert told.statuses["2xx"] > CALLS // 10
    assert told.statuses["4xx"] > CALLS // 10
