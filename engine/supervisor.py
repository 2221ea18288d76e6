"""Owns the worker: starts and feeds it, passes cancels on, replaces it when it dies.

One thread does all of that. The page and the commands only call ``submit``, ``cancel`` and
``status``; everything that must last is in the store.
"""

import contextlib
import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from filelock import FileLock, Timeout

from engine import clips
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.machine import this_machine
from engine.messages import (
    Advance,
    Cancel,
    CancelDone,
    Failed,
    Finished,
    FromWorker,
    Generate,
    Heartbeat,
    Preview,
    Ready,
    Stop,
)
from engine.plan import Plan, make_plan
from engine.presets import ModelPreset, Presets
from engine.progress import Progress
from engine.request import ClipRequest

log = logging.getLogger("headroom.supervisor")

CANCEL_SECONDS = 5.0  # a worker that hasn't answered a cancel by then is killed
SILENCE_SECONDS = 60.0  # no heartbeat for so long: the interpreter hangs
POLL_SECONDS = 0.5  # another process may queue or cancel jobs in the same database


class Engine(StrEnum):
    """What the engine is doing, as the page shows it."""

    OFF = "off"
    ELSEWHERE = "elsewhere"
    LOADING = "loading"
    READY = "ready"
    BUSY = "busy"
    FAILED = "failed"


@dataclass(frozen=True)
class Status:
    """One consistent look at the engine. ``notice`` tells the last thing that went wrong."""

    engine: Engine = Engine.OFF
    model: str = ""
    label: str = ""
    worker_pid: int | None = None
    job: int | None = None
    progress: Progress | None = None
    preview: bytes | None = None
    notice: str = ""
    notice_at: float = 0.0


@dataclass
class _Worker:
    """The running child and what the supervisor knows of it."""

    process: SpawnProcess
    pipe: Connection
    preset: ModelPreset
    heard: float
    ready: bool = False
    job: Job | None = None
    cancel_sent: float | None = None


