"""Gives one lane of another machine the jobs that are its, and brings the clips home.

The clip of one job comes home beside the making of the next, so that the other machine's card
doesn't wait for that.
"""

import hashlib
import json
import logging
import platform
import threading
import time
from pathlib import Path
from typing import Any

from engine import logs
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.jobs import CANCELLED, Job, State
from engine.joined.machine import Machine, lost
from engine.joined.remote_lane import RemoteLane, Trip
from engine.joined.wire import PIECE, Declined, Unheard
from engine.library import reader_process
from engine.library.receipt import checked
from engine.pause import Paused
from engine.process import loops
from engine.process.loops import Loop
from engine.process.own_files import sha256_of
from engine.request import Adapter, ClipRequest
from engine.text import Text, from_row, joined
from engine.worker.keeping import Keeping
from engine.worker.queue_lock import QueueLock

log = logging.getLogger("headroom.feeder")

POLL_SECONDS = 0.5  # another process may queue jobs in the same database
LONGEST_PAUSE = 5.0  # after an error that nobody expected: somebody may wait for a clip
AGAIN_SECONDS = 0.5  # after a call without an answer
CANCEL_SECONDS = 0.2  # or cancel them
MOST_LOSSES = 3  # machines that went away with a job, after which it may be the reason
LARGEST = 2**30  # bytes of a clip: 241 frames of 720p take 40 MB


