"""Where ``--out`` puts things: judged before anything is computed, and written whole or not."""

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.home import Home

PART = r"\.headroom-[0-9a-f]+\.part"  # a drawn name; an earlier version had a process's number
PART_SECONDS = 3600.0  # a copy is written all the time, so an older one was left by a kill
TRIAL = bytes(1 << 16)  # a full disk may still take a name


class OutError(HeadroomError):
    """What ``--out`` names can't be written."""

    exit_code = ExitCode.BAD_INPUT


class NotCopied(HeadroomError):
    """The clip was made, but its copy can't be. ``path`` is where the clip is."""

    def __init__(self, out: Path, why: str, path: Path) -> None:
        super().__init__(f"--out {out}: {why}.", f"The clip was made; it is at {path}")
        self.path = path

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"path": str(self.path)}


def out_file(named: str, home: Home) -> Path:
    """The whole path of the MP4 that ``--out`` names; one that is there will be replaced.

    Raises:
        OutError: it can't be written, or is no place for a copy.
    """
    with _refusing(named):
        if named.endswith(tuple(filter(None, (os.sep, os.altsep)))):
            raise OutError(f"--out {named}: that is a folder.", "Name a file in it.")
        if Path(named).suffix.lower() != ".mp4":
            raise OutError(f"--out {named}: a clip is an MP4.", "Use a name that ends in .mp4.")
        file = Path(named).resolve()
        if not _is_folder(file.parent):
            raise OutError(f"--out {named}: there is no such folder.", "Create it first.")
        if file.parent in (home.clips.resolve(), home.trash.resolve()):
            raise OutError(
                f"--out {named}: {file.parent} holds the library's own clips.",
                "The clip is saved there anyway; choose another folder for the copy.",
            )
        if file.is_dir():
            raise OutError(f"--out {named}: that is a folder.", "Name a file in it.")
        there = file.exists()
        if there and not file.is_file():
            raise OutError(f"--out {named}: that isn't a regular file.", "Choose another name.")
        if there:
            with file.open("r+b"):  # or a file that nobody may change would be replaced
                pass
        _try(_part(file.parent) if there else file)
        return file


def out_folder(named: Path) -> Path:
    """The whole path of the folder that ``--out`` names; it is made where it isn't there.

    Raises:
        OutError: it can't be made, or nothing can be written to it.
    """
    with _refusing(named):
        folder = named.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        _try(_part(folder))
        return folder


def copy(clip: Path, out: Path) -> Path:
    """Copy ``clip`` to ``out``; what was there stays until the copy is whole.

    Raises:
        NotCopied: with the place of the clip.
    """
    half = _part(out.parent)
    try:
        shutil.copyfile(clip, half)
        half.replace(out)
    except OSError as error:
        raise NotCopied(out, error.strerror or str(error), clip) from error
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
    return out


@contextmanager
def _refusing(named: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a name with a NUL
        why = getattr(error, "strerror", None) or str(error)
        raise OutError(
            f"--out {named}: it can't be written: {why}.", "Choose another place."
        ) from error


def _is_folder(path: Path) -> bool:
    """Unlike ``is_dir`` it says what is wrong with a name that no file can have."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.stat()
    return path.is_dir()


def _part(folder: Path) -> Path:
    """A name that nobody has: in a container every process has the same number. Half a copy that a
    kill left long ago is removed; it is of no use."""
    with contextlib.suppress(OSError):  # another one's; or gone this moment
        for old in folder.glob(".headroom-*.part"):
            if re.fullmatch(PART, old.name) and time.time() - old.stat().st_mtime > PART_SECONDS:
                old.unlink()
    return folder / f".headroom-{secrets.token_hex(8)}.part"


def _try(file: Path) -> None:
    """Write a little to ``file``, which isn't there, and remove it again."""
    opened = file.open("xb")
    try:
        with opened:
            opened.write(TRIAL)
    finally:
        file.unlink(missing_ok=True)
