"""Puts the frames of a clip before those that go on from it, in one H.264 stream.

What an earlier run encoded is copied as it is where its parameter sets are the ones that this
encoder writes: then a decoder that has them reads both (ITU-T H.264, 7.4.1.2.1). Another size, rate
or version of x264 has others; then the earlier frames are decoded, and encoded again.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

_SPS, _PPS = 7, 8  # kinds of NAL units (table 7-1)


def go_on(before: Path, stream: Any) -> tuple[list[Any], Iterator[Any]]:
    """The earlier clip's packets, in decoding order and Annex B's form, where they can be copied;
    else none, and its pictures for the encoder.

    Args:
        stream: the output's, set up.

    Raises:
        FFmpegError: ``before`` can't be read.
    """
    import av
    from av.bitstream import BitStreamFilterContext

    stream.codec_context.open(strict=False)
    with av.open(str(before), "r", format="mp4") as container:
        video = container.streams.video[0]
        same = video.average_rate == stream.codec_context.framerate
        if same and _sets(video.codec_context.extradata) == _sets(stream.codec_context.extradata):
            plain = BitStreamFilterContext("h264_mp4toannexb", in_stream=video)
            packets = [packet for packet in container.demux(video) if packet.size]
            return [kept for packet in [*packets, None] for kept in plain.filter(packet)], iter(())
    return [], _decoded(before)


def after(earlier: list[Any], packets: list[Any], stream: Any) -> list[Any]:
    """``packets`` of the encoder, behind those that were copied: their times go on from there."""
    if not earlier:
        return packets
    base = stream.codec_context.time_base
    rate = Fraction(stream.codec_context.framerate)
    length = len(earlier)
    for packet in earlier:
        scale = Fraction(packet.time_base) / base
        packet.pts, packet.dts = (round(at * scale) for at in (packet.pts, packet.dts))
        packet.time_base, packet.stream = base, stream
    shift = round(length / rate / base)
    for packet in packets:
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
    return [*earlier, *packets]


def _decoded(before: Path) -> Iterator[Any]:
    """Without their times, of which an encoder wants its own."""
    import av

    with av.open(str(before), "r", format="mp4") as container:
        for frame in container.decode(video=0):
            frame.pts = None
            yield frame


def _sets(extradata: bytes | None) -> set[bytes]:
    """The parameter sets, from an MP4's "avcC" (ISO/IEC 14496-15, 5.3.3.1) or from Annex B."""
    if not extradata:
        return set()
    if extradata[:1] != b"\x01":
        units = extradata.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
        return {unit for unit in units if unit and unit[0] & 31 in (_SPS, _PPS)}
    found, at = set(), 5
    for mask in (31, 255):  # how many of each kind, the first in five bits
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2])
            found.add(extradata[at + 2 : at + 2 + size])
            at += 2 + size
    return found
