"""Moves files: never over another one by mistake, and to other drives as well.

A folder of ours may be a link to another drive, where a rename fails with "Invalid cross-device
link".
"""

import contextlib
import ctypes
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

HALF = ".moving-"  # how a file is called while it is copied to another drive
HALF_SECONDS = 3600.0  # an older one was left by a crash
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # fcntl.h, linux/fs.h


def move(old: Path, new: Path) -> None:
    """Move ``old`` to ``new``.

    Raises:
        FileExistsError: there is a file already; it stays as it is.
        OSError: ``old`` stays where it was.
    """
    # Windows refuses while somebody still reads, and a player that was just stopped may.
    for _ in range(10 if sys.platform == "win32" else 0):
        with contextlib.suppress(PermissionError):
            _move_once(old, new)
            return
        time.sleep(0.1)
    _move_once(old, new)


def _move_once(old: Path, new: Path) -> None:
    try:
        _rename(old, new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        carry(old, new)


def replace(old: Path, new: Path) -> None:
    """Move ``old`` over whatever is at ``new``, which is there until the new one is whole.

    Raises:
        OSError: both stay as they were.
    """
    try:
        os.replace(old, new)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        carry(old, new, os.replace)


def _rename(old: Path, new: Path) -> None:
    """Rename within a drive; raises FileExistsError instead of overwriting ``new``."""
    if sys.platform == "win32":
        os.rename(old, new)  # which refuses there by itself
        return
    if sys.platform == "linux" and _renamed_by_linux(old, new):
        return
    # Elsewhere the name is taken first, by an empty file that nobody else could have made.
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        os.replace(old, new)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _renamed_by_linux(old: Path, new: Path) -> bool:
    """By renameat2(2), in one step; False where C library or file system don't have it."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(old), os.fsencode(new)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(old), None, str(new))


def carry(old: Path, new: Path, rename: Callable[[Path, Path], None] | None = None) -> None:
    """Move to another drive: a crash at any moment leaves ``old``, or ``new`` whole, or both."""
    half = new.with_name(f"{HALF}{os.getpid()}-{time.monotonic_ns()}")
    try:
        shutil.copyfile(old, half)
        with contextlib.suppress(OSError):  # a drive that keeps no times or modes
            shutil.copystat(old, half)
        with half.open("rb+") as copied:
            os.fsync(copied.fileno())
        (rename or _rename)(half, new)
    finally:
        half.unlink(missing_ok=True)
    _fsync_folder(new.parent)
    try:
        old.unlink()
    except OSError:
        if rename is None:
            new.unlink(missing_ok=True)  # it can't leave, so it hasn't moved
        raise


def _fsync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            opened = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)


def clear_halves(folder: Path) -> None:
    """Remove what a crash left of a move from another drive."""
    with contextlib.suppress(OSError):
        for half in folder.glob(f"{HALF}*"):
            with contextlib.suppress(OSError):
                if time.time() - half.stat().st_ctime > HALF_SECONDS:
                    half.unlink()
