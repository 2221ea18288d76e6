"""Frames in between on any machine: FFmpeg's motion-compensated interpolation, through PyAV.

FFmpeg's filter ``minterpolate`` is at its best halfway between two frames: there it is some 20 dB
nearer to the truth than a blend, at a third of the way 5 dB (wan-tiny's world at 832 × 480). So
halves alone are made, and halves of these, until a frame is as near as ``STEPS`` says: 12 dB.

The filter works on one core. A clip is cut into runs of a few frames, which have nothing to do with
each other and are worked on side by side; how many at once changes no bit.
"""

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
from engine.pipelines.base import Frame
from engine.pipelines.smooth.base import Pair, SmoothError, pairs, unchecked
from engine.text import Text
from engine.timing import Timing

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

STEPS = 16  # of the way between two frames: at 16 frames a second one is 4 ms
RUN = 4  # pairs that a thread works on at once
BLOCK = 16  # sides of the blocks whose motion is searched for, in pixels
MARGIN = 16  # pixels around a frame: beyond its last whole block the filter only blends
# From halfway a block is searched for both ways, as far as this part of the longer side, so twice
# as far in all. Four times as far a thing that bounces was taken for another: 5 dB below a blend.
REACH = 16
LEAST_REACH = 16  # pixels
MOST_THREADS = 8
PIXELS_AT_ONCE = 4_000_000  # of all threads: the filter holds 300 bytes for each, so 1.2 GB
LAYOUT = "yuva444p"  # of four planes; _Sheet says what is in them
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

        Where a frame lies is rounded to ``STEPS``: one within half a step of a source frame is it.

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
                    waiting.append(pool.submit(_made, run, stop))
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
    sheet = _Sheet(run[0].before.shape)
    cores = core_limit() or os.cpu_count() or 1
    return max(1, min(cores, MOST_THREADS, PIXELS_AT_ONCE // (sheet.height * sheet.width)))


# ---- in a thread -------------------------------------------------------------------------------


class _Stopped(Exception):
    """Nobody waits for these frames any more."""


def _made(run: list[Pair], stop: threading.Event) -> Made:
    """The output frames of ``run``.

    Raises:
        _Stopped: once ``stop`` is set.
    """
    middles = _halfway([run[0].before, *(pair.after for pair in run)], stop)
    made = []
    for pair, middle in zip(run, middles, strict=True):
        known = {0: pair.before, STEPS // 2: middle, STEPS: pair.after}
        for share in pair.shares.values():
            made.append(_at(round(share * STEPS), known, stop))
    return made


def _at(step: int, known: dict[int, Frame], stop: threading.Event) -> Frame:
    """The frame so many steps on the way between two; those made for it become ``known``, too."""
    if step not in known:
        away = step & -step  # as far as the two that it is halfway between
        ends = [_at(step - away, known, stop), _at(step + away, known, stop)]
        (known[step],) = _halfway(ends, stop)
    return known[step]


def _halfway(frames: list[Frame], stop: threading.Event) -> list[Frame]:
    """A frame between each two of ``frames``."""
    import av
    from av.filter import Graph

    sheet = _Sheet(frames[0].shape)
    options = {
        "fps": "2",
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
    second = Fraction(1)
    layout = av.VideoFormat(LAYOUT)
    entry = graph.add_buffer(None, sheet.width, sheet.height, layout, time_base=second)
    interpolate = graph.add("minterpolate", **options)
    exit_ = graph.add("buffersink")
    entry.link_to(interpolate)
    interpolate.link_to(exit_)
    graph.configure()
    found = []
    # It makes what is between two frames when it has the one behind them.
    for pts, frame in enumerate([*frames, frames[-1]]):
        if stop.is_set():
            raise _Stopped
        given = sheet.packed(frame)
        given.pts, given.time_base = pts, second
        entry.push(given)
        while True:
            try:
                made = cast(av.VideoFrame, exit_.pull())
            except av.error.BlockingIOError:  # it wants the next frame
                break
            if made.pts is not None and made.pts % 2:  # the others are the given ones
                found.append(sheet.unpacked(made))
    return found


@dataclass(frozen=True)
class _Sheet:
    """What the filter gets of frames of ``shape``: a margin around them, and whole blocks. It knows
    no RGB, and searches in the first of its planes, but moves all of them alike: they are luma, R,
    G and B, so that no colour is converted."""

    shape: tuple[int, ...]

    @property
    def height(self) -> int:
        return -(-(self.shape[0] + 2 * MARGIN) // BLOCK) * BLOCK

    @property
    def width(self) -> int:
        return -(-(self.shape[1] + 2 * MARGIN) // BLOCK) * BLOCK

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where the frame itself is."""
        rows, columns = (slice(MARGIN, MARGIN + side) for side in self.shape[:2])
        return rows, columns

    def packed(self, picture: Frame) -> "VideoFrame":
        """``picture`` with its edges drawn out over the margin."""
        import av

        rows, columns = self.inner
        luma = np.rint(picture @ LUMA).astype(np.uint8)
        frame = av.VideoFrame(self.width, self.height, LAYOUT)
        for plane, values in zip(frame.planes, (luma, *np.moveaxis(picture, -1, 0)), strict=True):
            pixels = _pixels(plane)[:, : self.width]
            pixels[rows, columns] = values
            pixels[rows, : columns.start] = values[:, :1]
            pixels[rows, columns.stop :] = values[:, -1:]
            pixels[: rows.start] = pixels[rows.start]
            pixels[rows.stop :] = pixels[rows.stop - 1]
        return frame

    def unpacked(self, frame: "VideoFrame") -> Frame:
        """R, G and B of what the filter made, without the margin."""
        found = np.empty(self.shape, np.uint8)
        for channel, plane in enumerate(frame.planes[1:]):
            found[..., channel] = _pixels(plane)[self.inner]
        return found


def _pixels(plane: "VideoPlane") -> NDArray[np.uint8]:
    """A plane's own memory, with what its lines are rounded up by."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
