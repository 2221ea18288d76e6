"""Any program's MP4 as pictures with their times: what a clip is changed from.

A phone's video has its own ways: pictures that stand on their side with a note to turn them, times
that aren't regular, ten bits a colour, a track of sound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.library.mp4 import ClipError, opened, shown_name, video_of
from engine.stages import Frames
from engine.text import Text

if TYPE_CHECKING:
    from av import VideoFrame

LONGEST = 30  # seconds
LARGEST = 1920 * 1088  # pixels of a picture: 1080p as encoders write it
MOST_PICTURES = LONGEST * 240  # a slow-motion camera's
OTHER = Text("library.use_other_video")
# H.264's codes for the colours' matrix (ITU-T H.273, table 4), as swscale counts them.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


@dataclass(frozen=True)
class Video:
    """``times``: when each picture is shown, in seconds from the first one's; ``end``: when the
    last one's time is over. ``width`` and ``height`` as they are to be seen, both even."""

    width: int
    height: int
    times: tuple[Fraction, ...]
    end: Fraction
    has_sound: bool

    def to_json(self) -> dict[str, Any]:
        times = [str(at) for at in self.times]
        told = {"width": self.width, "height": self.height, "times": times}
        return told | {"end": str(self.end), "has_sound": self.has_sound}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Video":
        times = tuple(Fraction(at) for at in told["times"])
        end, sound = Fraction(told["end"]), bool(told["has_sound"])
        return cls(int(told["width"]), int(told["height"]), times, end, sound)


def look_at(path: Path) -> Video:
    """What the MP4 at ``path`` holds; its first picture is decoded, the others are only counted.

    Raises:
        ClipError: it isn't an MP4, has no pictures that can be decoded, or is too long or too large
            to be changed.
    """
    import av.error

    file = shown_name(path.name)
    with opened(path) as container:
        stream = video_of(container, file)
        try:
            shown = (packet for packet in container.demux(stream) if _shown(packet))
            few = islice(shown, MOST_PICTURES + 1)  # the times alone: their data is the whole file
            marks = {packet.pts or 0: packet.duration or 0 for packet in few}
            container.seek(0, stream=stream)
            first = next(iter(container.decode(stream)), None)
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise ClipError(Text("library.cant_decode", file=file), OTHER) from error
        base = stream.time_base
        if first is None or not marks or base is None:
            raise ClipError(Text("library.no_picture", file=file), OTHER)
        begin, last = min(marks), max(marks)
        times = tuple((at - begin) * base for at in sorted(marks))
        usual = times[-1] / (len(times) - 1) if len(times) > 1 else Fraction(1, 16)
        # A packet's duration is the time to the next one that is decoded, which needn't be the next
        # one that is shown: the whole's is that of the track, unless an edit list cuts it.
        end = (stream.duration or 0) * base
        if not 0 < end - times[-1] <= 2 * usual:
            end = times[-1] + (marks[last] * base or usual)
        height, width = turned(first).shape[:2]
        if width * height > LARGEST:
            told = {"file": file, "width": width, "height": height}
            raise ClipError(Text("library.video_too_large", **told), OTHER)
        if end > LONGEST or len(times) > MOST_PICTURES:
            seconds = round(float(end), 1)
            raise ClipError(
                Text("library.video_too_long", file=file, seconds=seconds, most=LONGEST), OTHER
            )
        return Video(width, height, times, end, bool(container.streams.audio))


def pictures(path: Path, video: Video) -> Iterator[Frames]:
    """Each picture of ``video``, uint8 [height, width, 3]; of one that can't be decoded the one
    before it stands in its place.

    Raises:
        ClipError: none can be decoded.
    """
    import av.error

    file = shown_name(path.name)
    with opened(path) as container:
        stream = video_of(container, file)
        base = stream.time_base
        assert base is not None, "as it was looked at"
        arriving = container.decode(stream)
        shown: Frames | None = None
        start: int | None = None
        coming: VideoFrame | None = None
        for at in video.times:
            try:
                while coming is None or ((coming.pts or 0) - (start or 0)) * base <= at:
                    if coming is not None:
                        shown = turned(coming)
                    coming = next(frame for frame in arriving if frame.pts is not None)
                    start = coming.pts if start is None else start
            except (StopIteration, av.error.FFmpegError) as error:
                if isinstance(error, MemoryError):
                    raise
                if coming is not None:
                    shown, coming = turned(coming), None
                    arriving = iter(())
            if shown is None:
                raise ClipError(Text("library.cant_decode", file=file), OTHER)
            yield shown


def _shown(packet: Any) -> bool:
    """Whether it is a picture that is to be seen: an edit list leaves some out."""
    return packet.pts is not None and packet.size > 0 and not packet.is_discard


def turned(frame: "VideoFrame") -> Frames:
    """As it is to be seen, uint8 [height, width, 3] of even sides: H.264 has no odd ones."""
    usual = 1 if frame.height >= 720 else 5  # where a file says nothing: by its size
    matrix = _MATRICES.get(int(frame.colorspace), usual)
    array = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
    quarter = round(frame.rotation / 90) % 4
    array = np.rot90(array, quarter) if quarter else array
    height, width = (side - side % 2 for side in array.shape[:2])
    return np.ascontiguousarray(array[:height, :width], dtype=np.uint8)