class Feeder:
    """See the module's docstring. ``start`` begins its thread, which ends with its machine."""

    def __init__(
        self, engine: Engine, machine: Machine, lane: RemoteLane, head: str, losses: dict[int, int]
    ) -> None:
        """``losses``: how often each job's machine has gone; all feeders share it."""
        self._engine, self._jobs, self._head = engine, engine.jobs, head
        self._machine, self._lane, self._losses = machine, lane, losses
        self._queue: QueueLock = engine.queue
        self._keeping = Keeping(engine.home, engine.jobs)
        self._loop = Loop("maker", engine.faults.tell, LONGEST_PAUSE)
        self._thread = threading.Thread(target=self._run, name=f"feeder {lane.name}", daemon=True)
        self._homeward: list[threading.Thread] = []

    def start(self) -> None:
        loops.start(self._thread)

    def join(self, seconds: float) -> None:
        """Wait for its end, and for what is on its way home."""
        until = time.monotonic() + seconds
        for thread in (self._thread, *self._homeward):
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    # ---- its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._machine.gone.is_set():
            with self._loop.turn():
                if not self._turn():
                    self._lane.wakeup.wait(POLL_SECONDS)
                    self._lane.wakeup.clear()
            self._machine.gone.wait(self._loop.pause)

    def _turn(self) -> bool:
        """Whether there was something to do."""
        if not (self._queue.recovered.is_set() and self._queue.still_ours()):
            return False
        if (left := self._left_running()) is not None:
            self._make(Trip(left, key_of(self._head, left)))
            return True
        if self._lane.paused:
            return False
        job = self._adopted() or self._engine.dispatch.next_for(self._lane.name)
        if job is None:
            return False
        if self._keeping.no_place() is not None:
            return False
        claimed = self._jobs.claim(job.id, self._lane.name)
        if claimed is None:
            return False
        self._make(Trip(claimed, key_of(self._head, claimed)))
        return True

    def _left_running(self) -> Job | None:
        """A job that runs here and that nobody sees to: an error that nobody expected ended that.
        Asked for again it goes on where it was."""
        running = [job for job in self._jobs.all_running() if job.lane == self._lane.name]
        return next((job for job in running if job.id not in self._lane.homeward), None)

    def _adopted(self) -> Job | None:
        """A waiting job that the other machine has from before, under way or whole."""
        errands = self._machine.seen.get("errands", {})
        mine = {
            key
            for key, told in errands.items()
            if told["lane"] in ("", self._lane.there) and told["state"] in ("running", "done")
        }
        mine -= {trip.key for trip in self._under_way()}
        if not mine:
            return None
        for job in self._jobs.waiting():
            if key_of(self._head, job) in mine:
                return job
        return None

    def _under_way(self) -> list[Trip]:
        return [lane.trip for lane in self._machine.lanes if lane.trip is not None]

    def _make(self, trip: Trip) -> None:
        """See to the job until it is made there, or has ended otherwise."""
        lane, job = self._lane, trip.job
        logs.about(job.id, job.request.prompt)
        lane.preview, lane.trip = None, trip
        try:
            state = self._follow(trip, self._send(trip))
        except Unheard as error:
            self._put_back(job, error.sentence)
            return
        except HeadroomError as error:  # the machine's, or of a file that has gone here
            self._declined(job, error)
            return
        finally:
            lane.trip = None
        if state == "done" and job.kind == "clip":
            thread = threading.Thread(
                target=self._homecoming, args=(trip,), name=f"home {job.id}", daemon=True
            )
            lane.homeward |= {job.id}
            self._homeward = [t for t in self._homeward if t.is_alive()] + [thread]
            loops.start(thread)

    def _ask(self, method: str, *values: Any) -> Any:
        """As ``Machine.ask``; asked again as long as the machine isn't given up: a line may fail
        for a moment, and what is asked for twice is done once.

        Raises:
            Declined: it won't.
            Unheard: it has gone.
        """
        while True:
            try:
                return self._machine.ask(method, *values)
            except Unheard:
                if self._machine.gone.wait(AGAIN_SECONDS):
                    raise lost(self._machine) from None

    # ---- there -----------------------------------------------------------------------------

    def _send(self, trip: Trip) -> int:
        """Have it queued there; returns its number there."""
        job, machine = trip.job, self._machine
        before = self._clip_before(job.request)
        order = {
            "request": job.request.to_json(),
            "seed": job.seed,
            "kind": job.kind,
            "embed": job.embed,
            "lane": self._lane.there,
            "head": platform.node() or "?",
            "machine": machine.called if job.visitor == "" else "",
        }
        while "job" not in (answer := self._ask("make", trip.key, order)):
            for kind, sha256 in answer["needs"]:
                path, about = self._file(kind, sha256, before)
                self._give(kind, sha256, path, about)
        return int(answer["job"])

    def _clip_before(self, request: ClipRequest) -> tuple[Path, dict[str, Any]] | None:
        if request.clip is None:
            return None
        clip = self._engine.library.with_digest(request.clip)
        if clip is not None:
            return self._engine.library.place(clip), clip.receipt
        video = self._engine.sources.find(request.clip)
        if video is not None:
            return video, {}
        raise Declined(Text("worker.clip_before_gone"), Text("worker.make_alone"))

    def _file(
        self, kind: str, sha256: str, before: tuple[Path, dict[str, Any]] | None
    ) -> tuple[Path, Any]:
        """Where what the other machine lacks lies here, and what goes with it."""
        if kind == "clip" and before is not None:
            return before
        if kind == "picture":
            found = self._engine.intake.kept.find(sha256)
            if found is not None:
                return found, found.name
        if kind == "adapter":
            (file,) = self._engine.adapters.files([Adapter(sha256)])
            return file.path, file.path.name
        raise Declined(Text("joined.file_gone", sha256=sha256[:12]))

    def _give(self, kind: str, sha256: str, path: Path, about: Any) -> None:
        size, at = path.stat().st_size, 0
        with path.open("rb") as file:
            while True:
                data = file.read(PIECE)
                last = at + len(data) >= size
                self._ask("give", kind, sha256, at, data, last, about)
                at += len(data)
                if last:
                    return

    def _follow(self, trip: Trip, number: int) -> str:
        """Until the job of that number has ended there: how. ``lost`` where it is somebody else's
        now."""
        machine, job, pictured = self._machine, trip.job, 0
        cancelled = withdrawn = False
        while True:
            if machine.gone.is_set():
                raise lost(machine)
            row = self._jobs.get(job.id)
            if row.state is not State.RUNNING or row.lane != self._lane.name:
                self._ask("cancel", trip.key)
                return "lost"
            paused = self._jobs.pause.get() is Paused.NOW
            paused |= self._lane.paused and not self._has_begun(trip, number)
            if (row.cancel_requested or paused) and not cancelled:
                self._ask("cancel", trip.key)
                cancelled, withdrawn = True, paused
            told = machine.errand(trip.key)
            # Else it is of an earlier try.
            errand = told if told is not None and told["job"] == number else None
            if errand is not None and errand["state"] in ("done", "failed", "cancelled"):
                return self._ended(trip, errand, withdrawn)
            if errand is not None and errand.get("preview", 0) not in (0, pictured):
                self._lane.preview, pictured = self._ask("preview", trip.key), errand["preview"]
            with machine.changed:
                if machine.errand(trip.key) is told:
                    machine.changed.wait(CANCEL_SECONDS)

    def _has_begun(self, trip: Trip, number: int) -> bool:
        told = self._machine.errand(trip.key)
        return told is None or told["job"] != number or told["state"] != State.QUEUED

    def _ended(self, trip: Trip, errand: Any, withdrawn: bool) -> str:
        """Settle the job.

        Args:
            withdrawn: it was cancelled there because one of the queues is paused.
        """
        machine, job, state = self._machine, trip.job, str(errand["state"])
        machine.learn_soon()
        note, remedy = from_row(errand["note"]), from_row(errand["remedy"])
        if state == "done" and job.kind == "clip":
            return state
        if state == "done":
            self._jobs.end(job.id, State.DONE, note, remedy)
        elif state == "failed":
            named = Text("joined.failed_there", machine=machine.called)
            self._jobs.end(job.id, State.FAILED, joined(named, note), remedy)
        elif self._jobs.get(job.id).cancel_requested:
            self._jobs.end(job.id, State.CANCELLED, CANCELLED)
        elif withdrawn:
            self._jobs.put_back(job.id)
        else:  # its own people have taken it out
            self._lane.refuse(job.id)
            name = machine.called
            self._put_back(job, Text("joined.cancelled_there", machine=name))
        self._ask("forget", trip.key)
        return state

    # ---- home ------------------------------------------------------------------------------

    def _homecoming(self, trip: Trip) -> None:
        """The clip of ``trip`` into the library; tried until it is there or can't be."""
        try:
            self._until_home(trip)
        finally:
            self._lane.homeward -= {trip.job.id}

    def _until_home(self, trip: Trip) -> None:
        loop = Loop("home", self._engine.faults.tell, LONGEST_PAUSE)
        logs.about(trip.job.id, trip.job.request.prompt)
        while True:
            with loop.turn():
                try:
                    self._bring(trip)
                except Unheard as error:
                    self._put_back(trip.job, error.sentence)
                except Declined as error:
                    self._jobs.end(trip.job.id, State.FAILED, error.sentence, error.remedy)
                return
            if self._machine.gone.wait(loop.pause):
                self._put_back(trip.job, lost(self._machine).sentence)
                return

    def _bring(self, trip: Trip) -> None:
        machine, job = self._machine, trip.job
        made = (machine.errand(trip.key) or {}).get("made")
        if made is None or not 0 < int(made["bytes"]) < LARGEST:
            raise Declined(Text("joined.clip_gone"))
        receipt = self._ask("receipt", trip.key)
        partial, poster = self._keeping.partial(job.id)
        try:
            self._engine.home.made(partial.parent)
            with partial.open("wb") as file:
                while file.tell() < made["bytes"]:
                    piece = self._ask("take", trip.key, file.tell())
                    if not piece:
                        break
                    file.write(piece)
            poster.write_bytes(self._ask("take", trip.key, 0, True))
        except OSError as error:  # the disk is full, or gone
            self._keeping.discard(job.id)
            folder = Text("worker.make_writable", folder=str(partial.parent))
            why = error.strerror or str(error)
            raise Declined(Text("worker.cant_keep", why=why), folder) from error
        self._check(job, partial, made["sha256"], receipt)
        name = machine.called
        self._keeping.keep(job, {**receipt, "machine": receipt.get("machine") or name})
        self._ask("forget", trip.key)

    def _check(self, job: Job, clip: Path, sha256: str, receipt: Any) -> None:
        """Raises Declined: what came isn't the clip that was asked for."""
        name, request = self._machine.called, job.request
        try:
            if sha256_of(clip) != sha256:
                raise Declined(Text("joined.garbled"), Text("joined.tried_again"))
            seen = reader_process.shape(clip)
            checked(receipt, name)
        except HeadroomError as error:
            self._keeping.discard(job.id)
            raise Declined(
                joined(Text("joined.bad_clip", machine=name), error.sentence),
                Text("joined.look_there"),
            ) from error
        longer = bool(request.after) and seen.frames > request.frames
        fits = (seen.height, seen.width) == (request.height, request.width)
        fits &= longer or seen.frames == request.frames
        if not fits or receipt["request"] != request.to_json():
            self._keeping.discard(job.id)
            raise Declined(Text("joined.bad_clip", machine=name), Text("joined.look_there"))

    # ---- what became of it -----------------------------------------------------------------

    def _put_back(self, job: Job, why: Text) -> None:
        """The machine went away with it: it waits again, at its place."""
        self._keeping.discard(job.id)
        self._losses[job.id] = self._losses.get(job.id, 0) + 1
        if self._losses[job.id] >= MOST_LOSSES:
            self._jobs.interrupted(job.id, why)
        else:
            self._jobs.put_back(job.id, joined(why, Text("joined.made_elsewhere")))
        self._engine.nudge()

    def _declined(self, job: Job, error: HeadroomError) -> None:
        """It won't make it: another lane does, or nobody can."""
        self._lane.refuse(job.id)
        self._machine.learn_soon()
        if self._engine.dispatch.has_other(job, self._lane.name) and job.wanted != self._lane.name:
            self._jobs.put_back(job.id)
            self._engine.nudge()
        else:
            self._jobs.end(job.id, State.FAILED, error.sentence, error.remedy)


def key_of(head: str, job: Job) -> str:
    """The same for the same job, whenever it is asked for."""
    told = [head, job.id, job.created, job.kind, job.seed, job.embed, job.request.to_json()]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
