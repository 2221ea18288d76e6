"""Opens and closes the visitors' page: its port, its tunnel or network address, and its end."""

import contextlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uvicorn

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.machine.addresses import in_url, own_addresses
from engine.patience import WakingClock
from engine.text import NOTHING, Text
from ui.server.listening import PortError, listen
from ui.share.tunnel import Tunnel, open_tunnel
from ui.share.visitor_app import build_app
from ui.share.visitors import Share, Visits

Where = Literal["link", "network"]
START_SECONDS = 10.0
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

    def __init__(self, engine: Engine, tunnel: OpenTunnel = open_tunnel) -> None:
        self._engine, self._open_tunnel = engine, tunnel
        self._lock = threading.Lock()
        self._visits: Visits | None = None
        self._server: uvicorn.Server | None = None
        self._tunnel: Tunnel | None = None
        self._timer: threading.Timer | None = None
        self.address = ""

    def start(self, where: Where, hours: float, model: str) -> Opened:
        """Begin a share.

        Raises:
            TunnelError: no link; nothing is open then.
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
        share = Share(model, hours * 3600)
        self._visits = visits = Visits(self._engine, share)
        hosts: set[str] = set()
        local = own_addresses() if where == "network" else []
        if where == "network" and not local:
            raise SharingError(Text("share.no_network"), Text("share.connect"))
        port = self._listen(visits, hosts, "::" if where == "network" else "127.0.0.1")
        if where == "network":
            hosts.update(map(in_url, local))
            self.address = f"http://{in_url(local[0])}:{port}/"
        else:
            name = secrets.token_urlsafe(32)
            self._tunnel = self._open_tunnel(port, name, self._engine.home.cache)
            hosts.add(self._tunnel.host)
            self.address = f"{self._tunnel.url.rstrip('/')}/"
        self._timer = threading.Timer(share.left, self.stop)
        self._timer.daemon = True
        self._timer.start()
        return Opened(self.address, share.password)

    def _listen(self, visits: Visits, hosts: set[str], host: str) -> int:
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
                proxy_headers=False,
                timeout_graceful_shutdown=0,  # from Python 3.12 on a download would hold it open
            )
        )
        arguments = {"sockets": listening.sockets}
        threading.Thread(
            target=self._server.run, kwargs=arguments, name="visitors' page", daemon=True
        ).start()
        clock = WakingClock()
        while not self._server.started:
            if clock() > START_SECONDS:
                raise SharingError(Text("share.not_started"), Text("share.try_again"))
            time.sleep(0.01)
        return listening.port

    def stop(self) -> None:
        """End the share at once: nobody is let in, and what visitors have unfinished ends."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        visits, self._visits, self.address = self._visits, None, ""
        if self._timer is not None:
            self._timer.cancel()
        if self._tunnel is not None:
            self._tunnel.close()
        if self._server is not None:
            # A download that is under way shall end as well.
            self._server.should_exit = self._server.force_exit = True
        self._timer = self._tunnel = self._server = None
        if visits is not None:
            visits.end()

    def close(self) -> None:
        with contextlib.suppress(HeadroomError):
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
