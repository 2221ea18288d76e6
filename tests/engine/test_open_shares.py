"""No visitor's job begins without an open share, however that share ended."""

import subprocess
import sys

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs, State
from engine.open_shares import NotNoted, OpenShares
from tests.conftest import Ask, finish, wait_until

IN_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from engine.home import Home
from engine.open_shares import OpenShares
share = OpenShares(Home(Path(sys.argv[1]))).open(3600)
print(share.id, flush=True)
time.sleep(60)
"""


def test_only_jobs_of_an_open_share_are_claimed(jobs: Jobs, ask: Ask) -> None:
    here, gone = jobs.shares.open(3600), jobs.shares.open(3600)
    gone.close()
    visitors = ["v", "", f"{gone.id}.5", f"{here.id}.7", "../engine.lock", "9" * 400]
    made = [jobs.add_all([ask()], visitor=(v, "Ann"))[0] for v in visitors]
    assert jobs.claim(made[0].id) is None, "of the version before, which knew no shares"
    assert jobs.claim(made[2].id) is None
    owners = jobs.claim()
    assert owners is not None
    assert owners.id == made[1].id
    inside = jobs.claim()
    assert inside is not None
    assert inside.id == made[3].id, "those that may not begin hold up nobody"
    here.close()
    assert jobs.retry(inside.id, "once more")
    assert jobs.claim() is None, "the share ended meanwhile"
    assert jobs.cancel_strays()
    states = {job.id: job.state for job in jobs.recent() if job.visitor}
    assert set(states.values()) == {State.CANCELLED}


def test_a_running_stray_is_asked_to_stop(jobs: Jobs, ask: Ask) -> None:
    share = jobs.shares.open(3600)
    jobs.add_all([ask()], visitor=(f"{share.id}.1", "Ann"))
    claimed = jobs.claim()
    assert claimed is not None
    assert not jobs.cancel_strays()
    share.close()
    assert jobs.is_stray(claimed)
    assert jobs.cancel_strays()
    assert jobs.get(claimed.id).cancel_requested


@pytest.mark.starts
@pytest.mark.reliability("kill -9 of a program that shares, with visitors' jobs waiting")
def test_a_share_ends_with_its_process_whatever_ends_that(engine: Engine, ask: Ask) -> None:
    """Another process shares, and this one works on the queue."""
    jobs = engine.jobs
    engine.start()
    with subprocess.Popen(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(engine.home.root)],
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        visitor = (f"{other.stdout.readline().strip()}.1", "Ann")
        first, *waiting = jobs.add_all(
            [ask("steps=400 step_seconds=0.1"), ask(), ask()], visitor=visitor
        )
        wait_until(lambda: jobs.get(first.id).state is State.RUNNING, "a visitor's job")
        other.kill()
    wait_until(lambda: not jobs.unfinished_of_visitors(), "the end of all of theirs")
    assert [(jobs.get(job.id).state, jobs.get(job.id).attempts) for job in waiting] == [
        (State.CANCELLED, 0)
    ] * 2
    assert finish(engine, engine.submit(ask())).state is State.DONE


def test_a_share_is_over_at_its_time_though_its_process_sleeps() -> None:
    now = [1000.0]
    shares = OpenShares(Home.find(), wall=lambda: now[0])
    share = shares.open(60)
    assert shares.has(f"{share.id}.1")
    now[0] = 1061.0
    assert not shares.has(f"{share.id}.1")
    now[0] = 1000.0
    assert shares.has(f"{share.id}.1"), "its process looks at a second clock"
    share.close()
    share.close()
    assert not shares.has(f"{share.id}.1")


def test_what_a_share_leaves_behind_is_removed_and_a_folder_that_isnt_one_is_told() -> None:
    home = Home.find()
    shares = OpenShares(home)
    share = shares.open(60)
    assert [file.name for file in home.shares.iterdir()] == [share.id]
    share.close()
    assert list(home.shares.iterdir()) == []
    home.shares.rmdir()
    home.shares.write_bytes(b"")
    with pytest.raises(NotNoted, match="can't record"):
        shares.open(60)
    assert not shares.has(f"{share.id}.1")
