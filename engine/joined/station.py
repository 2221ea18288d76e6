"""What a machine does for another one's queue: it owns its own engine, with its own guard, plans,
meters and weights, and answers that machine's calls.

Whoever calls draws a key for each job. Asked for a key twice, the station makes it once, so that
a call whose answer was lost can be made again, and a clip that was whole when the line was cut is
still there. If nobody calls for ``LEASE_SECONDS``, what isn't finished is cancelled.
"""

import logging
import platform
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine import VERSION
from engine.engine import Engine
from engine.errands import KEY, Errands
from engine.errors import HeadroomError
from engine.jobs import Job, State
from engine.joined import wire
from engine.joined.reports import Reports
from engine.joined.wire import PIECE, PROTOCOL, Declined
from engine.process import loops
from engine.process.loops import Loop
from engine.process.own_files import sha256_of
from engine.request import SHA256, ClipRequest, Kind
from engine.settings import Settings
from engine.text import Text, from_row, to_row
from engine.worker.lane import Lane
from engine.worker.state_word import state_word

log = logging.getLogger("headroom.station")

LEASE_SECONDS, LOOK_SECONDS = 20.0, 1.0
SHARE_SECONDS = 3650 * 86_400.0  # the station's jobs are cancelled when its process ends
TURN_SECONDS, PROGRESS_SECONDS = 0.03, 0.4
OWN_AHEAD = 20  # jobs of its own that are looked at
KINDS = ("picture", "adapter", "clip")  # what a job may need that only the caller has


