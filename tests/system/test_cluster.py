"""Three machines for real: Ray nodes on three addresses of this one, wan-tiny, and what can go
wrong between them. What each end does of itself is in tests/engine/joined."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.engine import Engine
from engine.jobs import Job, State
from engine.joined.cluster import member as members
from engine.joined.cluster.head import Head
from engine.joined.cluster.member import Member
from engine.joined.cluster.node import (
    Address,
    ClusterError,
    Node,
    Unreached,
    WrongToken,
    own_address_towards,
    read_address,
)
from engine.joined.cluster.token import head_token, keep
from engine.joined.machines import Machines
from engine.process.loops import nobody
from engine.request import ClipRequest
from tests.conftest import finish, wait_until

pytestmark = [
    pytest.mark.starts,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has several machines on Linux only"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Joined:
    """A machine that joins, on a folder of its own, in threads and processes of this test."""

    def __init__(self, head: Address, token: Path, own: str, home: Path) -> None:
        self.home, self.said = home, list[str]()
        variables = {**os.environ, "HEADROOM_HOME": str(home)}
        self.member = Member(head, token, self._say, own, variables)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _say(self, text: object) -> None:
        self.said.append(str(text))

    def _run(self) -> None:
        try:
            self.member.run()
        except ClusterError as error:
            self.error = error

    def end(self) -> None:
        self.member.end()
        self._thread.join(30.0)

    def processes(self) -> list[psutil.Process]:
        """All of its node: Ray's, the station, the station's worker."""
        node = self.member.node
        if node is None or node.pid is None:
            return []
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(node.pid)
            return [first, *first.children(recursive=True)]
        return []

    def workers(self) -> list[psutil.Process]:
        return [p for p in self.processes() if _is_worker(p)]


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "spawn_main" in " ".join(process.cmdline())
    return False


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "SILENT_SECONDS", 5.0)
    monkeypatch.setattr("engine.joined.machine.LOST_SECONDS", 2.0)
    monkeypatch.setattr("engine.joined.machine.CALL_SECONDS", 3.0)


@pytest.fixture
def open_head(head: Engine, machines: Machines) -> Iterator[Head]:
    token, _ = head_token(head.home)
    opened = Head(machines, Address("127.0.0.1", free_port()), token, nobody)
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


def made_by(engine: Engine, jobs: list[Job]) -> list[str]:
    clips = [engine.library.of_job(job.id) for job in jobs]
    return [clip.receipt["frames_sha256"] for clip in clips if clip is not None]


def small(engine: Engine, seed: int) -> ClipRequest:
    asked = {"prompt": "a red ball moves left", "height": 64, "width": 64, "frames": 9}
    return ClipRequest.check({**asked, "seed": seed, "model": "wan-tiny"}, engine.presets)


@pytest.mark.reliability("three machines: a worker, a node, the head's Ray killed, a line cut")
@pytest.mark.usefixtures("_in_a_hurry")
def test_twelve_clips_on_three_machines_that_fail_in_turn(
    head: Engine, machines: Machines, open_head: Head, tmp_path: Path
) -> None:
    """A worker is killed, a node, the head's Ray, and a node is cut off for a while: twelve clips,
    each once, each the one that this machine would have made."""
    token = tmp_path / "token"
    keep(token, head_token(head.home)[0].read_text())
    one, two = (
        Joined(open_head.address, token, f"127.0.0.{number}", tmp_path / f"machine {number}")
        for number in (2, 3)
    )
    try:
        wait_until(lambda: len(machines.all) == 2, "both to join")
        head.start()
        first, second = _lane_of(machines, one), _lane_of(machines, two)
        jobs = [head.submit(small(head, seed), lane=first) for seed in range(5)]
        jobs += [head.submit(small(head, seed), lane=second) for seed in range(5, 10)]
        jobs += [head.submit(small(head, seed)) for seed in (10, 11)]

        wait_until(lambda: _running(head, first) and one.workers(), "a worker at the first")
        os.kill(one.workers()[0].pid, signal.SIGKILL)
        wait_until(lambda: _running(head, second), "a clip at the second")
        assert two.member.node is not None
        assert two.member.node.pid is not None
        os.killpg(two.member.node.pid, signal.SIGKILL)
        wait_until(lambda: len(machines.all) < 2, "the second to be lost")

        stopped = one.processes()
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.suspend()
        wait_until(lambda: not _is_here(machines, first), "the first to be lost")
        for process in stopped:
            with contextlib.suppress(psutil.Error):
                process.resume()
        wait_until(lambda: len(machines.all) == 2, "both to be back")

        assert open_head._node is not None
        os.killpg(open_head._node.pid or 0, signal.SIGKILL)
        wait_until(lambda: not machines.all, "the head to have lost them all")
        for job in jobs:
            done = finish(head, job, 180)
            assert (done.state, done.attempts) == (State.DONE, 1), str(done.note)
        assert "Joining again" in " ".join(two.said)
        clips = head.library.newest()
        assert sorted(clip.job or 0 for clip in clips) == [job.id for job in jobs]
        assert len(list(head.home.clips.glob("*.mp4"))) == 12
        again = [head.submit(small(head, seed), lane="local") for seed in (0, 5)]
        for job in again:
            finish(head, job)
        assert made_by(head, again) == made_by(head, [jobs[0], jobs[5]])
        receipts = [clip.receipt.get("machine") for clip in clips if clip.job in (1, 6)]
        assert set(receipts) == {first, second}
    finally:
        for joined in (one, two):
            joined.end()
    wait_until(lambda: not [*one.processes(), *two.processes()], "their processes to end")


def _lane_of(machines: Machines, joined: Joined) -> str:
    for machine in machines.all:
        folder = joined.home / "headroom.sqlite3"
        if folder.is_file() and machine.id in _own_id(folder):
            return machine.lanes[0].name
    raise AssertionError("it hasn't joined")


def _own_id(database: Path) -> str:
    import sqlite3

    with contextlib.closing(sqlite3.connect(database)) as db:
        return str(db.execute("select value from settings where name = 'machine_id'").fetchone())


def _is_here(machines: Machines, name: str) -> bool:
    return any(machine.name == name for machine in machines.all)


def _running(head: Engine, lane: str) -> bool:
    return any(job.lane == lane for job in head.jobs.all_running())


def test_who_has_another_token_or_no_head_is_refused(open_head: Head, tmp_path: Path) -> None:
    token = tmp_path / "token"
    keep(token, "not the right one")
    wrong = Node("127.0.0.2", token, head=open_head.address)
    with pytest.raises(WrongToken, match="doesn't accept this token"):
        wrong.start()
    assert not wrong.alive


def test_no_head_at_an_address_is_a_sentence(tmp_path: Path) -> None:
    token = tmp_path / "token"
    keep(token, "some")
    nobody_there = Address("127.0.0.1", free_port())
    with pytest.raises(Unreached, match=r"No machine answers at 127\.0\.0\.1"):
        Node("127.0.0.2", token, head=nobody_there).start()


@pytest.mark.parametrize(
    "address", ["", ":7870", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:x", "a b", "::1"]
)
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(ClusterError, match="is no address of a machine"):
        read_address(address)


def test_an_address_may_have_a_port() -> None:
    assert read_address("localhost:7900") == Address("127.0.0.1", 7900)
    assert str(read_address(" 127.0.0.5 ")) == "127.0.0.5"
    assert own_address_towards("127.0.0.1") == "127.0.0.1"


def test_only_its_owner_can_read_the_token(head: Engine) -> None:
    file, new = head_token(head.home)
    assert new
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert len(file.read_text()) >= 32
    file.chmod(0o644)
    assert head_token(head.home) == (file, False)
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    token = tmp_path / "token"
    keep(token, "some")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ClusterError, match="Machines can't join at"):
            Node("127.0.0.1", token, taken.getsockname()[1]).start()
