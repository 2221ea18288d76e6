"""This machine as the head: keeps Ray and the bridge running, and tells ``Machines`` who comes and
goes. Whatever of it ends is started again."""

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Any

from engine.errors import HeadroomError
from engine.joined.cluster.bridge import LEFT, MET, UP, Bridge, RayLink
from engine.joined.cluster.node import Address, ClusterError, Node
from engine.joined.link import silent
from engine.joined.machines import Machines
from engine.joined.wire import Unheard
from engine.process import loops
from engine.process.loops import Loop
from engine.text import Text

log = logging.getLogger("headroom.cluster")

TURN_SECONDS = 0.5
AGAIN_SECONDS = 3.0


class Head:
    """See the module's docstring. ``start`` and ``close`` frame its life."""

    def __init__(self, machines: Machines, address: Address, token_file: Path, tell: loops.Tell):
        self.address, self._machines, self._token_file = address, machines, token_file
        self._tell, self._loop = tell, Loop("cluster", tell)
        self._ended = threading.Event()
        self._node: Node | None = None
        self._links: dict[str, RayLink] = {}
        self._looked = 0.0
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def start(self) -> None:
        """Return once machines can join.

        Raises:
            ClusterError: they can't.
        """
        self._node = self._started()
        loops.start(self._thread)

    def _started(self) -> Node:
        node = Node(self.address.host, self._token_file, self.address.port)
        node.start()
        return node

    def close(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(15.0)
        if self._node is not None:
            self._node.close()

    # ---- its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._loop.turn():
                self._serve()
            self._ended.wait(self._loop.pause)

    def _serve(self) -> None:
        """Until Ray or the bridge ends."""
        if self._node is None or not self._node.alive:
            if self._node is not None:
                self._node.close()
            self._node = self._started()
        address = f"{self.address.host}:{self.address.port}"
        bridge = Bridge(address, self.address.host, self._token_file)
        try:
            self._loop.went_well()
            while not self._ended.is_set():
                happened = bridge.next(TURN_SECONDS)
                if happened is not None:
                    self._heard(bridge, *happened)
                self._look_again(bridge)
                if not self._node.alive:
                    raise ClusterError(Text("joined.head_ended"), Text("joined.look_into_log"))
                if not bridge.alive:
                    raise ClusterError(Text("joined.bridge_ended"), Text("joined.look_into_log"))
        except (EOFError, OSError) as error:
            raise ClusterError(Text("joined.bridge_ended")) from error
        finally:
            for station in list(self._links):
                self._left(station)
            bridge.close()

    def _heard(self, bridge: Bridge, what: int, station: Any) -> None:
        if what == MET:
            self._begin_to_meet(bridge, station)
        elif what == LEFT:
            self._left(station)
        elif what == UP:
            log.info("machines can join at %s", self.address)

    def _begin_to_meet(self, bridge: Bridge, station: str) -> None:
        """In a thread of its own: it asks the station, whose answers come through this one."""
        link = self._links[station] = RayLink(bridge, station)
        threading.Thread(target=self._meet, args=(link,), name="meeting", daemon=True).start()

    def _look_again(self, bridge: Bridge) -> None:
        """A station that was silent for too long may answer again, and is the same for Ray."""
        if time.monotonic() - self._looked > AGAIN_SECONDS:
            self._looked = time.monotonic()
            for station, link in list(self._links.items()):
                if link.closed:
                    self._begin_to_meet(bridge, station)

    def _meet(self, link: RayLink) -> None:
        try:
            self._machines.met(link)
        except Unheard:
            link.close()
        except HeadroomError as error:
            log.warning("a machine can't work here: %s", error)
        except Exception:
            log.exception("a machine couldn't be met")

    def _left(self, station: str) -> None:
        link = self._links.pop(station, None)
        if link is not None:
            link.close()
            with contextlib.suppress(HeadroomError):
                self._machines.lost(link, silent(self._machines.called(link)).sentence)
