"""Frames in between on any machine: FFmpeg's motion-compensated interpolation, through PyAV.

FFmpeg's filter ``minterpolate`` works on one core. A clip is cut into runs of a few frames, which
have nothing to do with each other and are worked on side by side; how many at once changes no bit.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from engine.install.installed import SETUP
from engine.machine.facts import core_limit
from engine.pipelines.smooth.base import HALF, Frame, Pair, SmoothError, pairs, unchecked
from engine.text import Text
from engine.timing import Timing

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

RUN = 8  # pairs that the filter gets in one; each run costs the search of one pair more
BLOCK = 16  # sides of the blocks whose motion is searched for, in pixels
# The filter knows whole pixels of motion. Halfway that is no matter, because both frames are moved
# by as many; elsewhere small frames are enlarged for it, by 2 up to 316 × 316 and by 3 up to
# 210 × 210. At 128 × 96 and 24 frames a second that is 3 dB.
ENLARGED = 400_000  # pixels up to which a frame grows
MOST_ENLARGED = 3
MARGIN = 16  # pixels around a frame: beyond its last whole block the filter only blends
# From halfway a block is searched for both ways, as far as this part of the longer side: twice as
# far in all. Of wan-tiny's scenes half of it found bounces wrongly, 5 dB below a blend.
REACH = 16
LEAST_REACH = 16  # pixels
MOST_THREADS = 8
PIXELS_AT_ONCE = 4_000_000  # of all threads: the filter holds 300 bytes for each, so 1.2 GB
FINER = 1 << 16  # a source frame's time is told in such parts of an output frame
LAYOUT = "yuva444p"  # of four planes; _packed says what is in them
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # BT.709's, as in clip_writer.py
LOOK_SECONDS = 0.05  # between two looks whether somebody has cancelled

Made = list[Frame]  # the output frames of one run


def is_here() -> bool:
    """Whether the installed PyAV has the filter."""
    from av.filter import filters_available

    return "minterpolate" in filters_available


class Motion:
    """An ``Interpolator``: each block halfway is searched for in the frame before and after.

    Args:
        threads: how many runs are worked on at once; by itself as many as there are cores.

    Raises:
        SmoothError: PyAV has no such filter.
    """

    def __init__(self, threads: int | None = None) -> None:
        if not is_here():
            raise SmoothError(Text("pipelines.no_filter"), Text("pipelines.repair", command=SETUP))
        self._threads = threads

    def frames(
        self, source: Iterable[Frame], timing: Timing, check: Callable[[], None] = unchecked
    ) -> Iterator[Frame]:
        """As ``Interpolator.frames``; ``check`` is called while threads are waited for, too.

        Raises:
            MemoryError: FFmpeg had none.
        """
        stop = threading.Event()
        pool: ThreadPoolExecutor | None = None
        waiting: deque[Future[Made] | Made] = deque()
        most = 0  # runs that are worked on, or wait for their turn
        try:
            for run in _runs(pairs(source, timing), check):
                if run[0].moves:
                    if pool is None:
                        threads = self._threads or _threads_for(run)
                        pool, most = ThreadPoolExecutor(threads, "minterpolate"), threads + 1
                    waiting.append(pool.submit(_made, run, timing.rate, stop))
                else:
                    waiting.append([run[0].nearer(share) for share in run[0].shares.values()])
                while len(waiting) > most:
                    yield from _awaited(waiting.popleft(), check)
            while waiting:
                yield from _awaited(waiting.popleft(), check)
        finally:
            stop.set()
            if pool is not None:
                pool.shutdown(cancel_futures=True)


def _runs(clip: Iterable[Pair], check: Callable[[], None]) -> Iterator[list[Pair]]:
    """Pairs that follow each other and move, or one that doesn't."""
    run: list[Pair] = []
    for pair in clip:
        check()
        if run and (not pair.moves or len(run) == RUN):
            yield run
            run = []
        if pair.moves:
            run.append(pair)
        else:
            yield [pair]
    if run:
        yield run


def _awaited(made: Future[Made] | Made, check: Callable[[], None]) -> Iterator[Frame]:
    if isinstance(made, Future):
        while True:
            try:
                frames = made.result(LOOK_SECONDS)
                break
            except NotYet:
                check()
    else:
        frames = made
    for frame in frames:
        check()
        yield frame


