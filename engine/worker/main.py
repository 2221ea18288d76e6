"""The child's main loop: it owns the pipeline, keeps it warm, and may be killed at any moment."""

import contextlib
import faulthandler
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from engine import VERSION, logs
from engine.errors import HeadroomError
from engine.home import Home
from engine.library import mp4
from engine.library.clip_writer import ClipWriter
from engine.library.intake import Intake, proof, stand_in
from engine.library.receipt import for_others, joined_receipt
from engine.machine.facts import this_machine
from engine.pipelines import open_pipeline
from engine.pipelines.base import (
    WORDS_ALONE,
    Broken,
    Cancelled,
    HasDrafts,
    OutOfMemory,
    Pictures,
    Pipeline,
    PipelineError,
)
from engine.plan.choice import Plan
from engine.plan.make import plan_to_json
from engine.presets import ModelPreset
from engine.process import terminal
from engine.request import ClipRequest
from engine.stages import Frames, Stage
from engine.text import NOTHING, Said, Text, as_text, of_preset
from engine.worker import heap
from engine.worker.changing import change
from engine.worker.job_run import JobRun
from engine.worker.messages import (
    Become,
    CancelDone,
    Change,
    Compare,
    Compared,
    Failed,
    Finished,
    FromWorker,
    Generate,
    Probe,
    Probed,
    Ready,
    Stop,
)
from engine.worker.pipe import Pipe
from engine.worker.receipts import receipt_of

log = logging.getLogger("headroom.worker")


def main(
    connection: Connection,
    preset: ModelPreset,
    plan: Plan,
    log_file: str,
    environment: Mapping[str, str],
) -> None:
    """The spawned process's target: load ``preset``'s pipeline, then make clips until told to stop.

    Nothing but messages leaves here; the first is Ready or Failed.

    Args:
        environment: variables that must be set before torch is imported (which GPU, for one).
    """
    os.environ.update(environment)
    # A terminal's Ctrl-C, its end and a service manager's TERM reach the whole process group; when
    # this process ends is the supervisor's decision alone, which kills it where it has to.
    for number in terminal.ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    # Libraries print; with --json the parent's stdout must hold one JSON object and nothing else.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    terminal.forgive()
    crashes = _start_logging(Path(log_file))
    faulthandler.enable(os.dup(crashes.fileno()))  # the log may be another file later
    pipe = Pipe(connection)
    heap.return_freed_memory()
    try:
        pipeline = pipe.pipeline = open_pipeline(preset)
        loaded = _Loaded.load(pipeline, preset, plan)
    except Exception as error:
        log.exception("loading %s failed", preset.id)
        pipe.send(_failure(None, error))
        return
    pipe.answer(loaded.ready)
    while not isinstance(message := pipe.jobs.get(), Stop):
        if isinstance(message, Become):
            try:
                loaded = _Loaded.become(pipeline, message)
            except Exception as error:
                log.exception("%s can't become %s", loaded.preset.id, message.preset.id)
                pipe.send(_failure(None, error))
                return
            pipe.answer(loaded.ready)
            continue
        logs.about(message.job, message.request.prompt)
        pictures = partial(_pictures, message.request, loaded.preset)
        run = JobRun(message.job, pipe, pipeline.meter, pictures)
        answer: FromWorker
        if isinstance(message, Change):
            answer = change(message, run, pipeline.meter.device, _failure)
        elif isinstance(message, Probe):
            answer = _probe(message, pipeline, run)
        elif isinstance(message, Compare):
            answer = _compare(message, pipeline, loaded.preset, run)
        else:
            answer = _make_clip(message, pipeline, run, loaded)
            loaded.seconds = 0.0  # only the first clip waited for the load
        pipe.answer(answer)
        if isinstance(answer, Failed | CancelDone):
            heap.collect()


@dataclass
class _Loaded:
    """What runs, and what every receipt says of it. ``seconds``: how long it took to load."""

    preset: ModelPreset
    ready: Ready
    facts: dict[str, Any]
    seconds: float

    @classmethod
    def load(cls, pipeline: Pipeline, preset: ModelPreset, plan: Plan) -> "_Loaded":
        began = time.perf_counter()
        return cls._told(pipeline, preset, pipeline.load(plan), began)

    @classmethod
    def become(cls, pipeline: Pipeline, order: Become) -> "_Loaded":
        began = time.perf_counter()
        logs.about(None)
        assert isinstance(pipeline, HasDrafts), "only what has a draft is asked to become one"
        return cls._told(pipeline, order.preset, pipeline.become(order.preset, order.plan), began)

    @classmethod
    def _told(cls, pipeline: Pipeline, preset: ModelPreset, plan: Plan, began: float) -> "_Loaded":
        heap.collect()
        described: dict[str, Said] = {**pipeline.describe()}
        label = of_preset(str(described.pop("label")))
        notice = as_text(described.pop("notice", NOTHING))
        # As plain text: torch's own version is a class of torch's, and who unpickles that imports
        # torch. The page's process did, 4 s of its processor, at its first clip.
        versions = {name: str(version) for name, version in described.items()}
        facts = {
            "model": preset.id,
            "label": str(label),
            "plan": plan_to_json(plan),
            "device": pipeline.meter.device,
            "versions": {"headroom": VERSION, "python": this_machine().python, **versions},
        }
        seconds = round(time.perf_counter() - began, 4)
        log.info("%s loaded in %.1f s", preset.id, seconds)
        return cls(preset, Ready(seconds, label, plan, notice), facts, seconds)


