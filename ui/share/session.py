"""Opens and closes the visitors' page: its port, its tunnel or network address, and its end."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uvicorn

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.machine.addresses import in_url, own_addresses
from engine.process import loops
from engine.process.loops import Loop
from engine.process.patience import WakingClock
from engine.store import StoreError
from engine.text import NOTHING, Text
from ui.server.door import MOST, Door, guard
from ui.server.listening import PortError, keep_serving, listen
from ui.server.own_names import OwnNames
from ui.share.tunnel import Tunnel, open_tunnel
from ui.share.visitor_app import build_app
from ui.share.visitors import Share, Visits

log = logging.getLogger(__name__)
Where = Literal["link", "network"]
START_SECONDS = 10.0
# So late at most a share ends after its time, where the machine slept or its clock was set.
LOOK_SECONDS = 1.0
OpenTunnel = Callable[[int, str, Path], Tunnel]


class SharingError(HeadroomError):
    """It can't be shared."""


@dataclass(frozen=True)
class Opened:
    """What the owner passes on. It is shown once: only the share knows the password after this."""

    address: str
    password: str

    @property
    def invitation(self) -> str:
        """Both in one, for a QR code: browsers keep what is behind # to themselves."""
        return f"{self.address}#{self.password}"


class Sharing:
    """At most one share at a time. ``start`` opens it, ``stop`` or its time closes it."""

    def __init__(
        self,
        engine: Engine,
        tunnel: OpenTunnel = open_tunnel,
        wall: Callable[[], float] = time.time,
        connections: int = MOST,
    ) -> None:
        """``connections``: as many may be open, of this computer or of others."""
        self._engine, self._open_tunnel, self._wall = engine, tunnel, wall
        self._most = connections
        self._lock = threading.Lock()
        self._visits: Visits | None = None
        self._server: uvicorn.Server | None = None
        self._tunnel: Tunnel | None = None
        self.address = ""

    def start(self, where: Where, hours: float, model: str) -> Opened:
        """Begin a share.

        Raises:
            TunnelError: no link; nothing is open then.
            NotNoted: the data folder can't be written to.
            SharingError: it is open already, or this computer is in no network.
        """
        with self._lock:
            if self._visits is not None:
                raise SharingError(Text("share.already"), Text("share.stop_first"))
            try:
                return self._start(where, hours, model)
            except BaseException:
                self._stop()
                raise

    def _start(self, where: Where, hours: float, model: str) -> Opened:
        share = Share(model, hours * 3600, wall=self._wall)
        self._visits = visits = Visits(self._engine, share)
        link: set[str] = set()
        local = own_addresses() if where == "network" else []
        if where == "network" and not local:
            raise SharingError(Text("share.no_network"), Text("share.connect"))
        hosts = OwnNames(map(in_url, local)) if where == "network" else link
        port = self._listen(visits, hosts, "::" if where == "network" else "127.0.0.1")
        if where == "network":
            self.address = f"http://{in_url(local[0])}:{port}/"
        else:
            name, home = secrets.token_urlsafe(32), self._engine.home
            self._tunnel = self._open_tunnel(port, name, home.made(home.cache))
            link.add(self._tunnel.host)
            self.address = f"{self._tunnel.url.rstrip('/')}/"
        loops.start(
            threading.Thread(
                target=self._end_in_time, args=(visits,), name="share's end", daemon=True
            )
        )
        return Opened(self.address, share.password)

    def _listen(self, visits: Visits, hosts: Container[str], host: str) -> int:
        app = build_app(visits, hosts, tunnelled=host == "127.0.0.1")
        try:
            listening = listen(host, 0)
        except PortError as error:
            raise SharingError(Text("share.not_started"), Text("share.try_again")) from error
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="critical",
                server_header=False,
                timeout_graceful_shutdown=0,  # from Python 3.12 on a download would hold it open
            )
        )
        guard(self._server, Door(self._most))
        loop = Loop("visitors_page", self._engine.faults.tell)
        arguments = (self._server, self._server.run, listening.sockets, loop)
        loops.start(
            threading.Thread(
                target=keep_serving, args=arguments, name="visitors' page", daemon=True
            )
        )
        clock = WakingClock()
        while not self._server.started:
            if clock() > START_SECONDS:
                raise SharingError(Text("share.not_started"), Text("share.try_again"))
            time.sleep(0.01)
        return listening.port

    def _end_in_time(self, visits: Visits) -> None:
        """Wait for the end of this share, and see to it that its visitors' jobs are cancelled:
        the database may be held by another program just then."""
        while visits.share.open:
            time.sleep(min(LOOK_SECONDS, visits.share.left))
        loop = Loop("share_end", self._engine.faults.tell)
        ending = self._engine.jobs.store.closing  # then the next start cancels them
        while not ending.is_set():
            with loop.turn():
                with self._lock:
                    if self._visits is visits:
                        self._stop()
                visits.end()
                return
            time.sleep(loop.pause)

    def stop(self) -> None:
        """End the share at once: nobody is let in, and what visitors have unfinished ends."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        visits, self._visits, self.address = self._visits, None, ""
        if visits is not None:
            visits.close()  # before the tunnel, which may take its time
        if self._tunnel is not None:
            self._tunnel.close()
        if self._server is not None:
            # A download that is under way shall end as well.
            self._server.should_exit = self._server.force_exit = True
        self._tunnel = self._server = None
        if visits is not None:
            _cancel(visits)

    def close(self) -> None:
        self.stop()

    @property
    def open(self) -> bool:
        """Whether visitors can come: it has an address, and its time isn't over."""
        visits = self._visits
        return visits is not None and self.address != "" and visits.share.open

    def state(self) -> dict[str, Any]:
        """For the page: whether it is open, for how long, and who is there. No password.

        Raises:
            StoreError: the database doesn't tell what visitors have made.
        """
        visits, tunnel = self._visits, self._tunnel
        if visits is None or not self.open:
            return {"open": False, "address": "", "left": 0, "trouble": NOTHING, "visitors": []}
        lost = tunnel is not None and not tunnel.alive
        return {
            "open": True,
            "address": self.address,
            "left": round(visits.share.left),
            "trouble": Text("share.link_broken") if lost else NOTHING,
            "visitors": [self._visitor(visits, v.id, v.name) for v in visits.share.visitors()],
        }

    def _visitor(self, visits: Visits, number: str, name: str) -> dict[str, Any]:
        jobs = self._engine.jobs.of_visitor(number)
        done = sum(job.state == "done" for job in jobs)
        waiting = sum(not job.state.final for job in jobs)
        return {"name": name, "done": done, "unfinished": waiting}


def _cancel(visits: Visits) -> None:
    """Cancel what ``visits`` left unfinished. Where that fails, mostly because another program
    holds the database, none of it is begun, and ``_end_in_time`` goes on trying."""
    try:
        visits.end()
    except StoreError as error:
        log.warning("visitors' jobs are not cancelled yet: %s", error.sentence)
    except Exception:
        log.exception("visitors' jobs are not cancelled yet")
