"""Other programs' videos that are to be changed: each kept under its SHA-256, byte for byte, while
a job names it.

A clip of the library is its own source; only what came from elsewhere lies here.
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

from engine.errors import HeadroomError
from engine.home import Home
from engine.library.mp4 import ClipError, shown_name
from engine.process.own_files import is_own_file, sha256_of, why_no_file
from engine.request import SHA256
from engine.store import Store
from engine.text import FileSize, Said, Text

FOLDER = "sources"
MOST = 2 * 2**30  # bytes: half a minute of a phone's 4K is 0.2 GB
# So long one stays that no job names: its request may not be made yet.
SPARE_SECONDS = 3600.0


class Sources:
    """Of one home. Any thread may ask."""

    def __init__(self, home: Home, store: Store) -> None:
        self._home, self._store = home, store
        self.folder = home.root / FOLDER

    def find(self, sha256: str) -> Path | None:
        """The file of that SHA-256; None where there is none."""
        if not SHA256.fullmatch(sha256):
            return None
        file = self.folder / f"{sha256}.mp4"
        return file if is_own_file(file) else None

    def take(self, file: Path, name: Said = "") -> str:
        """Keep the video at ``file``, which sentences call ``name``; returns its SHA-256.

        Raises:
            ClipError: it isn't a file that can be read, is too large, or there is no room for it.
        """
        called = name or shown_name(file.name)
        try:
            if why := why_no_file(file, called):
                raise ClipError(why, Text("files.check_path"))
            if file.stat().st_size > MOST:
                heavy = Text("library.video_too_heavy", file=called, most=FileSize(MOST))
                raise ClipError(heavy, Text("library.use_other_video"))
            sha256 = sha256_of(file)
            place = self._home.made(self.folder) / f"{sha256}.mp4"
            if self.find(sha256) is not None:
                os.utime(place)
                return sha256
            half = self.folder / f".half-{os.getpid()}-{time.monotonic_ns()}"
            try:
                shutil.copyfile(file, half)
                half.replace(place)
            finally:
                half.unlink(missing_ok=True)
            return sha256
        except OSError as error:
            reason = error.strerror or str(error)
            wrong = Text("library.cant_keep_video", file=called, reason=reason)
            raise ClipError(wrong, Text("files.check_path")) from error

    def settle(self) -> int:
        """Remove what no job may need any more; returns how many."""
        gone = 0
        with contextlib.suppress(OSError, HeadroomError):
            if not os.path.isdir(self.folder):
                return gone
            named = {
                row["source"]
                for row in self._store.rows(
                    "select request ->> '$.source' as source from jobs"
                    " where request ->> '$.source' is not null and (state in ('queued', 'running')"
                    " or (state in ('failed', 'cancelled') and cleared = 0))"
                )
            }
            for file in self.folder.iterdir():
                old = time.time() - file.stat().st_mtime > SPARE_SECONDS
                ours = SHA256.fullmatch(file.stem) or file.name.startswith(".half-")
                if ours and old and file.stem not in named:
                    file.unlink(missing_ok=True)
                    gone += 1
        return gone
