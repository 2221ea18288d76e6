"""Posters: the small pictures of clips in the library, made where one is missing."""

import logging
import threading
from pathlib import Path

from engine.home import HomeError
from engine.library import reader_process
from engine.library.files import Stamp, stamp_of, still_of
from engine.library.library import Clip, Library
from engine.process import loops
from engine.process.loops import Faults, Loop
from engine.process.own_files import is_own_file

log = logging.getLogger("headroom.posters")

AT_ONCE = 24


class Posters:
    """Any thread may ask; ``close`` ends what is being made."""

    def __init__(self, library: Library, faults: Faults | None = None) -> None:
        self._library = library
        self._loop = Loop("posters", (faults or Faults()).tell)
        self._closing = threading.Event()
        # Posters to be made, whether that is being done, and of which clips none could be.
        self._lock, self._making = threading.Lock(), False
        self._wanted: dict[Path, tuple[Clip, Stamp]] = {}
        self._without: set[tuple[Path, Stamp]] = set()

    def close(self) -> None:
        self._closing.set()

    def of(self, clip: Clip) -> Path | None:
        """The poster of ``clip``; None while the one that the worker made is missing.

        Another is made then, in the background: a browser has six connections, and whoever waited
        here would keep them all.
        """
        path, digest = self._library.place(clip), clip.identity.digest
        if digest and is_own_file(poster := still_of(self._library.home, digest)):
            return poster
        if path.is_symlink():
            return None
        with self._lock:
            mark = stamp_of(path)
            if mark is not None and (path, mark) not in self._without:
                self._wanted.setdefault(path, (clip, mark))
                if not self._making and self._loop.due:
                    self._begin()
        return None

    def _begin(self) -> None:
        """A thread for what is wanted; without one the clips have no picture, and that is all."""
        try:
            loops.start(threading.Thread(target=self._make, name="posters", daemon=True))
            self._making = True
        except Exception as error:  # whoever asked goes on without
            self._loop.failed(error)

    def _make(self) -> None:
        """Those that are wanted, a few at a time, the first ones first."""
        while not self._closing.is_set():
            with self._loop.turn():
                with self._lock:
                    batch = dict(list(self._wanted.items())[:AT_ONCE])
                    if not batch:
                        self._making = False
                        return
                try:
                    stills = self._places([clip for clip, _ in batch.values()])
                    reader_process.posters(stills)
                except (reader_process.ReaderError, HomeError) as error:
                    log.warning("no posters can be made: %s", error)
                    with self._lock:
                        self._wanted.clear()
                        self._making = False
                    return
                with self._lock:
                    for path, (_, mark) in batch.items():
                        if path in stills and stamp_of(path) != mark:  # it may show another clip
                            stills[path].unlink(missing_ok=True)
                        elif path in stills and not stills[path].exists():
                            self._without.add((path, mark))
                        del self._wanted[path]
            self._closing.wait(self._loop.pause)

    def _places(self, clips: list[Clip]) -> dict[Path, Path]:
        """Where the still of each file belongs. One whose bytes nobody knows, or that isn't its
        row's, has to wait for a scan.

        Raises:
            HomeError: the folder for stills can't be made.
        """
        home, places = self._library.home, {}
        home.made(home.stills)
        for clip in clips:
            path = self._library.place(clip)
            if self._library.is_its(clip, path):
                digest = clip.identity.digest or self._library.learn(clip)
                if digest:
                    places[path] = still_of(home, digest)
        return places
