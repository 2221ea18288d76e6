"""The program that makes a share's link: only the one that Gradio's release names is ever run.

Gradio hashes frpc once, when it has downloaded it, and leaves a wrong one where the next start
finds and runs it. So it is hashed here before each start, whoever put it there. What is run is a
copy that is written from the very bytes that were hashed, into a folder that only this user can
write to.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.errors import HeadroomError
from engine.text import Text

log = logging.getLogger(__name__)

PREFIX = "frpc-"
SECONDS = 30.0  # without a byte
LARGEST = 100_000_000  # bytes; it has 12 million

SHARE_IN_NETWORK = Text("share.in_your_network")


class TunnelError(HeadroomError):
    """There is no share link; the page goes on without."""


@contextlib.contextmanager
def checked_frpc(folder: Path) -> Iterator[Path]:
    """Within this Gradio runs the copy that is given, which is as its release says.

    Args:
        folder: takes the copy; ``remove`` it once it has ended.

    Raises:
        TunnelError: there is none for this system, or another one came.
        httpx.HTTPError, OSError: it couldn't be fetched or written.
    """
    from gradio import tunneling

    kept, promised = Path(tunneling.BINARY_PATH), tunneling.CHECKSUMS.get(tunneling.BINARY_URL)
    if promised is None:
        raise TunnelError(Text("share.no_program_here"), SHARE_IN_NETWORK)
    data = _kept(kept, promised)
    if data is None:
        data = _fetched(tunneling.BINARY_URL, promised, kept)
    for old in folder.glob(f"{PREFIX}*"):  # of a program that was killed
        shutil.rmtree(old, ignore_errors=True)
    program = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder)) / kept.name
    program.touch(mode=0o700, exist_ok=False)
    program.write_bytes(data)
    tunneling.BINARY_PATH = str(program)
    try:
        yield program
    finally:
        tunneling.BINARY_PATH = str(kept)


def remove(program: Path) -> None:
    """Take the copy away; a system that still runs it may refuse, and the next start does it."""
    shutil.rmtree(program.parent, ignore_errors=True)


def _kept(place: Path, promised: str) -> bytes | None:
    """What lies at ``place``; where that is anything else than what was promised, it is deleted."""
    try:
        if place.stat().st_size <= LARGEST:
            data = place.read_bytes()
            if _hash(data) == promised:
                return data
        log.warning("%s is not what Gradio's release names, and was deleted", place.name)
        place.unlink()
    except OSError as error:
        log.info("%s can't be used: %s", place, error.strerror)
    return None


def _fetched(url: str, promised: str, place: Path) -> bytes:
    """Download it; at ``place`` nothing ever lies but the whole and right one."""
    import httpx

    data = bytearray()
    with httpx.stream("get", url, timeout=SECONDS, follow_redirects=True) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > LARGEST:
                break
    if _hash(bytes(data)) != promised:
        raise TunnelError(Text("share.program_damaged"), Text("share.program_not_kept"))
    with contextlib.suppress(OSError):  # then it is fetched anew the next time
        place.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=PREFIX, dir=place.parent)
        with os.fdopen(number, "wb") as file:
            file.write(data)
        os.replace(name, place)
    return bytes(data)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
