"""Clips as one ZIP, made while it is sent: never whole in memory, never on the disk.

Stored, not deflated: MP4s don't become smaller. Sizes stand behind each file and in the directory
at the end, because a stream can't be written to twice; ZIP64 where 4 GB aren't enough.
"""

import io
import os
import re
import unicodedata
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

from engine.library.files import NAME_BYTES, other_names
from engine.process.own_files import is_own_file

BLOCK = 256 * 1024
# What a file's name may not hold, or be, somewhere; a ZIP is opened on other systems, too.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.I)


class _Sink(io.RawIOBase):
    """Takes what ZipFile writes and hands it on; it can't seek, so ZipFile doesn't."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        data = b"".join(self._blocks)
        self._blocks.clear()
        return data


def zipped(
    files: Iterable[Path], note: tuple[str, Callable[[list[str]], str]], missing: Iterable[str] = ()
) -> Generator[bytes, None, None]:
    """The ZIP's bytes, in blocks of about ``BLOCK``.

    Args:
        files: each is opened only when its turn comes; one that isn't there by then is left out.
        note: the name of a text file, and what it says about the files that are left out; there is
            none where none is.
        missing: names of files that are known to be left out.

    Raises:
        OSError: a file that was begun can't be read to its end, so the ZIP can't be whole.
    """
    sink, left_out, taken = _Sink(), list(missing), {_key(note[0])}
    with ZipFile(sink, "w") as archive:
        for path in files:
            try:
                if not is_own_file(path):
                    raise FileNotFoundError
                about = ZipInfo.from_file(path, _free(path.name, taken), strict_timestamps=False)
                source = path.open("rb")
            except OSError:
                left_out.append(path.name)
                continue
            about.external_attr = 0o644 << 16
            with source, archive.open(about, "w") as entry:
                while block := source.read(BLOCK):
                    entry.write(block)
                    yield sink.taken()
        if left_out:
            archive.writestr(note[0], note[1](left_out))
    yield sink.taken()


def _free(name: str, taken: set[str]) -> str:
    """``name`` as every system can unpack it, and beside the others; kept in ``taken``."""
    for other in other_names(safe_name(name)):
        if (key := _key(other)) not in taken:
            taken.add(key)
            return other
    raise AssertionError("names never end")


def _key(name: str) -> str:
    """Equal for names that are one file on systems which overlook case or forms of a letter."""
    return unicodedata.normalize("NFC", name).casefold()


def safe_name(name: str) -> str:
    """``name`` without what makes it a path, a device or an option, or can't be unpacked."""
    stem, suffix = os.path.splitext(_UNSAFE.sub("_", name.encode("utf-8", "replace").decode()))
    stem, suffix = stem.strip(" .") or "clip", suffix.rstrip(" .")
    if _DEVICE.match(stem) or stem.startswith("-"):
        stem = f"_{stem}"
    room = NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix
