"""This machine joins another one: starts a Ray node, has it run the station, and does so again
whenever the line was cut or the other machine has been started anew."""

import contextlib
import logging
import multiprocessing
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.joined.cluster.bridge import STATION
from engine.joined.cluster.node import (
    PORT,
    Address,
    ClusterError,
    Node,
    OtherRay,
    Unreached,
    WrongToken,
    connect,
    own_address_towards,
)
from engine.text import Text, from_row

log = logging.getLogger("headroom.member")

LOOK_SECONDS = 1.0
SILENT_SECONDS = 15.0  # without a call of the head's: it has gone, or was started anew
START_SECONDS = 60.0
PAUSES = (1.0, 2.0, 5.0, 10.0)  # seconds between tries
THREADS = 16  # of the station: each lane's calls, and one that waits for news


class Dismissed(ClusterError):
    """The head has sent this machine away."""


class Member:
    """See the module's docstring.

    Args:
        own: the address by which the head reaches this machine; None finds it.
        say: tells whoever sits here what happens.
        variables: the station's environment.
    """

    def __init__(
        self,
        head: Address,
        token_file: Path,
        say: Callable[[Text], None],
        own: str | None = None,
        variables: Mapping[str, str] = os.environ,
    ) -> None:
        self._variables = dict(variables)
        self._head, self._token_file, self._say = head, token_file, say
        self._own = own or own_address_towards(head.host)
        self.node: Node | None = None
        self._ended = threading.Event()

    def end(self) -> None:
        """From any thread: ``run`` returns."""
        self._ended.set()

    def run(self) -> None:
        """Work for the head until ``end``.

        Raises:
            WrongToken, OtherRay, Dismissed: trying again wouldn't help.
            ClusterError: Ray doesn't start here.
        """
        tries, joined_once = 0, False
        while not self._ended.is_set():
            self.node = node = Node(self._own, self._token_file, PORT, self._head)
            try:
                node.start()
                self._say(Text("joined.at_work", head=self._head))
                tries, joined_once = 0, True
                self._work(node)
            except Unreached as error:
                if tries == 0:
                    told = (
                        error.text if not joined_once else Text("joined.waits_for", head=self._head)
                    )
                    self._say(told)
            except (WrongToken, OtherRay, Dismissed):
                raise
            finally:
                node.close()
            self._ended.wait(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _work(self, node: Node) -> None:
        """Until the line is cut, or the station ends."""
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        address = f"{self._head.host}:{self._head.port}"
        driver = context.Process(
            target=drive,
            args=(theirs, address, self._own, str(self._token_file), self._variables),
            name="driver",
            daemon=True,
        )
        driver.start()
        theirs.close()
        try:
            heard, making = time.monotonic(), ""
            while not self._ended.is_set():
                if pipe.poll(LOOK_SECONDS):
                    state: Mapping[str, Any] = pipe.recv()
                    heard = time.monotonic()
                    if state["dismissed"]:
                        why, remedy = map(from_row, state["dismissed"])
                        raise Dismissed(why, remedy)
                    if state["silent"] > SILENT_SECONDS:
                        self._say(Text("joined.head_silent", head=self._head))
                        return
                    if state["making"] and state["making"] != making:
                        self._say(Text("joined.making", what=state["making"]))
                    making = state["making"]
                if time.monotonic() - heard > START_SECONDS or not (
                    driver.is_alive() and node.alive
                ):
                    self._say(Text("joined.cut_off", head=self._head))
                    return
        except (EOFError, OSError):
            self._say(Text("joined.cut_off", head=self._head))
        finally:
            with contextlib.suppress(OSError):
                pipe.close()  # the driver ends the station politely
            driver.join(5.0)
            if driver.is_alive():
                driver.kill()
                driver.join()


def drive(
    pipe: Connection, address: str, own: str, token_file: str, variables: dict[str, str]
) -> None:
    """In a process of its own, because Ray ends one whose cluster it has lost: start the station
    and tell of it."""
    connect(address, own, Path(token_file))
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from engine.joined.cluster.actor import StationActor

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    station = (
        ray.remote(StationActor)
        .options(
            name=f"{STATION}{secrets.token_hex(8)}",
            num_cpus=0,
            max_concurrency=THREADS,
            scheduling_strategy=here,
        )
        .remote(variables)
    )
    try:
        while True:
            pipe.send(ray.get(station.state.remote(), timeout=START_SECONDS))
            if pipe.poll(LOOK_SECONDS / 2):
                pipe.recv()
    except (EOFError, OSError):
        with contextlib.suppress(Exception):
            ray.get(station.end.remote(), timeout=4.0)
    except Exception as error:  # of many kinds; the other side looks at whether this one lives
        log.warning("the station is gone: %s", type(error).__name__)
    os._exit(0)
