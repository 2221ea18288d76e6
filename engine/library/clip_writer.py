"""Encodes a clip while its frames are still being decoded; the file is written at the end."""

import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.library import joining, xmp
from engine.machine.facts import core_limit
from engine.stages import Frames

if TYPE_CHECKING:
    from engine.library.sound import Sound

RECEIPT_KIND = "headroom.receipt"
# Without mbtree=0 the same frames give other bytes in another process: x264's vector code for
# macroblock trees reads memory that nobody wrote (gone with no-asm or without B-frames, too).
_X264 = {"crf": "16", "preset": "fast", "x264-params": "mbtree=0"}
_BT709 = 1  # the code that H.264 gives BT.709 for primaries, transfer and matrix (ITU-T H.273)
FINER = 1000
LOOK_SECONDS = 0.05  # between two looks whether somebody has cancelled


class ClipWriter:
    """H.264 yuv420p with faststart, of frames that come in parts: ``add`` returns at once, and a
    thread of its own encodes them, so that a GPU goes on with the next ones meanwhile.

    The same frames in other parts give the same bytes.

    Args:
        begin: called once before the file is opened, in the thread; what it raises ``finish`` does.
        before: a clip of the same size and rate that these frames go on from. The first of them is
            its last one, and left out. It isn't encoded again where its codec's settings are ours.
        last: seconds for which the last frame is shown; by default as long as any.
        sound: called with the container before its header is written: what is heard with them.
        ahead: so many parts may wait for the encoder, then ``add`` does; 0 for any number.
    """

    def __init__(
        self,
        path: Path,
        fps: Fraction | int,
        begin: Callable[[], object] = lambda: None,
        before: Path | None = None,
        last: Fraction | None = None,
        sound: Callable[[Any], "Sound | None"] = lambda _: None,
        ahead: int = 0,
    ) -> None:
        self._path, self._fps, self._begin, self._before = path, fps, begin, before
        self._last, self._sound = last, sound
        self.earlier = 0  # frames of ``before``; known once all is encoded
        self._parts: queue.Queue[Frames | None] = queue.Queue(ahead)
        self._thread: threading.Thread | None = None
        self._encoded, self._given_up = threading.Event(), threading.Event()
        self._may_write = threading.Event()
        self._told: dict[str, Any] | None = None  # the receipt, once it was asked for
        self._error: BaseException | None = None
        self.taken = 0  # frames that were added

    def add(self, frames: Frames) -> None:
        """The next frames, uint8 [frames, height, width, 3]; they must not change any more."""
        if len(frames) == 0:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="clip writer", daemon=True)
            self._thread.start()
        self.taken += len(frames)
        self._put(frames)

    def finish(
        self,
        receipt: Callable[[], dict[str, Any]] | None,
        check: Callable[[], None] = lambda: None,
        pictures: Mapping[str, str] | None = None,
    ) -> None:
        """Wait until all is encoded, and write it.

        Args:
            receipt: called once the frames are encoded, so that it can tell how long that took: an
                MP4's tags are written when its first packet is. It stands in the file twice, as
                xmp.py says; besides it the file tells nothing of what made it.
            check: called again and again; what it raises ends the writing.
            pictures: what the clip began and ended with, as intake.py's ``proof`` makes it. They
                stand in the receipt's second place alone: tags are copied about in memory.

        Raises:
            OSError: the disk is full or the folder is gone.
        """
        if self._thread is None:
            raise ValueError("There are no frames.")
        self._put(None)
        try:
            while not self._encoded.wait(LOOK_SECONDS):
                check()
            if receipt is not None and self._error is None:
                self._told = {"kind": RECEIPT_KIND, **receipt()}
        except BaseException:
            self.abandon()
            raise
        self._may_write.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        if self._told is not None:
            more = {"pictures": dict(pictures)} if pictures else {}
            xmp.append(self._path, json.dumps(self._told | more))

    def abandon(self) -> None:
        """Close the file, whatever is in it: it is for its owner to remove. Nothing happens after
        ``finish``, and before the first frame."""
        self._given_up.set()
        self._may_write.set()
        self._put(None)
        if self._thread is not None:
            self._thread.join()

    def _put(self, part: Frames | None) -> None:
        """Once there is room for it; nobody takes it any more where the thread has ended."""
        while True:
            try:
                self._parts.put(part, timeout=LOOK_SECONDS)
                return
            except queue.Full:
                if self._thread is None or not self._thread.is_alive():
                    return

    # ---- in the thread -----------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._begin()
            self._write(self._arriving())
        except BaseException as error:
            self._error = error
        finally:
            self._encoded.set()

    def _arriving(self) -> Iterator[Frames]:
        while (part := self._parts.get()) is not None:
            yield part

    def _write(self, parts: Iterable[Frames]) -> None:
        import av
        from av.bitstream import BitStreamFilterContext

        options = {"movflags": "+faststart", "fflags": "+bitexact"}  # without the muxer's version
        with av.open(str(self._path), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=self._fps, options=_X264)
            heard = self._sound(container)
            packets: list[Any] = []
            earlier: list[Any] = []
            begun = False
            for part in parts:
                if not begun:
                    _set_up(stream, *part.shape[1:3])
                    begun = True
                    if self._before is not None:
                        part = part[1:]
                        earlier, again = joining.go_on(self._before, stream)
                        for frame in again:
                            if self._given_up.is_set():
                                return
                            self.earlier += 1
                            packets += stream.encode(frame)
                        self.earlier += len(earlier)
                for array in part:
                    if self._given_up.is_set():
                        return
                    packets += stream.encode(_frame(array))
            packets += stream.encode(None)
            # x264 writes its version, and how many threads it had, into the picture's data.
            silent = BitStreamFilterContext("filter_units=remove_types=6", in_stream=stream)
            packets = [kept for packet in [*packets, None] for kept in silent.filter(packet)]
            packets = joining.after(earlier, packets, stream)
            if self._last is not None:
                _show_last_for(self._last, packets)
            heard_too = packets if heard is None else heard.among(packets)
            self._encoded.set()
            self._may_write.wait()
            if self._given_up.is_set():
                return
            if self._told is not None:
                comment = json.dumps(self._told, ensure_ascii=False)
                # Half a character, as of a folder's name that isn't UTF-8, stays as JSON's escape.
                container.metadata["comment"] = comment.encode("utf-8", "backslashreplace").decode()
            container.mux(list(heard_too))


def _show_last_for(seconds: Fraction, packets: list[Any]) -> None:
    """How long the last frame is shown is what the last packet says, in finer units than frames."""
    for packet in packets:
        packet.pts, packet.dts = packet.pts * FINER, packet.dts * FINER
        packet.duration, packet.time_base = packet.duration * FINER, packet.time_base / FINER
    packets[-1].duration = max(1, round(seconds / packets[-1].time_base))


def _set_up(stream: Any, height: int, width: int) -> None:
    from av.video.reformatter import ColorRange

    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    # Untagged video is guessed at by size, and players guess differently: say BT.709.
    context = stream.codec_context
    if threads := core_limit():  # by itself it takes one for each processor of the machine
        context.thread_count = threads
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = ColorRange.MPEG


def _frame(array: Frames) -> Any:
    import av
    from av.video.reformatter import ColorRange, Colorspace

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
    return frame.reformat(
        format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
