"""The page's sockets: taken once and kept, on IPv4 and IPv6, and given to the server as they are.

Gradio looks whether a port is free, lets it go and takes it again later, by when another program
may have it; it looks at 127.0.0.1 whatever address was asked for; and its server would believe
headers about who asks.
"""

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.errors import ExitCode, HeadroomError
from engine.machine.addresses import EVERYWHERE, everywhere, in_url, resolved
from engine.machine.facts import LAST_PORT
from engine.process.loops import Loop, Tell, nobody
from engine.process.loops import start as start_thread
from engine.process.patience import WakingClock

if TYPE_CHECKING:
    import uvicorn

    from ui.server.door import Door

BACKLOG = 2048  # as Uvicorn's own
START_SECONDS = 60.0
# This computer doesn't have the address, or no IPv6 at all.
NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}


class PortError(HeadroomError):
    """No port to listen on."""

    exit_code = ExitCode.ENGINE_FAILED


@dataclass(frozen=True)
class Listening:
    """Sockets that listen already, all on one port."""

    host: str
    port: int
    sockets: list[socket.socket]

    @property
    def url(self) -> str:
        """Where a browser of this computer finds it."""
        name = "localhost" if everywhere(self.host) else in_url(self.host)
        return f"http://{name}:{self.port}/"

    @property
    def for_itself(self) -> str:
        """Where this program finds it, whatever a resolver makes of localhost."""
        if not everywhere(self.host) and self.host != "localhost":
            return self.url
        first = self.sockets[0].family == socket.AF_INET6
        return f"http://{'[::1]' if first else '127.0.0.1'}:{self.port}/"

    def close(self) -> None:
        for taken in self.sockets:
            taken.close()


def listen(host: str, port: int, tried: int = 1) -> Listening:
    """Listen on every address of ``host`` (``::`` means IPv4, too), at ``port`` or the first free
    one of the next ones; at any free one if ``port`` is 0.

    Args:
        tried: how many ports.

    Raises:
        PortError: they are taken, or ``host`` isn't ours.
    """
    addresses = list(EVERYWHERE) if host == "::" else resolved(host)
    last = min(port + tried - 1, LAST_PORT)
    why: OSError | None = None
    for candidate in range(port, last + 1) if port else [0] * 5:
        try:
            taken = _take(addresses, candidate)
        except OSError as error:
            why = error
        else:
            return Listening(host, taken[0].getsockname()[1], taken)
    if not addresses:
        reason = "there is no such name"
    else:
        reason = os.strerror(why.errno) if why is not None and why.errno else str(why)
    ports = f"port {port}" if last <= port else f"ports {port} to {last}"
    raise PortError(
        f"Headroom can't listen on {host}, {ports}: {reason}.",
        "Choose another port with --port, or check --host.",
    )


def _take(addresses: list[str], port: int) -> list[socket.socket]:
    """A socket for each address that this computer has.

    Raises:
        OSError: one is taken, or it has none of them.
    """
    taken: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                # Never both families on one: who asks would be written as ::ffff:192.168.1.4.
                made = socket.create_server((address, port), family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno not in NOT_HERE:
                    raise
                missing = error
                continue
            taken.append(made)
            port = made.getsockname()[1]
    except OSError:
        for made in taken:
            made.close()
        raise
    if not taken:
        raise missing or OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return taken


def keep_serving(
    server: "uvicorn.Server",
    run: Callable[[list[socket.socket]], None],
    sockets: list[socket.socket],
    loop: Loop,
) -> None:
    """``run`` until ``server`` is to end, whatever it meets; then ``sockets`` are closed. It closes
    what it listened on, so each try gets copies."""
    while not server.should_exit:
        with loop.turn():
            run([taken.dup() for taken in sockets])
            break
        time.sleep(loop.pause)
    for taken in sockets:
        taken.close()


@contextlib.contextmanager
def served_on(listening: Listening, door: "Door", tell: Tell = nobody) -> Iterator[None]:
    """Within this, ``launch`` of a gr.Blocks serves on these sockets, behind ``door``; ``tell``
    hears of a server that met an error and was started anew.

    ``gradio.http_server.start_server``, which ``Blocks.launch`` asks for by that name, finds a port
    and starts the server on it: ours has both.
    """
    from gradio import http_server

    usual: Callable[..., Any] = http_server.start_server
    http_server.start_server = _starter(listening, door, tell)
    try:
        yield
    finally:
        http_server.start_server = usual


def _starter(listening: Listening, door: "Door", tell: Tell) -> Callable[..., Any]:
    import uvicorn
    from gradio import http_server

    from ui.server.door import guard

    class Server(http_server.Server):
        def run(self, sockets: list[socket.socket] | None = None) -> None:
            keep_serving(self, super().run, listening.sockets, Loop("page", tell))

        def run_in_thread(self) -> None:
            """Gradio's own gives up after 5 s, which a busy machine may need."""
            self.thread = threading.Thread(target=self.run, name="page", daemon=True)
            start_thread(self.thread)
            clock = WakingClock()
            while not self.started:
                if not self.thread.is_alive() or clock() > START_SECONDS:
                    raise PortError(
                        f"The page's server didn't start on {listening.url}.",
                        "Try again; page.log may say why.",
                    )
                time.sleep(0.01)

    def start(app: Any, **_others: Any) -> tuple[str, int, str, http_server.Server]:
        server = Server(uvicorn.Config(app, log_level="warning", workers=1))
        guard(server, door)
        server.run_in_thread()
        return listening.host, listening.port, listening.for_itself, server

    return start


@contextlib.contextmanager
def asking_itself() -> Iterator[None]:
    """For Gradio's import and start. It asks its own page whether it is up, and makes HTTP clients
    on the way: within this they use no proxy and no certificates of the environment, which belong
    to what is fetched. Nothing else may run meanwhile."""
    names = ("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update({"NO_PROXY": "*", "no_proxy": "*"})
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)