def _make_clip(
    order: Generate,
    pipeline: Pipeline,
    run: JobRun,
    loaded: _Loaded,
) -> FromWorker:
    began = time.perf_counter()
    meter = pipeline.meter
    folder = Path(order.partial).parent
    fps = loaded.preset.fps
    before = Path(order.before) if order.before else None
    writer = ClipWriter(Path(order.partial), fps, lambda: Home(folder.parent).made(folder), before)
    run.encode = writer.add
    try:
        if order.request.after and before is None:
            raise PipelineError(Text("worker.clip_before_gone"), Text("worker.make_alone"))
        with meter.ceiling(order.ceiling) if meter.caps_clips else contextlib.nullcontext():
            frames = pipeline.generate(order.request, order.seed, run)
        _check_frames(frames, order.request)
        run.check()
        run.stage("save")
        Home(folder.parent).made(folder)
        mp4.write_poster(Path(order.poster), frames)

        kept: dict[str, Any] = {}

        def receipt() -> dict[str, Any]:
            """The same for file and database; called once the frames are encoded."""
            run.leave()
            told = receipt_of(order, frames, loaded.facts, loaded.seconds, run.seconds, run.peaks)
            if order.before_receipt is not None:
                whole = writer.earlier + len(frames) - 1  # the seam's frame is one of both
                told = joined_receipt(told, order.before_receipt, whole)
            kept.update(told)
            return kept

        inside = receipt if order.own else lambda: for_others(receipt())
        embedded = inside if order.embed else None
        writer.add(frames[writer.taken :])
        proofs = _proofs(run.pictures) if order.embed else {}
        writer.finish(embedded, run.check, proofs)
        if not order.embed:
            receipt()
        taken = time.perf_counter() - began
        log.info("made in %.2f s, %.2f s of it between the stages", taken, run.between)
        return Finished(order.job, kept)
    except Cancelled:
        writer.abandon()
        _remove(order)
        return CancelDone(order.job)
    except Exception as error:
        log.exception("failed")
        writer.abandon()
        _remove(order)
        return _failure(order.job, error, run.reached)


def _pictures(request: ClipRequest, preset: ModelPreset) -> Pictures:
    """What the clip begins and ends with.

    Raises:
        PictureError: one that ``request`` names is gone.
    """
    if not request.image:
        return Pictures(stand_in(request)) if preset.begins_with_picture else WORDS_ALONE
    intake = Intake(Home.find())
    return Pictures(
        intake.cut(request.image, request),
        intake.cut(request.last_image, request) if request.last_image else None,
    )


def _proofs(pictures: Pictures) -> dict[str, str]:
    """The pictures as the clip's file brings them along, by the request's fields."""
    both = {"image": pictures.first, "last_image": pictures.last}
    return {name: proof(picture) for name, picture in both.items() if picture is not None}


def _probe(order: Probe, pipeline: Pipeline, run: JobRun) -> FromWorker:
    """One denoise step and the decode: a measurement, and no clip."""
    try:
        with pipeline.meter.ceiling(order.ceiling):
            frames = pipeline.generate(order.request, order.seed, run, steps=1)
            run.leave()
        _check_frames(frames, order.request)
        return Probed(order.job, run.peaks, run.seconds)
    except Cancelled:
        return CancelDone(order.job)
    except Exception as error:
        log.exception("the probe at %s failed", order.request.size)
        return _failure(order.job, error, run.reached)


def _compare(order: Compare, pipeline: Pipeline, preset: ModelPreset, run: JobRun) -> FromWorker:
    from engine.pipelines.bench import compare  # of no use to anybody but the benchmark

    try:
        found = compare.compare(pipeline, preset, order.request, run, order.ceiling)
        return Compared(order.job, found)
    except Cancelled:
        return CancelDone(order.job)
    except Exception as error:
        log.exception("the comparison at %s failed", order.request.size)
        return _failure(order.job, error, run.reached)


def _check_frames(frames: Frames, request: ClipRequest) -> None:
    wanted = (request.frames, request.height, request.width, 3)
    if frames.shape != wanted or frames.dtype.name != "uint8":
        raise PipelineError(
            Text(
                "worker.wrong_frames",
                dtype=str(frames.dtype),
                shape=str(frames.shape),
                wanted=str(wanted),
            ),
            Text("worker.report_with_log"),
        )


def _remove(order: Generate) -> None:
    for path in (order.partial, order.poster):
        # Windows doesn't remove a file that anybody has open; the supervisor clears up at start.
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)


def _failure(job: int | None, error: Exception, stage: Stage | None = None) -> Failed:
    if isinstance(error, OutOfMemory):
        return Failed(job, "out_of_memory", error.sentence, error.remedy, stage, error.memory)
    if isinstance(error, MemoryError):
        return Failed(
            job,
            "out_of_memory",
            Text("worker.ram_ran_out"),
            Text("worker.close_or_smaller"),
            stage,
            "RAM",
        )
    if isinstance(error, HeadroomError):
        kind: Literal["error", "broken"] = "broken" if isinstance(error, Broken) else "error"
        return Failed(job, kind, error.sentence, error.remedy, stage)
    if isinstance(error, OSError) and stage == "save":
        return Failed(
            job,
            "error",
            Text("worker.cant_write", why=str(error.strerror or error)),
            Text("worker.make_room"),
        )
    return Failed(
        job,
        "error",
        Text("worker.pipeline_failed", error=type(error).__name__, why=str(error)),
        Text("worker.generate_or_report"),
    )


def _start_logging(path: Path) -> Any:
    return logs.to_file(path).stream or sys.stderr