class Supervisor:
    """See the module's docstring. ``start`` and ``close`` frame its life."""

    def __init__(self, home: Home, presets: Presets, jobs: Jobs) -> None:
        self.home, self.presets, self.jobs = home, presets, jobs
        self._lock = FileLock(home.engine_lock, thread_local=False)
        self._worker: _Worker | None = None
        self._status = Status()
        self._only: int | None = None
        self._closing = threading.Event()
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    # ---- called from any thread ------------------------------------------------------------

    def start(self, warm: str | None = None, only: int | None = None) -> None:
        """Begin to work on the queue.

        Args:
            warm: load this model right away, before anybody asks for a clip.
            only: work on this one job and leave the others to whoever comes next.
        """
        self._only, self._warm = only, warm
        self._thread.start()

    def close(self) -> None:
        """End the worker and the thread; a running job is put back into the queue."""
        self._closing.set()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        child = self._worker
        if child is not None:  # the thread is stuck: leave no orphan all the same
            child.process.kill()

    def submit(self, request: ClipRequest) -> Job:
        """Queue ``request``; when this returns, the job is in the database."""
        job = self.jobs.add(request)
        self._nudge()
        return job

    def cancel(self, job: int) -> State:
        state = self.jobs.cancel(job)
        self._nudge()
        return state

    def status(self) -> Status:
        return self._status

    def plan_for(self, model: str) -> Plan:
        """How this machine runs ``model``: the page shows the reasons, the receipt keeps them."""
        return make_plan(this_machine(), self.presets.models[model])

    def past(self, request: ClipRequest) -> Mapping[str, float]:
        """Seconds by stage of the newest clip of the same model and size; empty if none."""
        for clip in self.jobs.clips(limit=200):
            if clip.request.model == request.model and clip.request.size == request.size:
                stages: dict[str, float] = clip.receipt["stages"]
                return stages
        return {}

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send_bytes(b"!")

    # ---- the supervisor's own thread -------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._own_engine():
                self._recover()
                if self._warm:
                    self._start_worker(self._warm)
                while not self._closing.is_set():
                    self._turn()
        except Exception:
            log.exception("the supervisor stopped")
            self._tell(
                engine=Engine.FAILED,
                notice="The engine's supervisor stopped; the log says why. Restart Headroom.",
            )
        finally:
            self._shut_down()

    def _own_engine(self) -> bool:
        """Wait for the lock that makes this the one process working on the queue."""
        while not self._closing.is_set():
            try:
                self._lock.acquire(timeout=0)
                return True
            except Timeout:
                self._tell(engine=Engine.ELSEWHERE)
                self._closing.wait(POLL_SECONDS)
        return False

    def _recover(self) -> None:
        """What an earlier process left behind: its running job and half-written files."""
        while job := self.jobs.running():
            self.jobs.interrupted(job.id, "Headroom was ended while this clip was made.")
        for leftover in self.home.clips.glob(".partial-*"):
            leftover.unlink(missing_ok=True)

    def _turn(self) -> None:
        child = self._worker
        if child is None or (child.ready and child.job is None):
            self._feed()
            child = self._worker
        sources: list[Connection | int] = [self._woken]
        if child is not None:
            sources += [child.pipe, child.process.sentinel]
        happened = wait(sources, timeout=POLL_SECONDS)
        if self._woken in happened:
            self._woken.recv_bytes()
        if child is None:
            return
        if child.pipe in happened:
            self._receive(child)
        elif child.process.sentinel in happened:
            self._died(child)
        if self._worker is child:
            self._watch(child)

    def _feed(self) -> None:
        """Give the next job to a worker that has its model."""
        waiting = self.jobs.waiting()
        if self._only is not None:
            waiting = [job for job in waiting if job.id == self._only]
        if not waiting:
            return
        model = waiting[0].request.model
        if model not in self.presets.models:
            if self.jobs.claim(waiting[0].id):
                self.jobs.end(
                    waiting[0].id,
                    State.FAILED,
                    f"The model {model} isn't part of this installation any more.",
                    "Generate again with another model.",
                )
            return
        if self._worker is not None and self._worker.preset.id != model:
            # A pipeline can't be unloaded cleanly (pinned memory stays); a fresh process can.
            self._end_worker(self._worker)
        if self._worker is None:
            self._start_worker(model)
        elif job := self.jobs.claim(waiting[0].id):
            self._order(self._worker, job)

    def _order(self, child: _Worker, job: Job) -> None:
        child.job, child.cancel_sent = job, None
        self._tell(engine=Engine.BUSY, job=job.id, progress=Progress(job.id), preview=None)
        partial, poster = self._partial(job.id)
        order = Generate(job.id, job.request, job.seed, str(partial), str(poster))
        with contextlib.suppress(OSError):  # a dead child shows at its sentinel
            child.pipe.send(order)

    def _partial(self, job: int) -> tuple[Path, Path]:
        folder = self.home.clips
        return folder / f".partial-{job}.mp4", folder / f".partial-{job}.jpg"

    # ---- messages --------------------------------------------------------------------------

    def _receive(self, child: _Worker) -> None:
        try:
            message: FromWorker = child.pipe.recv()
        except (EOFError, OSError):
            child.process.join(timeout=2)  # it is dying: let its exit code be there
            self._died(child)
            return
        child.heard = time.monotonic()
        job = child.job
        match message:
            case Heartbeat():
                pass
            case Ready(label=label):
                child.ready = True
                self._tell(engine=Engine.READY, label=label)
            case Failed(job=None):
                self._load_failed(child, message)
            case Advance() if job and self._status.progress:
                self._tell(progress=self._status.progress.told(message))
            case Preview(webp=webp) if job:
                self._tell(preview=webp)
            case Finished() if job:
                self._finish(child, job, message)
            case CancelDone() if job:
                self.jobs.end(job.id, State.CANCELLED, "Cancelled.")
                self._idle(child)
            case Failed() if job:
                self.jobs.end(job.id, State.FAILED, message.sentence, message.remedy)
                self._idle(child)
                if message.kind == "out_of_memory":
                    # After an out-of-memory nothing in that process can be trusted.
                    self._end_worker(child)
                    self._tell(notice=f"{message.sentence} The engine was restarted.")
                    self._start_worker(child.preset.id)

    def _finish(self, child: _Worker, job: Job, message: Finished) -> None:
        file = clips.clip_name(job.id, job.request.prompt, job.seed)
        partial, poster = self._partial(job.id)
        try:
            poster.replace(self.home.clips / Path(file).with_suffix(".jpg").name)
            partial.replace(self.home.clips / file)
            self.jobs.finish(job.id, file, message.receipt)
        except OSError as error:
            self.jobs.end(
                job.id,
                State.FAILED,
                f"The finished clip could not be kept: {error.strerror or error}.",
                f"Make {self.home.clips} writable, then generate again.",
            )
        self._idle(child)

    def _idle(self, child: _Worker) -> None:
        child.job = child.cancel_sent = None
        self._tell(engine=Engine.READY, job=None, progress=None, preview=None)

    def _load_failed(self, child: _Worker, message: Failed) -> None:
        self._end_worker(child)
        self._tell(engine=Engine.FAILED, notice=f"{message.sentence} {message.remedy}")
        self._fail_waiting(child.preset.id, message.sentence, message.remedy)

    def _fail_waiting(self, model: str, sentence: str, remedy: str) -> None:
        """No job of ``model`` can run: say so on each, instead of trying for ever."""
        for job in self.jobs.waiting():
            mine = self._only in (None, job.id)
            if mine and job.request.model == model and self.jobs.claim(job.id):
                self.jobs.end(job.id, State.FAILED, sentence, remedy)

    # ---- the worker's life -----------------------------------------------------------------

    def _start_worker(self, model: str) -> None:
        preset = self.presets.models[model]
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_work,
            args=(theirs, preset, self.plan_for(model), str(self.home.logs / "worker.log")),
            name=f"headroom-{model}",
            daemon=True,
        )
        _shield_children()
        process.start()
        theirs.close()  # or the pipe would never end when the child dies
        self._worker = _Worker(process, ours, preset, time.monotonic())
        self._tell(
            engine=Engine.LOADING,
            model=model,
            label="",
            worker_pid=process.pid,
            job=None,
            progress=None,
            preview=None,
        )

    def _watch(self, child: _Worker) -> None:
        """Pass a cancel on; kill a child that doesn't answer it, or that hangs."""
        silent = time.monotonic() - child.heard
        if child.ready and silent > SILENCE_SECONDS:
            self._kill(child, f"The engine process hung for {silent:.0f} s and was stopped.")
            return
        if child.job is None:
            return
        if child.cancel_sent is None:
            if self.jobs.get(child.job.id).cancel_requested:
                child.cancel_sent = time.monotonic()
                with contextlib.suppress(OSError):
                    child.pipe.send(Cancel(child.job.id))
        elif time.monotonic() - child.cancel_sent > CANCEL_SECONDS:
            self._kill(
                child,
                f"The engine process didn't answer the cancel in {CANCEL_SECONDS:.0f} s "
                "and was stopped.",
            )

    def _kill(self, child: _Worker, why: str) -> None:
        child.process.kill()
        child.process.join()
        self._died(child, why)

    def _died(self, child: _Worker, why: str = "") -> None:
        """The child is gone: settle its job, say what happened, have a fresh one ready."""
        child.process.join(timeout=2)
        stage = self._status.progress.stage if self._status.progress else None
        if not why:
            why = f"{_how_it_ended(child.process.exitcode)}{f' during {stage}' if stage else ''}."
        log.warning("worker %s: %s", child.process.pid, why)
        self._forget(child)
        if not child.ready:
            sentence = f"The engine could not load {child.preset.name}. {why}"
            remedy = "Look into logs/worker.log, then generate again."
            self._tell(engine=Engine.FAILED, notice=f"{sentence} {remedy}", notice_at=time.time())
            self._fail_waiting(child.preset.id, sentence, remedy)
            return
        then = "It was restarted."
        if child.job is not None:
            for path in self._partial(child.job.id):
                path.unlink(missing_ok=True)
            state = self.jobs.interrupted(child.job.id, why)
            if state is State.QUEUED:
                then = "It was restarted, and the clip is tried once more."
            elif state is State.FAILED:
                then = "It was restarted. The clip was given up after its second try."
        self._tell(notice=f"{why} {then}", notice_at=time.time())
        self._start_worker(child.preset.id)

    def _end_worker(self, child: _Worker) -> None:
        """Stop it kindly, then less kindly."""
        with contextlib.suppress(OSError):
            child.pipe.send(Stop())
        child.process.join(timeout=1)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()
        self._forget(child)

    def _forget(self, child: _Worker) -> None:
        child.pipe.close()
        if self._worker is child:
            self._worker = None
        self._tell(
            engine=Engine.OFF, worker_pid=None, label="", job=None, progress=None, preview=None
        )

    def _shut_down(self) -> None:
        child = self._worker
        if child is not None:
            job = child.job
            self._end_worker(child)
            if job is not None:
                self.jobs.put_back(job.id)
                for path in self._partial(job.id):
                    path.unlink(missing_ok=True)
        if self._lock.is_locked:
            self._lock.release()

    def _tell(self, **changes: object) -> None:
        if "notice" in changes:
            changes.setdefault("notice_at", time.time())
        # Readers get the old or the new object, never half of one.
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]


def _shield_children() -> None:
    """Block Ctrl-C and TERM in this thread, whose mask the next child inherits.

    They reach the whole process group and must not hit a worker that is still importing. Windows
    has no masks; there worker.main ignores them once it runs.
    """
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        # Starting the tracker would unblock the two again (cpython's resource_tracker.py).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})


def _work(connection: Connection, preset: ModelPreset, plan: Plan, log_file: str) -> None:
    """Runs in the child, so that only the child imports what the worker needs."""
    from engine import worker

    worker.main(connection, preset, plan, log_file)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        cause = " (often the system's out-of-memory killer)" if exitcode == -9 else ""
        return f"The engine process was killed by signal {-exitcode}{cause}"
    return f"The engine process ended by itself with exit code {exitcode}"
