"""Where pictures are kept: each once, under its SHA-256, as long as a clip or a job names it.

The file is the one that was given, byte for byte. Its plain copy (plain.py), which models and
pages see, lies in the cache and is made again where it is missing.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from engine.home import Home
from engine.pictures.plain import SUFFIXES
from engine.process.own_files import is_own_file

FOLDER = "pictures"
# So long one stays that nothing names: it may be on somebody's form.
SPARE_SECONDS = 7 * 86_400.0


class KeptPictures:
    """The files. Any thread may ask; the same picture may come twice at a time."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._trash = home.trash / FOLDER

    def find(self, sha256: str) -> Path | None:
        """The picture's file, be it in the trash; None where it is gone."""
        for folder in (self.home.pictures, self._trash):
            for suffix in dict.fromkeys(SUFFIXES.values()):
                file = folder / f"{sha256}{suffix}"
                if is_own_file(file):
                    return file
        return None

    def plain(self, sha256: str) -> Path:
        """Where its plain copy lies, if it was made."""
        return self.home.cache / FOLDER / f"{sha256}.png"

    def add(self, source: Path, sha256: str, suffix: str) -> Path:
        """Keep the file at ``source``; one that is kept already counts as new again.

        Raises:
            OSError: the disk is full.
        """
        folder = self.home.made(self.home.pictures)
        there = self.find(sha256)
        file = folder / f"{sha256}{suffix}"
        if there is not None and there.parent == folder:
            with contextlib.suppress(OSError):
                os.utime(there)
            return there
        half = folder / f".half-{os.getpid()}-{time.monotonic_ns()}"
        try:
            shutil.copyfile(source, half)
            half.replace(file)
        finally:
            with contextlib.suppress(OSError):
                half.unlink(missing_ok=True)
        return file

    def any(self) -> bool:
        """Whether there is something to settle."""
        for folder in (self.home.pictures, self._trash):
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                if any(entries):
                    return True
        return False

    def settle(self, named: Collection[str], deleted: Collection[str]) -> int:
        """Move pictures to where the clips are that name them; returns how many are gone for good.

        Args:
            named: by a clip that isn't deleted, or by a job that may still run.
            deleted: by a clip in the trash.
        """
        gone = 0
        for folder in (self.home.pictures, self._trash):
            with contextlib.suppress(OSError):
                for file in sorted(folder.iterdir()):
                    gone += self._settle(file, named, deleted)
        return gone

    def _settle(self, file: Path, named: Collection[str], deleted: Collection[str]) -> bool:
        sha256 = file.stem
        if file.name.startswith(".half-"):
            sha256 = ""
        elif len(sha256) != 64 or file.suffix not in SUFFIXES.values():
            return False  # somebody's own
        with contextlib.suppress(OSError):  # held open on Windows: the next time
            if sha256 in named:
                if file.parent == self._trash:
                    file.replace(self.home.made(self.home.pictures) / file.name)
            elif sha256 in deleted:
                if file.parent != self._trash:
                    self._trash.mkdir(parents=True, exist_ok=True)
                    file.replace(self._trash / file.name)
            elif file.parent == self._trash or time.time() - file.stat().st_mtime > SPARE_SECONDS:
                file.unlink(missing_ok=True)
                self.plain(sha256).unlink(missing_ok=True)
                return True
        return False
