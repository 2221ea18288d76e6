"""Nothing is lost or made twice, whenever either process is killed."""

import sys

import pytest

from tests.support.crashes import JOBS, KILLS, rounds

ROUNDS = 5  # of the 20 that tests.tools.reliability plays: they take seven seconds each

pytestmark = [pytest.mark.starts, pytest.mark.long]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_every_job_ends_once_and_every_clip_has_its_row() -> None:
    played = rounds(ROUNDS)
    assert [f"round {r.number}: {text}" for r in played for text in r.wrong] == []
    for told in played:
        assert sum(told.states.values()) == JOBS
        assert set(told.states) <= {"done", "failed"}
        assert told.killed["engine"] >= 1, "a round without a kill would prove nothing"
        assert told.killed["worker"] >= 1
    assert sum(sum(r.killed.values()) for r in played) > ROUNDS * KILLS * 0.9
    assert sum(r.retried for r in played) >= ROUNDS / 4, "jobs were hit while they ran"
    assert sum(r.early for r in played) > JOBS / 5, "so were clips that were begun early"
    assert sum(r.clips for r in played) > ROUNDS * JOBS * 0.9
