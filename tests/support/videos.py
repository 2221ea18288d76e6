"""Videos as other programs make them: turned, of irregular times, with sound."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from engine.stages import Frames

TURNED = {  # a track's matrix (ISO/IEC 14496-12, 8.3.2): by so many degrees clockwise
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}


def write(
    path: Path,
    frames: Frames,
    times: Sequence[Fraction],
    codec: str = "libx264",
    turned: int = 0,
    sound: str | None = None,
    begins: Fraction = Fraction(0),
) -> Path:
    """``frames``, uint8 [frames, height, width, 3], at ``times`` seconds.

    Args:
        turned: degrees clockwise by which they are to be shown.
        sound: the codec of a tone as long as the pictures.
        begins: seconds after which the pictures begin, the sound at once.
    """
    base = Fraction(1, 90_000)
    # x265 writes beyond its memory where a picture is smaller than its largest block.
    assert codec != "libx265" or min(frames.shape[1:3]) >= 64
    with av.open(str(path), "w", format="mp4") as container:
        alone = {"x265-params": "pools=none:frame-threads=1:log-level=none"}  # for so few pictures
        options = alone if codec == "libx265" else {}
        video: Any = container.add_stream(codec, rate=30, options=options)
        video.width, video.height, video.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        video.codec_context.time_base = base
        tone: Any = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        for frame, at in zip(frames, times, strict=True):
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            shown.pts, shown.time_base = round((at + begins) / base), base
            container.mux(video.encode(shown))
        container.mux(video.encode(None))
        if tone is not None:
            count = round((times[-1] + begins) * 48_000)
            wave = (np.sin(np.arange(count) * 0.05) * 0.5).astype(np.float32)
            for begin in range(0, count, 1024):
                part = wave[None, begin : begin + 1024]
                heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                heard.pts, heard.sample_rate = begin, 48_000
                heard.time_base = Fraction(1, 48_000)
                container.mux(tone.encode(heard))
            container.mux(tone.encode(None))
    if turned:
        _turn(path, turned)
    return path


def _turn(path: Path, degrees: int) -> None:
    """Write the matrix of the first track: the first version of its header has it at byte 48."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = TURNED[degrees]
    parts = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(part.to_bytes(4, "big", signed=True) for part in parts)
    path.write_bytes(data)


def moving(count: int, height: int = 32, width: int = 48) -> Frames:
    """A white square that moves to the right by two pixels a frame, over a grey slope."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames[:] = np.linspace(40, 90, width, dtype=np.uint8)[None, None, :, None]
    for at in range(count):
        frames[at, 8:16, 2 * at : 2 * at + 8] = 230
    return frames
