"""Fetches or verifies one model's files: part by part, several files at once.

What it does stands in a DownloadProgress, what it found in the Manifest;
download_process.py runs it.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from engine.errors import HeadroomError
from engine.presets import TRANSFORMERS, ModelPreset, Role, Source, WeightFile
from engine.text import NOTHING, Text
from engine.weights.checkpoint import find_part, find_parts
from engine.weights.disk_space import refuse_long_paths, refuse_too_full
from engine.weights.fetch import digest, fetch, held
from engine.weights.header_check import check_files, check_headers
from engine.weights.hub import FetchError, ask, explain
from engine.weights.linked_folders import folders
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.pins import Pins
from engine.weights.progress import DownloadProgress, FileProgress, Pace, Phase
from engine.weights.safetensors_header import WrongWeights
from engine.weights.sharing import by_content, held_elsewhere, share, shared_part
from engine.weights.state import places

log = logging.getLogger("headroom.weights")

PARALLEL = 4  # files; one stream seldom fills a fast line
TICK_SECONDS = 0.25

What = Literal["pull", "verify"]


class Download:
    """One run. Threads fetch, another tells how far they are."""

    def __init__(self, folder: Path, preset: ModelPreset, what: What) -> None:
        self.folder, self.preset, self.what = folder, preset, what
        self.manifest, self._pins = Manifest.load(folder), Pins.load(folder)
        self.phase: Phase = "asking"
        self._waits: dict[str, Text] = {}
        self._pace = Pace()
        self._hashed: dict[str, int] = {}
        self._hashing: set[str] = set()
        self._without: dict[Role, set[str]] = {}
        self._fetched_from: dict[str, int] = {}
        self._saving = threading.Lock()
        self._may_fail = False  # the optional part

    # ---- the work --------------------------------------------------------------------------

    def run(self) -> DownloadProgress:
        """Do it all.

        Returns:
            how it ended: done, or failed with the sentence and the remedy.
        """
        try:
            damaged, unknown = self.pull() if self.what == "pull" else self.verify()
        except Exception as error:
            known = isinstance(error, HeadroomError)
            if not known:
                log.exception("the download failed")
            refusal = (
                error if isinstance(error, HeadroomError) else explain(error, self.preset.name)
            )
            progress = self.progress("failed")
            return replace(progress, told=refusal.sentence, remedy=refusal.remedy)
        return replace(self.progress("done"), told=NOTHING, damaged=damaged, unknown=unknown)

    def pull(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Have every file, whole. What clips are made without keeps nothing else from coming, but
        whoever has all else asks for it."""
        needed = [file for file in self.preset.weights if not file.optional]
        self._may_fail = not all(self._part_of(file, whole=True) for file in needed)
        for file in self.preset.weights:
            try:
                self._learn(file)
            except FetchError as error:
                if not (file.optional and self._may_fail):
                    raise
                log.warning("left out: %s", error.sentence)
        wanted = self._share(self._wanted())
        passed_over = self._passed_over()
        if wanted or passed_over:
            refuse_long_paths(self.folder / promise.path for promise in wanted)
            missing = sum(p.bytes - held(self._part(p)) for p in wanted)
            refuse_too_full(self.folder, missing, self.preset.name)
            self._adopt(wanted, passed_over)
            self._fetch_all(wanted)
        check_headers(find_parts(self.folder, self.preset), self.preset)
        for leftover in [*(self.folder / OURS).glob("*.part"), *(self.folder / OURS).glob("*.xet")]:
            leftover.unlink()  # of another revision: everything that is wanted is whole
        return (), ()

    def verify(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Hash every file that is here; names the damaged ones, and those without a promise."""
        with contextlib.suppress(FetchError):  # offline: what was promised earlier has to do
            for file in self.preset.weights:
                if self._part_of(file, whole=True):
                    self._learn(file)
        self.phase = "checking"
        places = self.places()
        there = [p for p in self.manifest.promises.values() if os.path.isfile(places[p.path])]
        self._hashing = {promise.path for promise in there}
        with ThreadPoolExecutor(PARALLEL) as pool:
            good = list(pool.map(lambda promise: self._check(promise, places[promise.path]), there))
        wrong = [promise for promise, well in zip(there, good, strict=True) if not well]
        others = self._other_revisions(wrong)
        damaged = [str(places[p.path]) for p in wrong if p.role not in others]
        parts = [self._part_of(f) for f in self.preset.weights if not self.manifest.of(f.role)]
        for role in TRANSFORMERS:
            transformer = self.preset.weight_file(role)
            there_is = transformer and self._part_of(transformer, whole=True)
            if there_is and not damaged:
                try:
                    check_files(there_is, self.preset, role)
                except WrongWeights as error:
                    damaged.append(str(error.file))
        return tuple(damaged), tuple(str(part) for part in parts if part)

    def _share(self, wanted: list[Promise]) -> list[Promise]:
        """What of ``wanted`` no other model has; the rest is used by this one, too."""
        others = by_content(held_elsewhere(self.folder))
        found = [p for p in wanted if p.part_name in others]
        shared = [p for p in found if share(self.manifest, p, others[p.part_name])]
        if shared:
            self._save()
        return [promise for promise in wanted if promise not in shared]

    def _learn(self, file: WeightFile) -> None:
        """Have the hub's promises for ``file``; those that are known hold, so that a download that
        goes on later doesn't mix two revisions."""
        if self.manifest.of(file.role):
            return
        there = self._part_of(file, whole=True)
        others = held_elsewhere(self.folder) if there is None else ()
        if shared := shared_part(self.folder, others, file, self.preset.layers):
            self._pins.keep(one.promise for one in shared)
            self.manifest.promise(file.role, (one.promise for one in shared))
            self._save()
            return
        if there is not None:  # of what somebody brought, not of another layout
            sources = tuple(source for source in file.sources if _fits(source, there))
            if not sources:
                return
            file = file.model_copy(update={"sources": sources})
        try:
            self.manifest.promise(file.role, self._ask(file))
        except FetchError:
            # What somebody brought by hand is used as it is; its headers are read all the same.
            if there is None:
                raise
        self._save()

    def _ask(self, file: WeightFile, without: Collection[str] = ()) -> tuple[Promise, ...]:
        found = ask(file, self.preset.layers, without, self._pins.commits)
        self._pins.keep(found)
        return found

    def _wanted(self, role: Role | None = None) -> list[Promise]:
        """What is missing or damaged, of ``role`` or of all. A file of the right length that nobody
        hashed yet is hashed now: it may have been copied here."""
        places = self.places()
        found = []
        for promise in list(self.manifest.promises.values()):
            if role not in (None, promise.role):
                continue
            good = self.manifest.verdict(promise.path, places[promise.path])
            if good is None:
                self.phase = "checking"
                good = self._check(promise, places[promise.path])
            if not good:
                found.append(promise)
        others = self._other_revisions(found)
        return [promise for promise in found if promise.role not in others]

    def _other_revisions(self, wrong: list[Promise]) -> set[Role]:
        """Roles whose every file is ``wrong`` while their headers are right: somebody brought
        another revision, which is used as it is and not fetched over."""
        found: set[Role] = set()
        file = self.preset.weight_file("transformer")
        part = file and self._part_of(file, whole=True)
        mine = [promise for promise in wrong if promise.role == "transformer"]
        if part and len(mine) > 1 and len(mine) == len(self.manifest.of("transformer")):
            with contextlib.suppress(WrongWeights):
                check_files(part, self.preset)
                found.add("transformer")
                self.manifest.promise("transformer", ())
                self._save()
        return found

    def _check(self, promise: Promise, place: Path) -> bool:
        def seen(count: int) -> None:
            self._hashed[promise.path] = count

        try:
            found = place.stat()  # before it is read: what changes meanwhile is hashed again
            good = found.st_size == promise.bytes
            good = good and digest(place, promise, seen) == (promise.sha256 or promise.git)
            with self._saving:
                self.manifest.note(promise.path, place, good, found)
        except OSError as error:
            log.warning("%s can't be read: %s", place, error)
            good = False
        self._save()
        return good

    def _fetch_all(self, wanted: list[Promise]) -> None:
        """Several at once, the largest first, because the last one sets the end."""
        self.phase = "fetching"
        pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="fetch")
        jobs: dict[Future[None], Promise] = {}
        turned: set[Role] = set()

        def begin(promises: list[Promise]) -> None:
            for promise in sorted(promises, key=lambda p: -p.bytes):
                self._fetched_from.setdefault(promise.path, held(self._part(promise)))
                jobs[pool.submit(self._fetch_one, promise)] = promise

        begin(wanted)
        try:
            while jobs:
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    promise = jobs.pop(job)
                    error = None if job.cancelled() else job.exception()
                    if error is not None:
                        self._turn_elsewhere(promise, error)
                        turned.add(promise.role)
                        for other in [j for j, p in jobs.items() if p.role == promise.role]:
                            other.cancel()
                # Another source's files may gather in the same part files: wait for the old ones.
                for role in turned - {promise.role for promise in jobs.values()}:
                    turned.discard(role)
                    begin(self._wanted(role))
                    self.phase = "fetching"
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _turn_elsewhere(self, promise: Promise, error: BaseException) -> None:
        """Have the next source's promises where this one doesn't deliver; else raise ``error``."""
        file = self.preset.weight_file(promise.role)
        if file is not None and file.optional and self._may_fail:
            log.warning("left out: %s", error)
            self.manifest.promise(promise.role, ())
            self._save()
            return
        if not isinstance(error, FetchError) or not error.elsewhere:
            raise error
        if file is None or promise not in self.manifest.of(promise.role):
            return  # another file of the same part has done this already
        gone = self._without.setdefault(promise.role, set())
        log.warning("%s: %s Asking anew.", promise.path, error.sentence)
        fresh = self._ask(file, gone)
        if (fresh[0].repo, fresh[0].commit) == (promise.repo, promise.commit):
            # It hasn't moved on to another revision: it promises what it doesn't deliver.
            gone.add(promise.repo)
            if all(source.repo in gone for source in file.sources):
                raise error
            fresh = self._ask(file, gone)
        self.manifest.promise(promise.role, fresh)
        self._save()

    def _fetch_one(self, promise: Promise) -> None:
        def say(sentence: Text) -> None:
            self._waits[promise.path] = sentence

        target = self.folder / promise.path
        fetch(promise, target, self._part(promise), say)
        with self._saving:
            self.manifest.note(promise.path, target, True)
        self._save()

    def _passed_over(self) -> set[Role]:
        """Parts of many files that are loaded from a linked folder whose copy of one is wrong,
        while the right one lies in the own folder."""
        mine, loaded = self.places(), places(self.folder, self.preset, self.manifest)
        found: set[Role] = set()
        for promise in self.manifest.promises.values():
            place = loaded[promise.path]
            if promise.within and place != mine[promise.path]:
                good = self.manifest.verdict(promise.path, place)
                if good is None:
                    good = digest(place, promise) == (promise.sha256 or promise.git)
                if not good:
                    found.add(promise.role)
        return found

    def _adopt(self, wanted: list[Promise], passed_over: Collection[Role]) -> None:
        """Blocks that lie in a linked folder, where others are missing, are linked one by one: the
        engine wants them all in one folder. Where the system allows no links they are fetched."""
        short = {promise.role for promise in wanted if promise.within}.union(passed_over)
        places = self.places()
        for promise in self.manifest.promises.values():
            target, place = self.folder / promise.path, places[promise.path]
            if promise.role not in short or promise in wanted or place == target:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            for make in (os.symlink, os.link):
                with contextlib.suppress(OSError):
                    make(place.resolve(), target)
                    self.manifest.note(promise.path, target, True)
                    break
            else:
                wanted.append(promise)

    def places(self) -> dict[str, Path]:
        """Where each promised file lies, or will: what is loaded is verified, and what is in the
        own folder needn't be fetched."""
        return places(self.folder, self.preset, self.manifest, own_first=self.what == "pull")

    def _part_of(self, file: WeightFile, whole: bool = False) -> Path | None:
        return find_part(folders(self.folder), file, self.preset.layers, whole)

    def _part(self, promise: Promise) -> Path:
        return self.folder / OURS / promise.part_name

    def _save(self) -> None:
        with self._saving:
            try:
                self.manifest.save()
            except OSError as error:
                raise explain(error, Text("weights.the_record")) from error

    # ---- telling ---------------------------------------------------------------------------

    def tell(self, said: Text) -> None:
        """Show ``said`` with the progress."""
        self._waits[""] = said

    def progress(self, phase: Phase | None = None) -> DownloadProgress:
        """How far it is now."""
        phase = phase or self.phase
        places = self.places()
        files, fetched = [], 0
        for promise in list(self.manifest.promises.values()):
            if self.what == "verify" and promise.path not in self._hashing:
                continue
            done = self._bytes_of(promise, places[promise.path])
            files.append(FileProgress(promise.path, done, promise.bytes))
            begun = self._fetched_from.get(promise.path)
            fetched += max(0, done - begun) if begun is not None else 0
        done, total = sum(f.done for f in files), sum(f.bytes for f in files)
        rate = self._pace.see(done, time.monotonic())
        left = (total - done) / rate if rate > 0 and phase in ("fetching", "checking") else None
        return DownloadProgress(
            phase=phase,
            what=self.what,
            done=done,
            total=total,
            rate=rate,
            left=left,
            fetched=fetched,
            files=tuple(files),
            told=next(filter(None, list(self._waits.values())), NOTHING),
            pid=os.getpid(),
        )

    def _bytes_of(self, promise: Promise, place: Path) -> int:
        hashed = self._hashed.get(promise.path, 0)
        if self.what == "verify":
            return hashed
        part = held(self._part(promise))
        if part:
            return min(part, promise.bytes)
        good = self.manifest.verdict(promise.path, place)
        return promise.bytes if good else hashed if good is None else 0


def _fits(source: Source, place: Path) -> bool:
    """Whether what lies at ``place`` may have come from ``source``."""
    if source.layout in ("blocks", "folder"):
        return os.path.isdir(place)
    return os.path.isfile(place) and place.name == PurePosixPath(source.path).name
