"""The sound of a video, for another version of its pictures: copied where an MP4 takes it as it is,
else encoded as AAC."""

import contextlib
import logging
from collections.abc import Iterator
from fractions import Fraction
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Any

from engine.library.mp4 import opened

REORDERED = 32  # pictures, at most, before which one that was decoded later is shown
log = logging.getLogger("headroom.library")
AS_IT_IS = frozenset(("aac", "mp3", "ac3", "eac3", "alac"))  # what players expect in an MP4


class Sound:
    """Of the video at ``path``, as a stream of ``container``, whose header isn't written yet."""

    def __init__(self, path: Path, container: Any) -> None:
        self._path = path
        with opened(path) as video:
            track, self._start = video.streams.audio[0], _start(video)
            self.copied = track.codec_context.codec.canonical_name in AS_IT_IS
            if self.copied:
                self._stream = container.add_stream_from_template(track)
            else:
                self._stream = container.add_stream("aac", rate=track.rate)
                self._stream.layout = track.layout.name if track.channels <= 2 else "stereo"

    def among(self, packets: list[Any]) -> Iterator[Any]:
        """``packets`` of the pictures and those of the sound, by their times; what would be heard
        before the first picture or after the last one is left out."""
        last = max(packets, key=lambda packet: packet.pts)
        end = (last.pts + last.duration) * last.time_base

        def time(packet: Any) -> Fraction:
            return Fraction(packet.dts * packet.time_base)

        kept = [packet for packet in self._packets() if _ends(packet) > 0 and time(packet) < end]
        return merge(packets, kept, key=time)

    def _packets(self) -> Iterator[Any]:
        """As they go into the file."""
        from av.error import FFmpegError

        with opened(self._path) as video:
            track = video.streams.audio[0]
            shift = round(self._start / (track.time_base or 1))
            with contextlib.suppress(FFmpegError):  # what can be read of it will do
                yield from (self._copied if self.copied else self._encoded)(video, track, shift)

    def _copied(self, video: Any, track: Any, shift: int) -> Iterator[Any]:
        for packet in video.demux(track):
            if packet.size and packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = self._stream
                yield packet

    def _encoded(self, video: Any, track: Any, shift: int) -> Iterator[Any]:
        for frame in video.decode(track):
            if frame.pts is not None:
                frame.pts -= shift
            yield from self._stream.encode(frame)
        yield from self._stream.encode(None)


def of(path: Path, container: Any) -> Sound | None:
    """The sound of the video at ``path``; None where it has none that can be kept."""
    from av.error import FFmpegError

    with opened(path) as video:
        tracks = video.streams.audio
        if not tracks or tracks[0].codec_context is None:
            return None
    try:
        return Sound(path, container)
    except (FFmpegError, ValueError) as error:  # a rate or a layout that AAC hasn't
        log.warning("the sound of %s is left out: %s", path.name, error)
        return None


def _start(video: Any) -> Fraction:
    """When its first picture is shown, which needn't be the first that is decoded."""
    pictures = video.streams.best("video")
    shown = (p for p in video.demux(pictures) if p.pts is not None and not p.is_discard)
    times = [p.pts * p.time_base for p in islice(shown, REORDERED)]
    return Fraction(min(times, default=0))


def _ends(packet: Any) -> Fraction:
    return Fraction((packet.pts + (packet.duration or 0)) * packet.time_base)
