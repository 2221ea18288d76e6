"""Frames in between on any machine: FFmpeg's motion-compensated interpolation, through PyAV.

FFmpeg's filter ``minterpolate`` works on one core. A clip is cut into runs of a few frames, which
have nothing to do with each other and are worked on side by side; how many at once changes no bit.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from engine.machine.facts import core_limit
from engine.pipelines.smooth.base import Frame, Pair, SmoothError, pairs, unchecked
from engine.pipelines.smooth.timing import Timing

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane

RUN = 8  # pairs that the filter gets in one; each run costs the search of one pair more
BLOCK = 16  # sides of the blocks whose motion is searched for, in pixels
MARGIN = 16  # pixels around a frame: beyond its last whole block the filter only blends
REACH = 8  # a block is searched for as far as this part of the longer side
LEAST_REACH = 32  # pixels
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
    """An ``Interpolator``: each block of a frame is searched for in the frame before and after.

    Args:
        threads: how many runs are worked on at once; by itself as many as there are cores.

    Raises:
        SmoothError: PyAV has no such filter.
    """

    def __init__(self, threads: int | None = None) -> None:
        if not is_here():
            # TEXT:
            raise SmoothError("FFmpeg's filter minterpolate isn't in PyAV.", "Run the setup again.")
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
            for run in _runs(pairs(source, timing)):
                check()
                if run[0].moves:
                    if pool is None:
                        threads = self._threads or _threads_for(run[0].before)
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


def _runs(clip: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Pairs that follow each other and move, or one that doesn't."""
    run: list[Pair] = []
    for pair in clip:
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


def _threads_for(frame: Frame) -> int:
    height, width = _padded(frame)
    cores = core_limit() or os.cpu_count() or 1
    return max(1, min(cores, MOST_THREADS, PIXELS_AT_ONCE // (height * width)))


def _padded(frame: Frame) -> tuple[int, int]:
    """Height and width with the margin, in whole blocks."""
    height, width = frame.shape[:2]
    return (
        -(-(height + 2 * MARGIN) // BLOCK) * BLOCK,
        -(-(width + 2 * MARGIN) // BLOCK) * BLOCK,
    )


# ---- in a thread -------------------------------------------------------------------------------


def _made(run: list[Pair], rate: Fraction, stop: threading.Event) -> Made:
    """The output frames of ``run``; too few once ``stop`` is set."""
    import av
    from av.filter import Graph

    height, width = _padded(run[0].before)
    options = {
        "fps": str(rate),
        "mi_mode": "mci",
        "mc_mode": "aobmc",
        "me_mode": "bidir",
        "me": "epzs",
        "mb_size": str(BLOCK),
        "search_param": str(max(LEAST_REACH, max(height, width) // REACH)),
        "scd": "none",  # cuts.py does that
    }
    graph = Graph()
    base = 1 / (rate * FINER)
    layout = av.VideoFormat(LAYOUT)
    entry = graph.add_buffer(width=width, height=height, format=layout, time_base=base)
    interpolate = graph.add("minterpolate", **options)
    exit_ = graph.add("buffersink")
    entry.link_to(interpolate)
    interpolate.link_to(exit_)
    graph.configure()
    found: dict[int, Frame] = {}
    for picture, pts in _given(run, rate):
        if stop.is_set():
            return []
        given = _packed(picture, height, width)
        given.pts, given.time_base = pts, base
        entry.push(given)
        while True:
            try:
                made = cast(av.VideoFrame, exit_.pull())
            except av.error.BlockingIOError:  # it wants the next frame
                break
            if made.pts is not None:
                found[made.pts] = _unpacked(made, picture.shape)
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


def _packed(picture: Frame, height: int, width: int) -> "VideoFrame":
    """``picture`` with its edges drawn out, as the filter takes it: it knows no RGB, and searches
    in the first of its planes, but moves all of them alike. So the planes are luma, R, G and B, and
    no colour is converted."""
    import av

    inner = slice(MARGIN, MARGIN + picture.shape[0]), slice(MARGIN, MARGIN + picture.shape[1])
    frame = av.VideoFrame(width, height, LAYOUT)
    luma = np.rint(picture @ LUMA).astype(np.uint8)
    for plane, values in zip(frame.planes, (luma, *np.moveaxis(picture, -1, 0)), strict=True):
        sheet = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)[
            :, :width
        ]
        sheet[inner] = values
        sheet[inner[0], : inner[1].start] = values[:, :1]
        sheet[inner[0], inner[1].stop :] = values[:, -1:]
        sheet[: inner[0].start] = sheet[inner[0].start]
        sheet[inner[0].stop :] = sheet[inner[0].stop - 1]
    return frame


def _unpacked(frame: "VideoFrame", shape: tuple[int, ...]) -> Frame:
    """R, G and B of what the filter made, [height, width, 3], without the margin."""
    found = np.empty(shape, np.uint8)
    for channel, plane in enumerate(frame.planes[1:]):
        found[..., channel] = _sheet(plane)[MARGIN:, MARGIN:][: shape[0], : shape[1]]
    return found


def _sheet(plane: "VideoPlane") -> NDArray[np.uint8]:
    """A plane's own memory, with what rounds up its lines."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
