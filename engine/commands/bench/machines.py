"""What another machine's lane costs a clip: a Ray node of this machine's own, so that no network is
in it, and one lane at work."""

import importlib.util
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from engine.commands.bench import clips
from engine.commands.bench.row import BenchFailed, Say, median
from engine.engine import Engine
from engine.joined.cluster.head import Head
from engine.joined.cluster.member import Member
from engine.joined.cluster.node import Address
from engine.joined.cluster.token import head_token
from engine.joined.machines import Machines

CLIPS, CALLS = 8, 50
HERE, THERE = "127.0.0.1", "127.0.0.2"
PATIENCE = 120.0  # until the other node has joined


@dataclass(frozen=True)
class MachineSeconds:
    """``adds``: seconds of a clip in a queue in which the other machine's pipeline doesn't compute;
    ``local``: the same with this machine's own lane; ``call``: of one call there and back;
    ``processor``: of the head's process for each clip."""

    adds: float
    local: float
    call: float
    processor: float


def can_measure() -> bool:
    return sys.platform == "linux" and importlib.util.find_spec("ray") is not None


def machines(folder: Path, say: Say) -> MachineSeconds:
    """A queue on another node's lane, and the same on this one's.

    Raises:
        BenchFailed: the other node didn't join.
        ClusterError: Ray doesn't start.
    """
    with clips.opened(folder / "head", 1) as engine:
        joined = Machines(engine)
        token, _ = head_token(engine.home)
        head = Head(joined, Address(HERE, _free_port()), token, engine.faults.tell)
        variables = {**os.environ, "HEADROOM_HOME": str(folder / "member")}
        member = Member(head.address, token, lambda text: None, THERE, variables)
        try:
            head.start()
            threading.Thread(target=member.run, name="member", daemon=True).start()
            lane = _lane(joined)
            say("another node has joined")
            return _measured(engine, joined, lane)
        finally:
            member.end()
            joined.close()
            head.close()


def _measured(engine: Engine, joined: Machines, lane: str) -> MachineSeconds:
    for name in (engine.lane.name, lane):  # so that both have the model
        clips.queue(engine, 2, 0, name)
    local, own = clips.queue(engine, CLIPS, 100, engine.lane.name)
    before = _processor()
    there, alone = clips.queue(engine, CLIPS, 200, lane)
    processor = (_processor() - before) / CLIPS
    station = joined.all[0]
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        station.ask("watch", -1, -1, 0.0)
        took.append(time.perf_counter() - began)
    return MachineSeconds(
        there / CLIPS - median(alone), local / CLIPS - median(own), median(took), processor
    )


def _processor() -> float:
    """Seconds of this process without the thread that waits for the clips' ends."""
    return time.process_time() - time.thread_time()


def _lane(joined: Machines) -> str:
    deadline = time.monotonic() + PATIENCE
    while not joined.all:
        if time.monotonic() > deadline:
            raise BenchFailed("the other node didn't join")
        time.sleep(0.05)
    return joined.all[0].lanes[0].name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HERE, 0))
        return int(probe.getsockname()[1])