class Station:
    """See the module's docstring. ``start`` and ``close`` frame its life; any thread may call."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._errands = engine, Errands(engine.home, engine.jobs)
        self.id = machine_id(engine)
        self._called = time.monotonic()
        self._share = engine.jobs.shares.open(SHARE_SECONDS)
        self._taking = threading.Lock()
        self._serial, self._event, self._seen = 0, 0, dict[str, Any]()
        self._ended = threading.Event()
        self.dismissed: tuple[Text, Text] | None = None  # why this machine was sent away
        self._reports = reports = Reports(engine)
        self._methods: dict[str, Callable[..., Any]] = {
            "hello": self.hello,
            "report": reports.report,
            "watch": self.watch,
            "verdicts": reports.verdicts,
            "make": self.make,
            "give": self.give,
            "cancel": self.cancel,
            "preview": self.preview,
            "take": self.take,
            "forget": self.forget,
            "fetch": self.fetch,
            "dismiss": self.dismiss,
            "receipt": self.receipt,
        }

    def start(self) -> None:
        self._errands.forget_old()
        self._engine.record()
        self._engine.start()
        threading.Thread(target=self._watch_lease, name="lease", daemon=True).start()

    def close(self) -> None:
        """What isn't finished is cancelled; the engine is its owner's to close."""
        self._ended.set()
        self._share.close()

    def answer(self, method: str, *values: Any) -> dict[str, Any]:
        """``{"value": ...}`` of the method of that name, or ``{"error", "remedy"}``: sentences as
        rows (``text.to_row``), or ``{"gone"}``. Nothing is raised: an exception's class may not be
        there where the answer goes."""
        self._called = time.monotonic()
        if self._ended.is_set() or self.dismissed is not None:
            return {"gone": True}
        try:
            return {"value": self._methods[method](*values)}
        except HeadroomError as error:
            return {"error": to_row(error.sentence), "remedy": to_row(error.remedy)}
        except Exception as error:
            log.exception("a call of %s failed", str(method)[:40])
            return {"error": to_row(loops.described(error)), "remedy": ""}

    def state(self) -> dict[str, Any]:
        """For whoever let this machine join: seconds since the other one last called, what is made
        for it, and why this one was sent away, if it was."""
        making = [job for job in self._errands.unforgotten() if job.state is State.RUNNING]
        return {
            "silent": time.monotonic() - self._called,
            "making": str(making[0].request.size) if making else "",
            "dismissed": self.dismissed and [to_row(text) for text in self.dismissed],
        }

    # ---- what is here ----------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Who this is. ``clock``: seconds since 1970, which nothing but a remark hangs on."""
        return {
            "protocol": PROTOCOL,
            "version": VERSION,
            "id": self.id,
            "name": platform.node() or "machine",
            "clock": time.time(),
        }

    # ---- what it does ----------------------------------------------------------------------

    def watch(self, since: int, heard: int, seconds: float) -> dict[str, Any]:
        """What the lanes do and how far each job is, once that isn't what it was before, or after
        ``seconds``. How far a job is changes often, and waits for ``PROGRESS_SECONDS``.

        Args:
            since, heard: ``serial`` and ``event`` of the answer before.
        """
        began = time.monotonic()
        until = began + min(seconds, LEASE_SECONDS / 2)
        # Files, locks and settings are looked at once a call, what runs in every turn of it.
        elsewhere, paused = self._engine.is_elsewhere(), self._engine.is_paused()
        downloads = self._reports.downloads()
        while True:
            jobs = self._errands.unforgotten()
            told = {
                "errands": {job.errand: self._errand_state(job) for job in jobs},
                "lanes": self._lane_states(elsewhere),
                "downloads": downloads,
                "paused": paused,
            }
            with self._taking:
                if told != self._seen:
                    if _without_progress(told) != _without_progress(self._seen):
                        self._event += 1
                    self._serial, self._seen = self._serial + 1, told
                serial, event = self._serial, self._event
            now = time.monotonic()
            soon = event != heard or now >= began + PROGRESS_SECONDS
            if (serial != since and soon) or now >= until or self._ended.is_set():
                break
            time.sleep(TURN_SECONDS)
        self._called = time.monotonic()
        passed = {job.errand: self._passed(job) for job in jobs if job.state is State.RUNNING}
        frees = {lane.name: lane.free for lane in self._engine.lanes}
        lefts = {lane.name: self._left(lane) for lane in self._engine.lanes}
        return {
            **told,
            "serial": serial,
            "event": event,
            "passed": passed,
            "free": frees,
            "left": lefts,
        }

    def _left(self, lane: Lane) -> float | None:
        """Seconds until ``lane`` could begin a job for the other machine: this one's own come
        first."""
        left = lane.left()
        own = [job for job in self._engine.jobs.waiting(OWN_AHEAD) if not job.errand]
        for job in own:
            takes = lane.takes(job)
            left = None if left is None or takes is None else left + takes / len(self._engine.lanes)
        return left

    def _lane_states(self, elsewhere: bool) -> dict[str, Any]:
        return {
            lane.name: {
                "state": state_word(lane, elsewhere),
                "model": lane.status.model if lane.status.worker_pid is not None else "",
                "label": to_row(lane.status.label),
                "notice": to_row(lane.status.notice),
            }
            for lane in self._engine.lanes
        }

    def _errand_state(self, job: Job) -> dict[str, Any]:
        told: dict[str, Any] = {
            "job": job.id,
            "state": job.state.value,
            "lane": job.lane,
            "note": to_row(job.note),
            "remedy": to_row(job.remedy),
        }
        if job.state is State.DONE and job.kind == "clip":
            made = self._errands.made(job)
            told["made"] = None if made is None else {"sha256": made.sha256, "bytes": made.bytes}
        if job.state is State.RUNNING:
            status = self._engine.lane_of(job).status
            progress = status.progress
            if progress is not None and progress.job == job.id:
                told["at"] = [progress.stage, progress.fraction, progress.step, progress.steps]
            told["probing"] = status.probing and wire.sizes_to_json([status.probing])[0]
            told["preview"] = 0 if status.preview is None else hash(status.preview)
        return told

    def _passed(self, job: Job) -> dict[str, Any]:
        """Seconds since its stage began, and those of each stage of the clip before."""
        lane = self._engine.lane_of(job)
        progress = lane.status.progress
        since = time.monotonic() - progress.since if progress is not None else 0.0
        past = lane.guard.last_seconds(job.request.model, job.request.size)
        return {"since": since, "past": dict(past)}

    def make(self, key: str, order: Mapping[str, Any]) -> dict[str, Any]:
        """Queue the job of ``key``, unless it is here already.

        Args:
            order: ``request`` and ``seed``, ``kind``, ``embed``, the ``lane`` here, the name of
                the ``head``, and what it calls this ``machine``: "" where the clip is for somebody
                who is told nothing of it.

        Returns:
            ``{"needs": [[kind, SHA-256], ...]}`` where files are missing; else ``{"job"}``, its
            number here, by which ``watch`` tells it from an earlier try.

        Raises:
            HeadroomError: it can't be made here, as ``Engine.submit_all`` has it.
        """
        if not KEY.fullmatch(key):
            raise Declined(Text("joined.no_key"))
        kind: Kind = "probe" if order["kind"] == "probe" else "clip"
        request = ClipRequest.check(order["request"], self._engine.presets, kind == "probe")
        with self._taking:
            if (there := self._here(key)) is not None:
                return {"job": there.id}
            if needs := self._needs(request):
                return {"needs": needs}
            lane = str(order["lane"])
            if kind == "clip":
                self._engine.admit([request], may_wait=True, lane=lane, joins_here=False)
            else:
                self._engine.check_ready(request.model)
            self._errands.forget(key)  # how an earlier try ended
            job = self._errands.add(
                key,
                request,
                int(order["seed"]),
                kind,
                bool(order["embed"]),
                (f"{self._share.id}.head", str(order["head"])[:60]),
                lane if len(self._engine.lanes) > 1 else "",
                str(order["machine"])[:60],
            )
        self._engine.nudge()
        return {"job": job.id}

    def _here(self, key: str) -> Job | None:
        """The job of ``key`` that is on its way, or whole."""
        job = self._errands.find(key)
        if job is None or job.state in (State.FAILED, State.CANCELLED) or job.cancel_requested:
            return None
        whole = job.kind == "probe" or self._errands.made(job) is not None
        return job if job.state is not State.DONE or whole else None

    def _needs(self, request: ClipRequest) -> list[list[str]]:
        kept = self._engine.intake.kept
        needs = [["picture", sha] for sha in request.pictures if kept.find(sha) is None]
        here = self._engine.adapters.known(request.adapters)
        needs += [["adapter", one.sha256] for one in request.adapters if one.sha256 not in here]
        if request.clip and self._errands.brought(request.clip) is None:
            needs.append(["clip", request.clip])
        return needs

    def give(self, kind: str, sha256: str, at: int, data: bytes, last: bool, about: Any) -> None:
        """Take a piece of a file that a job needs.

        Args:
            at: where in the file it stands; the pieces come in their order.
            about: its name; of a clip its receipt.

        Raises:
            HeadroomError: it isn't the file of that SHA-256, or no such file can be used.
        """
        if kind not in KINDS or not SHA256.fullmatch(sha256):
            raise Declined(Text("joined.no_key"))
        self._engine.home.made(self._errands.folder)
        part = self._errands.folder / f".part-{kind}-{sha256}"
        with self._taking:
            with part.open("r+b" if at else "wb") as file:
                file.seek(at)
                file.write(data)
                file.truncate()
            if not last:
                return
            try:
                self._receive(kind, sha256, part, about)
            finally:
                part.unlink(missing_ok=True)

    def _receive(self, kind: str, sha256: str, part: Path, about: Any) -> None:
        if sha256_of(part) != sha256:
            raise Declined(Text("joined.garbled"), Text("joined.tried_again"))
        if kind == "picture":
            self._engine.intake.take(part, str(about)[:80])
        elif kind == "adapter":
            self._engine.adapters.add(part, Path(str(about)).name[:120])
        else:
            self._errands.bring(sha256, part, dict(about))

    def cancel(self, key: str) -> None:
        if job := self._errands.find(key):
            self._engine.cancel(job.id)

    def preview(self, key: str) -> bytes | None:
        """A small animated WebP of the clip so far."""
        job = self._errands.find(key)
        return None if job is None else self._engine.lane_of(job).status.preview

    def take(self, key: str, at: int, poster: bool = False) -> bytes:
        """The bytes of the clip from ``at`` on, at most ``PIECE``, or all of its poster.

        Raises:
            Declined: it isn't here.
        """
        if not KEY.fullmatch(key):
            raise Declined(Text("joined.no_key"))
        path = self._errands.poster(key) if poster else self._errands.clip(key)
        try:
            with path.open("rb") as file:
                file.seek(at)
                return file.read(PIECE)
        except OSError as error:
            raise Declined(Text("joined.clip_gone")) from error

    def receipt(self, key: str) -> dict[str, Any]:
        """The receipt of the clip of ``key``.

        Raises:
            Declined: it isn't here.
        """
        job = self._errands.find(key)
        made = None if job is None else self._errands.made(job)
        if made is None:
            raise Declined(Text("joined.clip_gone"))
        return made.receipt

    def forget(self, key: str) -> None:
        if KEY.fullmatch(key):  # else there is none
            self._errands.forget(key)

    def dismiss(self, why: str, remedy: str) -> None:
        """This machine isn't wanted any more; ``dismissed`` tells whoever let it join."""
        self.dismissed = from_row(why), from_row(remedy)

    # ---- weights ---------------------------------------------------------------------------

    def fetch(self, model: str, on: bool) -> None:
        """Fetch the weights of ``model`` to this machine, or pause that."""
        if model not in self._engine.presets.models:
            raise Declined(Text("worker.no_such_model", model=str(model)[:60]))
        if on:
            self._engine.downloads.start(model)
        else:
            self._engine.downloads.pause(model)

    # ---- lease -----------------------------------------------------------------------------

    def _watch_lease(self) -> None:
        loop = Loop("lease", self._engine.faults.tell)
        while not self._ended.wait(max(LOOK_SECONDS, loop.pause)):
            with loop.turn():
                if time.monotonic() - self._called > LEASE_SECONDS:
                    self._cancel_all()

    def _cancel_all(self) -> None:
        for job in self._errands.unforgotten():
            if not job.state.final and not job.cancel_requested:
                log.warning("nobody has asked for job %d for %.0f s", job.id, LEASE_SECONDS)
                self._engine.cancel(job.id)


def _without_progress(told: Mapping[str, Any]) -> dict[str, Any]:
    """What of an answer of ``watch`` is an event."""
    errands = {
        key: {name: value for name, value in errand.items() if name not in ("at", "preview")}
        for key, errand in told.get("errands", {}).items()
    }
    return {**told, "errands": errands}


def machine_id(engine: Engine) -> str:
    """Drawn once for each data folder: names may be those of several machines."""
    settings = Settings(engine.jobs.store)

    def drawn(known: Any) -> str:
        return known if isinstance(known, str) and known else secrets.token_hex(8)

    settings.change("machine_id", drawn)
    return str(settings.get("machine_id"))
