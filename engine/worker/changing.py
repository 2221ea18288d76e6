"""Makes another version of a clip: its frames pass through one at a time, so that its length takes
no memory."""

import hashlib
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from engine import VERSION
from engine.home import Home
from engine.library import mp4, sound
from engine.library.clip_writer import ClipWriter
from engine.library.larger import Picture, fits
from engine.library.receipt import for_others
from engine.library.versions import timing_for, told_of
from engine.library.video import Video, look_at, pictures
from engine.machine.facts import this_machine
from engine.pipelines.base import Enlarges, Frame, Pipeline, PipelineError
from engine.pipelines.changers import between_by, described, made_between
from engine.pipelines.smooth.lanczos import Lanczos
from engine.pipelines.smooth.loops import LONGEST, is_loop
from engine.plan.make import plan_to_json
from engine.presets import ModelPreset
from engine.stages import CHANGES
from engine.text import Text, of_preset
from engine.timing import Timing
from engine.worker.failing import ended_early
from engine.worker.job_run import JobRun
from engine.worker.messages import Change, Finished, FromWorker

AHEAD = 8  # frames that may wait for the encoder
log = logging.getLogger("headroom.worker")


def change(order: Change, run: JobRun, pipeline: Pipeline) -> FromWorker:
    """Make the clip of ``order``.

    Args:
        pipeline: what is loaded, which may be another model's.
    """
    began = time.perf_counter()
    writer: ClipWriter | None = None
    try:
        run.stage("enlarge" if order.preset.enlarges else "smooth")
        video, timing = _looked_at(order, run)
        writer = _writer_of(order, video, timing)
        loaded = _loaded_for(order, pipeline)
        between = between_by(order.preset)
        digest = _pass_through(order, run, video, timing, writer, loaded, between)
        run.stage("save")
        kept: dict[str, Any] = {}

        def receipt() -> dict[str, Any]:
            """The same for file and database; called once the frames are encoded."""
            run.leave()
            kept.update(_receipt(order, run, pipeline.meter.device, digest, loaded))
            if between is not order.preset and any(place.share for place in timing.places):
                kept["between"] = between.id
            return kept

        inside = receipt if order.own else lambda: for_others(receipt())
        writer.finish(inside if order.embed else None, run.check)
        if not order.embed:
            receipt()
        log.info("%d frames in %.2f s", writer.taken, time.perf_counter() - began)
        return Finished(order.job, kept)
    except Exception as error:
        if writer is not None:
            writer.abandon()
        return ended_early(order, run, error)


def _looked_at(order: Change, run: JobRun) -> tuple[Video, Timing]:
    """The source, and when each frame of the new clip is.

    Raises:
        PipelineError: it is gone, or another video than was asked for.
        ClipError: it can't be decoded.
    """
    if not order.source:
        raise PipelineError(Text("worker.source_gone"), Text("worker.choose_source"))
    request, video = order.request, look_at(Path(order.source))
    timing = timing_for(video, request.fps or 1, order.preset.enlarges)
    picture = Picture(request.height, request.width)
    same = picture == Picture(video.height, video.width) or fits(video, picture)
    if request.frames != len(timing.places) or not same:
        raise PipelineError(Text("worker.other_video"), Text("worker.choose_source"))
    makes_some = any(place.share for place in timing.places)
    if makes_some and len(video.times) <= LONGEST and is_loop(_checked(order, run, video)):
        timing = timing_for(video, request.fps or 1, order.preset.enlarges, loop=True)
    return video, timing


def _checked(order: Change, run: JobRun, video: Video) -> Iterator[Frame]:
    for frame in pictures(Path(order.source), video):
        run.check()
        yield frame


def _writer_of(order: Change, video: Video, timing: Timing) -> ClipWriter:
    path, source = Path(order.partial), Path(order.source)
    home = Home(path.parent.parent)
    return ClipWriter(
        path,
        timing.rate,
        lambda: home.made(path.parent),
        last=timing.last,
        sound=partial(sound.of, source) if video.has_sound else lambda _: None,
        ahead=AHEAD,
    )


def _loaded_for(order: Change, pipeline: Pipeline) -> Enlarges | None:
    """What is loaded, if that is what shall make the pictures of ``order`` larger."""
    if isinstance(pipeline, Enlarges) and order.preset.weights_of == pipeline.preset.weights_of:
        return pipeline
    assert order.preset.is_guest, "the slot has started a worker that has loaded it"
    return None


def _frames_of(
    order: Change,
    run: JobRun,
    video: Video,
    timing: Timing,
    loaded: Enlarges | None,
    between: ModelPreset,
) -> Iterator[Frame]:
    """All frames of the new clip. A network makes the clip's own larger before there are more of
    them, Lanczos after: whichever is less work for the one that takes longer."""
    request, source = order.request, pictures(Path(order.source), video)
    if loaded is not None:
        source = loaded.enlarge(source, request, len(video.times), order.seed, run)
    made = made_between(between).frames(source, timing, run.check)
    return map(Lanczos(request.height, request.width).enlarge, made)


def _pass_through(
    order: Change,
    run: JobRun,
    video: Video,
    timing: Timing,
    writer: ClipWriter,
    loaded: Enlarges | None,
    between: ModelPreset,
) -> str:
    """Make all frames, and the still of the middle one; returns the SHA-256 of them all."""
    digest, count = hashlib.sha256(), len(timing.places)
    for number, frame in enumerate(_frames_of(order, run, video, timing, loaded, between)):
        run.check()
        digest.update(frame.tobytes())
        writer.add(frame[None])
        if number == count // 2:
            Home(Path(order.partial).parent.parent).made(Path(order.poster).parent)
            mp4.write_poster(Path(order.poster), frame[None])
        if loaded is None:  # which tells itself how far it is: most is done before the first
            run.advance((number + 1) / count)
    return digest.hexdigest()


def _receipt(
    order: Change, run: JobRun, device: str, digest: str, loaded: Enlarges | None
) -> dict[str, Any]:
    versions = described(order.preset)
    label = of_preset(versions.pop("label"))
    return {
        "request": order.request.to_json(),
        "seed": order.seed,
        "model": order.preset.id,
        "label": str(label),
        "plan": plan_to_json(order.plan),
        "device": device,
        "versions": {"headroom": VERSION, "python": this_machine().python, **versions},
        **({"machine": order.machine} if order.machine else {}),
        "source": told_of(order.source_receipt, order.source_name),
        "stages": {"load": 0.0} | run.seconds,
        "peaks": {stage: run.peaks[stage] for stage in CHANGES if stage in run.peaks},
        **({"enlarged": loaded.parts} if loaded is not None else {}),
        "frames_sha256": digest,
    }
