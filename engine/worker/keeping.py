"""Where a clip is until it is whole, and how it gets its place in the library: one that was made
here, or came home from another machine."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

from engine.errands import Errands
from engine.home import Home, HomeError
from engine.jobs import Job, Jobs, State
from engine.library import files
from engine.library.files import Identity
from engine.library.library import Library, clip_name
from engine.library.sources import Sources
from engine.process import moves
from engine.process.own_files import sha256_of
from engine.text import Text

log = logging.getLogger("headroom.keeping")


class Keeping:
    """One job is in the hands of one thread at a time."""

    def __init__(self, home: Home, jobs: Jobs) -> None:
        self._home, self._folder, self._jobs = home, home.clips, jobs
        self._errands = Errands(home, jobs)

    def partial(self, job: int) -> tuple[Path, Path]:
        """Where the worker writes clip and poster until they are whole."""
        return self._folder / f".partial-{job}.mp4", self._folder / f".partial-{job}.jpg"

    def before(self, job: Job) -> tuple[str, dict[str, Any] | None]:
        """The file of the clip that ``job`` goes on from, or changes, and its receipt; nothing
        where there is none, or none any more, which the worker tells."""
        if job.request.clip is None:
            return "", None
        library = Library(self._home, self._jobs.store)
        clip = library.with_digest(job.request.clip)
        if clip is not None:
            return str(library.place(clip)), clip.receipt
        brought = self._errands.brought(job.request.clip)
        if brought is not None:
            return brought[0], brought[1] or None
        video = Sources(self._home, self._jobs.store).find(job.request.clip)
        return ("", None) if video is None else (str(video), None)

    def no_place(self) -> Text | None:
        """Why no clip could be kept now; None where one could."""
        try:
            self._home.writable(self._folder)
        except HomeError as error:
            return error.text
        return None

    def discard(self, job: int) -> None:
        for path in self.partial(job):
            _remove(path)

    def discard_all(self) -> None:
        with contextlib.suppress(OSError):  # its drive doesn't answer: the next start does it
            for path in self._folder.glob(".partial-*"):
                _remove(path)

    def keep(self, job: Job, receipt: dict[str, Any]) -> None:
        """Rename the whole clip into place, then write its row and the job's end as one. What was
        made for another machine is put where that one takes it from.

        The name is written down first: after a crash in between ``complete_move`` finds the clip.
        """
        try:
            partial, poster = self.partial(job.id)
            _reach_the_disk(partial)
            if job.errand:
                self._errands.keep(job, partial, poster, receipt)
                return
            file = self._free_name(clip_name(job.id, job.request.prompt, job.seed))
            digest = sha256_of(partial)
            self._jobs.made(job.id, file, receipt, digest)
            file = self._move_in(job.id, file, receipt, digest)
            self._jobs.finish(job.id, file, receipt, self._identity(file, digest))
        except OSError as error:
            self._jobs.end(
                job.id,
                State.FAILED,
                Text("worker.cant_keep", why=str(error.strerror or error)),
                Text("worker.make_writable", folder=str(self._folder)),
            )

    def complete_move(self, job: Job) -> bool:
        """The program ended while ``job`` ran: whether its clip was whole, and is kept now."""
        kept = self._jobs.half_kept(job.id)
        if kept is None:
            return False
        file, receipt, digest = kept
        with contextlib.suppress(FileNotFoundError):
            file = self._move_in(job.id, file, receipt, digest)
        path = self._folder / file
        if not path.exists() or (digest is not None and sha256_of(path) != digest):
            return False
        self._jobs.finish(job.id, file, receipt, self._identity(file, digest))
        return True

    def _free_name(self, file: str) -> str:
        """``file``, or a name beside it: a database made afresh counts its jobs from one again,
        and a clip that came by hand may have brought, and taken to the trash, any name."""

        def taken(name: str) -> bool:
            return (self._folder / name).exists() or self._jobs.names_a_clip(name)

        return next(name for name in files.other_names(file) if not taken(name))

    def _move_in(self, job: int, file: str, receipt: dict[str, Any], digest: str | None) -> str:
        """To ``file``, or, with that written down, to the next name that is free where it was taken
        this moment; returns it."""
        partial, poster = self.partial(job)
        while True:
            try:
                moves.move(partial, self._folder / file)
                break
            except FileExistsError:
                if not partial.exists():
                    raise FileNotFoundError(file) from None
                file = self._free_name(file)
                self._jobs.made(job, file, receipt, digest)
        if digest is not None:
            with contextlib.suppress(OSError, HomeError):  # the library makes another
                self._home.made(self._home.stills)
                moves.replace(poster, files.still_of(self._home, digest))
        _remove(poster)
        return file

    def _identity(self, file: str, digest: str | None) -> Identity:
        return Identity(files.stamp_of(self._folder / file), digest)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # a full or missing drive, or somebody's folder of that name
        log.warning("%s can't be removed: %s", path.name, error.strerror)


def _reach_the_disk(path: Path) -> None:
    """Put the file where a power cut leaves it, before a row says that it is there."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
