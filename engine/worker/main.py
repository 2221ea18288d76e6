"""The child's main loop: it owns the pipeline, keeps it warm, and may be killed at any moment."""

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
from typing import Any

from engine import VERSION, logs
from engine.home import Home
from engine.library.intake import Intake, stand_in
from engine.machine.facts import this_machine
from engine.pipelines import open_pipeline
from engine.pipelines.base import (
    WORDS_ALONE,
    Cancelled,
    HasDrafts,
    Pictures,
    Pipeline,
)
from engine.plan.choice import Plan
from engine.plan.make import plan_to_json
from engine.presets import ModelPreset
from engine.process import terminal
from engine.request import ClipRequest
from engine.text import NOTHING, Said, as_text, of_preset
from engine.worker import heap
from engine.worker.changing import change
from engine.worker.early import Early
from engine.worker.failing import check_frames, failure
from engine.worker.job_run import JobRun
from engine.worker.making import Making, Writing
from engine.worker.messages import (
    Become,
    CancelDone,
    Change,
    Compare,
    Compared,
    Failed,
    FromWorker,
    Probe,
    Probed,
    Ready,
    Stop,
)
from engine.worker.pipe import Pipe

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
        pipe.send(failure(None, error))
        return
    pipe.answer(loaded.ready)
    writing = Writing(pipe)
    while not isinstance(message := pipe.jobs.get(), Stop):
        if isinstance(message, Become):
            writing.wait()
            try:
                loaded = _Loaded.become(pipeline, message)
            except Exception as error:
                log.exception("%s can't become %s", loaded.preset.id, message.preset.id)
                pipe.send(failure(None, error))
                return
            pipe.answer(loaded.ready)
            continue
        early = message if isinstance(message, Early) else None
        order = message.order if isinstance(message, Early) else message
        logs.about(order.job, order.request.prompt)
        if early is not None:
            log.info("begun while the clip before is written")
        pictures = partial(_pictures, order.request, loaded.preset)
        run = JobRun(order.job, pipe, pipeline.meter, pictures, early)
        answer: FromWorker | None
        if isinstance(order, Change):
            answer = change(order, run, pipeline)
        elif isinstance(order, Probe):
            answer = _probe(order, pipeline, run)
        elif isinstance(order, Compare):
            answer = _compare(order, pipeline, loaded.preset, run)
        else:
            fps, facts = loaded.preset.fps, loaded.facts
            clip = Making(order, pipeline, run, fps, facts, loaded.seconds)
            answer = clip.compute()
            loaded.seconds = 0.0  # only the first clip waited for the load
            if early is not None and not _is_wanted(early):
                if isinstance(answer, Failed) and answer.kind != "error":
                    break  # nothing in this process can be trusted any more
                continue
            if answer is None:
                writing.begin(clip)
                del clip  # and its frames
                continue
        writing.wait()  # answers come in the order of what was asked
        pipe.answer(answer)
        if isinstance(answer, Failed | CancelDone):
            heap.collect()
    writing.wait()


def _is_wanted(early: Early) -> bool:
    """Once that is known."""
    try:
        early.wait()
    except Cancelled:
        log.info("what was begun ahead isn't wanted")
        heap.collect()
        return False
    return True


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


def _probe(order: Probe, pipeline: Pipeline, run: JobRun) -> FromWorker:
    """One denoise step and the decode: a measurement, and no clip."""
    try:
        with pipeline.meter.ceiling(order.ceiling):
            frames = pipeline.generate(order.request, order.seed, run, steps=1)
            run.leave()
        check_frames(frames, order.request)
        return Probed(order.job, run.peaks, run.seconds)
    except Cancelled:
        return CancelDone(order.job)
    except Exception as error:
        log.exception("the probe at %s failed", order.request.size)
        return failure(order.job, error, run.reached)


def _compare(order: Compare, pipeline: Pipeline, preset: ModelPreset, run: JobRun) -> FromWorker:
    from engine.pipelines.bench import compare  # of no use to anybody but the benchmark

    try:
        found = compare.compare(pipeline, preset, order.request, run, order.ceiling)
        return Compared(order.job, found)
    except Cancelled:
        return CancelDone(order.job)
    except Exception as error:
        log.exception("the comparison at %s failed", order.request.size)
        return failure(order.job, error, run.reached)


def _start_logging(path: Path) -> Any:
    return logs.to_file(path).stream or sys.stderr
