"""The way from the internet to the visitors' page: Gradio's own tunnel, or why there is none."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from engine.errors import HeadroomError, first_line
from engine.outward import CORRECT_IT, fault
from engine.text import Text

SHARE_IN_NETWORK = Text("share.in_your_network")


class TunnelError(HeadroomError):
    """There is no share link; the page goes on without."""


@dataclass
class Tunnel:
    """An open tunnel: ``url`` is where it begins."""

    url: str
    process: "subprocess.Popen[bytes] | None"

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


def open_tunnel(port: int, token: str, folder: Path) -> Tunnel:
    """A public address for the local ``port``.

    Args:
        token: names the tunnel at the share's server; not a secret of ours.
        folder: takes the server's certificate, which Gradio would put into the current folder.

    Raises:
        TunnelError: with what stood in the way.
    """
    from gradio import networking, tunneling

    networking.CERTIFICATE_PATH = str(folder / "share-certificate.pem")
    known = len(tunneling.CURRENT_TUNNELS)
    try:
        address = networking.setup_tunnel("127.0.0.1", port, token, None, None)
    except Exception as error:  # whatever it is, the page goes on; its kinds are told apart there
        for tunnel in tunneling.CURRENT_TUNNELS[known:]:
            Tunnel("", tunnel.proc).close()
            tunnel.proc = None
        raise _why_not(error, Path(tunneling.BINARY_PATH)) from error
    made = tunneling.CURRENT_TUNNELS[-1]
    process, made.proc = made.proc, None  # Gradio's own end of it would print to standard output
    return Tunnel(urlunsplit(urlsplit(address)._replace(scheme="https")), process)


def _why_not(error: Exception, program: Path) -> TunnelError:
    """The sentence for what Gradio raised."""
    import httpx
    from gradio.exceptions import ChecksumMismatchError

    if setting := fault(error):
        return TunnelError(Text("share.way_set_wrongly", why=setting), CORRECT_IT)
    if isinstance(error, ChecksumMismatchError):
        return TunnelError(
            Text("share.program_damaged"), Text("share.delete_program", file=program.name)
        )
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
    return program.is_file() and os.access(program, os.X_OK)
