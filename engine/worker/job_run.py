"""One job in the worker: what the pipeline tells of it, and its seconds and peaks by stage."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from engine.library import mp4
from engine.pipelines.base import WORDS_ALONE, Cancelled, Pictures, StageMeter
from engine.stages import Frames, Stage
from engine.text import Said, as_text
from engine.worker import heap
from engine.worker.early import Early, Told
from engine.worker.messages import Advance, Occupied, Preview
from engine.worker.pipe import Pipe

_PACKER = ThreadPoolExecutor(1, thread_name_prefix="preview")
ADVANCE_SECONDS = 0.1  # more often than this no eye needs to know how far a stage is

log = logging.getLogger("headroom.worker")


class JobRun:
    """One clip in the making: implements ``base.Run``, and keeps seconds and peaks by stage.

    ``encode`` hears frames that are there before the last. ``between``: the seconds of no stage, in
    which memory is given back so that the next one can be measured.

    Args:
        early: where it is begun before it is claimed; only then it is decoded, and put into files.
    """

    def __init__(
        self,
        job: int,
        pipe: Pipe,
        meter: StageMeter,
        pictures: Callable[[], Pictures] = lambda: WORDS_ALONE,
        early: Early | None = None,
    ) -> None:
        self.encode: Callable[[Frames], None] = lambda _: None
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}
        self.between = 0.0
        self.reached: Stage | None = None
        self._job, self._pipe, self._meter = job, pipe, meter
        self._early, self._send = early, Told(pipe.send, early)
        self._read = pictures
        self._pictures: Pictures | None = None
        self._stage: Stage | None = None
        self._steps = self._step = 0
        self._began = self._told = 0.0

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.leave()
        if self._early is not None and stage == "decode":
            self._early.wait()
        left = time.perf_counter()
        self._stage = self.reached = stage
        self._steps, self._step = steps, 0
        heap.trim()
        self._meter.reset()
        self._began = time.perf_counter()
        self.between += self._began - left
        if stage in ("decode", "save"):  # the next clip's budget is reckoned with what is held now
            self._pipe.beat()
        self._tell(0.0)

    def leave(self) -> None:
        """Close the current stage's books."""
        if self._stage is not None:
            self.seconds[self._stage] = round(time.perf_counter() - self._began, 4)
            if self._stage not in self.peaks:
                self.peaks[self._stage] = self._meter.peak()
            self._stage = None

    def hand_over(self) -> None:
        """What is left of this stage another thread does, while the device works on the next clip:
        what that holds is none of this one's."""
        if self._stage is not None:
            self.peaks[self._stage] = self._meter.peak()

    def advance(self, fraction: float, step: int = 0) -> None:
        if step != self._step or time.perf_counter() - self._told >= ADVANCE_SECONDS:
            self._step = step
            self._tell(fraction)

    def preview(self, frames: Frames) -> None:
        """Packed beside the next step: pictures of half a clip's size take a tenth of a second."""
        _PACKER.submit(self._pack, frames)

    def _pack(self, frames: Frames) -> None:
        try:
            if self.may_write:  # nobody would see it
                self._send(Preview(self._job, mp4.preview_webp(frames)))
        except Exception:  # the clip is made all the same
            log.exception("a preview could not be shown")

    @property
    def pictures(self) -> Pictures:
        if self._pictures is None:
            self._pictures = self._read()
        return self._pictures

    def frames(self, part: Frames) -> None:
        self.encode(part)

    def check(self) -> None:
        if self._pipe.cancelled == self._job or self.is_dropped:
            raise Cancelled

    @property
    def may_write(self) -> bool:
        """Whether its files are its own: before it is claimed another lane may write them."""
        return self._early is None or self._early.claimed

    @property
    def is_dropped(self) -> bool:
        """Whether it was begun early, and isn't what came next."""
        return self._early is not None and self._early.dropped

    def occupied(self, doing: Said, seconds: float) -> None:
        self._send(Occupied(self._job, as_text(doing), seconds))

    def _tell(self, fraction: float) -> None:
        self._told = time.perf_counter()
        if self._stage is not None:
            told = Advance(self._job, self._stage, fraction, self._step, self._steps)
            self._send(told, starts=True)