def _threads_for(run: list[Pair]) -> int:
    sheet = _sheet_for(run)
    cores = core_limit() or os.cpu_count() or 1
    return max(1, min(cores, MOST_THREADS, PIXELS_AT_ONCE // (sheet.height * sheet.width)))


@dataclass(frozen=True)
class _Sheet:
    """What the filter gets of frames of ``shape``: each pixel ``times`` as large, a margin around
    it, and whole blocks. It knows no RGB, and searches in the first of its planes, but moves all of
    them alike: they are luma, R, G and B, so that no colour is converted."""

    shape: tuple[int, ...]
    times: int

    @property
    def height(self) -> int:
        return -(-(self.shape[0] * self.times + 2 * MARGIN) // BLOCK) * BLOCK

    @property
    def width(self) -> int:
        return -(-(self.shape[1] * self.times + 2 * MARGIN) // BLOCK) * BLOCK

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the frame itself is."""
        rows, columns = (slice(MARGIN, MARGIN + side * self.times) for side in self.shape[:2])
        return rows, columns

    def packed(self, picture: Frame) -> "VideoFrame":
        """``picture`` with its edges drawn out over the margin."""
        import av

        rows, columns = self.inner
        luma = np.rint(picture @ LUMA).astype(np.uint8)
        frame = av.VideoFrame(self.width, self.height, LAYOUT)
        for plane, values in zip(frame.planes, (luma, *np.moveaxis(picture, -1, 0)), strict=True):
            pixels = _pixels(plane)[:, : self.width]
            large = values
            if self.times > 1:
                large = np.repeat(np.repeat(values, self.times, 0), self.times, 1)
            pixels[rows, columns] = large
            pixels[rows, : columns.start] = large[:, :1]
            pixels[rows, columns.stop :] = large[:, -1:]
            pixels[: rows.start] = pixels[rows.start]
            pixels[rows.stop :] = pixels[rows.stop - 1]
        return frame

    def unpacked(self, frame: "VideoFrame") -> Frame:
        """R, G and B of what the filter made, as large as the clip's frames are."""
        found = np.empty(self.shape, np.uint8)
        for channel, plane in enumerate(frame.planes[1:]):
            values = _pixels(plane)[self.inner]
            if self.times > 1:
                blocks = values.reshape(self.shape[0], self.times, self.shape[1], self.times)
                values = np.rint(blocks.mean((1, 3), np.float32)).astype(np.uint8)
            found[..., channel] = values
        return found


def _sheet_for(run: list[Pair]) -> _Sheet:
    height, width = run[0].before.shape[:2]
    halfway = all(share in (0, HALF) for pair in run for share in pair.shares.values())
    times = 1 if halfway else math.isqrt(ENLARGED // (height * width))
    return _Sheet(run[0].before.shape, min(max(1, times), MOST_ENLARGED))


def _pixels(plane: "VideoPlane") -> NDArray[np.uint8]:
    """A plane's own memory, with what its lines are rounded up by."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


# ---- in a thread -------------------------------------------------------------------------------


def _made(run: list[Pair], rate: Fraction, stop: threading.Event) -> Made:
    """The output frames of ``run``; none once ``stop`` is set."""
    import av
    from av.filter import Graph

    sheet = _sheet_for(run)
    options = {
        "fps": str(rate),
        "mi_mode": "mci",
        "mc_mode": "aobmc",
        "me_mode": "bilat",
        "me": "epzs",
        "mb_size": str(BLOCK),
        "search_param": str(max(LEAST_REACH, max(sheet.height, sheet.width) // REACH)),
        "scd": "none",  # cuts.py does that
    }
    graph = Graph()
    graph.threads = 1  # by itself it starts one for each core, which this filter never uses
    base = 1 / (rate * FINER)
    layout = av.VideoFormat(LAYOUT)
    entry = graph.add_buffer(None, sheet.width, sheet.height, layout, time_base=base)
    interpolate = graph.add("minterpolate", **options)
    exit_ = graph.add("buffersink")
    entry.link_to(interpolate)
    interpolate.link_to(exit_)
    graph.configure()
    found: dict[int, Frame] = {}
    for picture, pts in _given(run, rate):
        if stop.is_set():
            return []
        given = sheet.packed(picture)
        given.pts, given.time_base = pts, base
        entry.push(given)
        while True:
            try:
                made = cast(av.VideoFrame, exit_.pull())
            except av.error.BlockingIOError:  # it wants the next frame
                break
            if made.pts is not None:
                found[made.pts] = sheet.unpacked(made)
    return [
        found[index] if share else pair.before
        for pair in run
        for index, share in pair.shares.items()
    ]


def _given(run: list[Pair], rate: Fraction) -> Iterator[tuple[Frame, int]]:
    """Each frame and its time in the filter's units: it divides by their differences, so that no
    two may be equal. It makes the frames of a pair when it has the frame behind it."""
    pts = round(run[0].times[0] * rate * FINER)
    yield run[0].before, pts
    for pair in run:
        pts = max(pts + 1, round(pair.times[1] * rate * FINER))
        yield pair.after, pts
    yield run[-1].after, pts + FINER
