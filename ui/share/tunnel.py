"""The way from the internet to the visitors' page: Gradio's own tunnel, or why there is none."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from engine.errors import first_line
from engine.process.outward import CORRECT_IT, fault
from engine.text import Text
from ui.share.frpc import SHARE_IN_NETWORK, checked_frpc, remove
from ui.share.frpc import TunnelError as TunnelError


@dataclass
class Tunnel:
    """An open tunnel: ``url`` is where it begins, ``program`` what was made to be run for it."""

    url: str
    process: "subprocess.Popen[bytes] | None"
    program: Path | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def alive(self) -> bool:
        return self.process is None or self.process.poll() is None

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.program is not None:
            remove(self.program)


def open_tunnel(port: int, token: str, folder: Path) -> Tunnel:
    """A public address for the local ``port``.

    Args:
        token: names the tunnel at the share's server; not a secret of ours.
        folder: takes the server's certificate, which Gradio would put into the current folder, and
            the program.

    Raises:
        TunnelError: with what stood in the way.
    """
    from gradio import networking, tunneling

    networking.CERTIFICATE_PATH = str(folder / "share-certificate.pem")
    known, program = len(tunneling.CURRENT_TUNNELS), Path(tunneling.BINARY_PATH)
    try:
        with checked_frpc(folder) as program:
            address = networking.setup_tunnel("127.0.0.1", port, token, None, None)
    except Exception as error:  # whatever it is, the page goes on; its kinds are told apart there
        why = _why_not(error, program)
        for tunnel in tunneling.CURRENT_TUNNELS[known:]:
            Tunnel("", tunnel.proc).close()
            tunnel.proc = None
        if program.parent.parent == folder:
            remove(program)
        raise why from error
    made = tunneling.CURRENT_TUNNELS[-1]
    process, made.proc = made.proc, None  # Gradio's own end of it would print to standard output
    return Tunnel(urlunsplit(urlsplit(address)._replace(scheme="https")), process, program)


def _why_not(error: Exception, program: Path) -> TunnelError:
    """The sentence for what Gradio raised."""
    import httpx

    if isinstance(error, TunnelError):
        return error
    if setting := fault(error):
        return TunnelError(Text("share.way_set_wrongly", why=setting), CORRECT_IT)
    if isinstance(error, RuntimeError) and "API Server" in str(error):
        return TunnelError(
            Text("share.service_unreachable"),
            SHARE_IN_NETWORK,
        )
    if isinstance(error, httpx.HTTPError):
        return TunnelError(
            Text("share.program_not_downloaded"),
            SHARE_IN_NETWORK,
        )
    virus = getattr(error, "winerror", None) == 225  # ERROR_VIRUS_INFECTED
    if virus or (isinstance(error, OSError) and not _runs(program)):
        return TunnelError(
            Text("share.program_blocked"), Text("share.allow_program", file=program.name)
        )
    if isinstance(error, ValueError):
        return TunnelError(Text("share.service_refused"), SHARE_IN_NETWORK)
    return TunnelError(Text("share.no_link", reason=first_line(error)), SHARE_IN_NETWORK)


def _runs(program: Path) -> bool:
    return os.path.isfile(program) and os.access(program, os.X_OK)
