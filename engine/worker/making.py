"""A clip in the worker: computed on the device, then written, which needs the device no more."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine import logs
from engine.home import Home
from engine.library import mp4
from engine.library.clip_writer import ClipWriter
from engine.library.intake import proof
from engine.library.receipt import for_others, joined_receipt
from engine.pipelines.base import Pictures, Pipeline, PipelineError
from engine.stages import Frames
from engine.text import Text
from engine.worker import heap
from engine.worker.failing import check_frames, ended_early
from engine.worker.job_run import JobRun
from engine.worker.messages import CancelDone, Failed, Finished, FromWorker, Generate
from engine.worker.pipe import Pipe
from engine.worker.receipts import receipt_of

log = logging.getLogger("headroom.worker")


class Making:
    """One clip: ``compute``, then ``write``, which another thread may do.

    Args:
        facts: what every receipt says of what is loaded.
        loading: seconds of the load that this clip waited for.
    """

    def __init__(
        self,
        order: Generate,
        pipeline: Pipeline,
        run: JobRun,
        fps: int,
        facts: Mapping[str, Any],
        loading: float,
    ) -> None:
        self.order = order
        self._pipeline, self._run = pipeline, run
        self._facts, self._loading = facts, loading
        self._began = time.perf_counter()
        self._home = Home(Path(order.partial).parent.parent)
        before = Path(order.before) if order.before else None
        self._writer = ClipWriter(Path(order.partial), fps, self._make_folder, before)
        self._frames: Frames | None = None

    def compute(self) -> FromWorker | None:
        """All of its frames; returns what ended it early, None where they are there to be
        written."""
        order, run, meter = self.order, self._run, self._pipeline.meter
        run.encode = self._writer.add
        try:
            if order.request.after and not order.before:
                raise PipelineError(Text("worker.clip_before_gone"), Text("worker.make_alone"))
            with meter.ceiling(order.ceiling) if meter.caps_clips else contextlib.nullcontext():
                frames = self._pipeline.generate(order.request, order.seed, run)
            check_frames(frames, order.request)
            run.check()
            run.stage("save")
            run.hand_over()
            self._frames = frames
            return None
        except Exception as error:
            return self._ended(error)

    def write(self) -> FromWorker:
        """The file with its receipt, and the clip's still."""
        order, run, writer = self.order, self._run, self._writer
        # Once this returns nothing holds them: the next clip's peaks are measured.
        frames, self._frames = self._frames, None
        assert frames is not None, "it is computed before it is written"
        try:
            self._make_folder()
            mp4.write_poster(Path(order.poster), frames)

            kept: dict[str, Any] = {}

            def receipt() -> dict[str, Any]:
                """The same for file and database; called once the frames are encoded."""
                run.leave()
                told = receipt_of(order, frames, self._facts, self._loading, run.seconds, run.peaks)
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
            taken = time.perf_counter() - self._began
            log.info("made in %.2f s, %.2f s of it between the stages", taken, run.between)
            return Finished(order.job, kept)
        except Exception as error:
            return self._ended(error)

    def _make_folder(self) -> None:
        self._home.made(Path(self.order.partial).parent)

    def _ended(self, error: Exception) -> FromWorker:
        self._writer.abandon()
        return ended_early(self.order, self._run, error)


class Writing:
    """Writes a clip beside whatever is computed next; one at a time, and answers in turn."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._thread: threading.Thread | None = None

    def begin(self, clip: Making) -> None:
        self.wait()
        thread = threading.Thread(target=self._write, args=(clip,), name="writing")
        try:
            thread.start()
        except RuntimeError:  # the system has no more of them
            self._write(clip)
        else:
            self._thread = thread

    def wait(self) -> None:
        """Until the clip before is written, and has been told of."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, clip: Making) -> None:
        logs.about(clip.order.job, clip.order.request.prompt)
        try:
            answer = clip.write()
            self._pipe.answer(answer)
            if isinstance(answer, Failed | CancelDone):
                heap.collect()
        except BaseException:
            # Nobody would ever hear of the clip: the supervisor sees a worker that has ended.
            log.exception("the clip's end can't be told")
            logging.shutdown()
            os._exit(1)


def _proofs(pictures: Pictures) -> dict[str, str]:
    """The pictures as the clip's file brings them along, by the request's fields."""
    both = {"image": pictures.first, "last_image": pictures.last}
    return {name: proof(picture) for name, picture in both.items() if picture is not None}
