"""Clips as files: MP4s that every browser plays, with their receipt inside.

PyAV is imported where it is used: the page's process names clips, but hardly ever opens one, and
the libraries behind PyAV take 30 MB.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.errors import ExitCode, HeadroomError
from engine.library import xmp
from engine.machine.facts import core_limit
from engine.stages import Frames
from engine.text import Text

RECEIPT_KIND = "headroom.receipt"
# Without mbtree=0 the same frames give other bytes in another process: x264's vector code for
# macroblock trees reads memory that nobody wrote (gone with no-asm or without B-frames, too).
_X264 = {"crf": "16", "preset": "fast", "x264-params": "mbtree=0"}
_BT709 = 1  # the code that H.264 gives BT.709 for primaries, transfer and matrix (ITU-T H.273)


class ClipError(HeadroomError):
    """A file isn't a readable clip, or has no receipt of ours."""

    exit_code = ExitCode.BAD_INPUT


def write_clip(
    path: Path,
    frames: Frames,
    fps: int,
    receipt: Callable[[], dict[str, Any]] | None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Encode ``frames`` (uint8 [frames, height, width, 3]) as H.264 yuv420p with faststart.

    ``receipt`` is called after the encoding, so that it can tell how long that took: an MP4's
    tags are written when its first packet is, and the packets wait until then. It stands in the
    file twice, as xmp.py says; besides it the file tells nothing of what made it. ``check`` is
    called before each frame; what it raises ends the writing.

    Raises:
        OSError: the disk is full or the folder is gone.
    """
    import av
    from av.bitstream import BitStreamFilterContext
    from av.video.reformatter import ColorRange, Colorspace

    _, height, width, _ = frames.shape
    options = {"movflags": "+faststart", "fflags": "+bitexact"}  # without the muxer's version
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=fps, options=_X264)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Untagged video is guessed at by size, and players guess differently: say BT.709.
        context = stream.codec_context
        if threads := core_limit():  # by itself it takes one for each processor of the machine
            context.thread_count = threads
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = ColorRange.MPEG
        packets = []
        for array in frames:
            check()
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            packets += stream.encode(
                frame.reformat(
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU709,
                    dst_color_range=ColorRange.MPEG,
                )
            )
        packets += stream.encode(None)
        # x264 writes its version, and how many threads it had, into the picture's data.
        silent = BitStreamFilterContext("filter_units=remove_types=6", in_stream=stream)
        packets = [kept for packet in [*packets, None] for kept in silent.filter(packet)]
        told = None if receipt is None else {"kind": RECEIPT_KIND, **receipt()}
        if told is not None:
            container.metadata["comment"] = json.dumps(told, ensure_ascii=False)
        container.mux(packets)
    if told is not None:
        xmp.append(path, json.dumps(told))


def read_receipt(path: Path) -> dict[str, Any]:
    """The receipt inside the MP4 at ``path``.

    Raises:
        ClipError: no such file, not a video, or one that another program made.
    """
    import av
    import av.error

    if not path.is_file():
        raise ClipError(Text("library.no_file", file=path), Text("library.check_path"))
    try:
        with av.open(str(path)) as container:
            comment = container.metadata.get("comment", "")
            if not container.streams.video:  # cut off before its index, or never a video
                raise av.error.InvalidDataError(0, "no video")
    except (av.error.FFmpegError, OSError) as error:
        wrong = Text("library.no_video", file=path.name)
        raise ClipError(wrong, Text("library.use_ours")) from error
    receipt = _receipt_in(comment) or _receipt_in(xmp.read(path) or "")
    if receipt is None:
        without = Text("library.no_receipt", file=path.name)
        raise ClipError(without, Text("library.made_elsewhere"))
    return receipt


def _receipt_in(text: str) -> dict[str, Any] | None:
    try:
        receipt = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(receipt, dict) or receipt.pop("kind", None) != RECEIPT_KIND:
        return None
    return receipt


def read_frames(path: Path) -> Frames:
    """Decode the clip: uint8 [frames, height, width, 3]."""
    import av
    from av.video.reformatter import Colorspace

    with av.open(str(path)) as container:
        frames = [
            frame.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709)
            for frame in container.decode(video=0)
        ]
    return np.stack(frames).astype(np.uint8)


def write_poster(path: Path, frames: Frames, longest: int = 320) -> None:
    """A still of the middle frame as JPEG, for lists."""
    picture = Image.fromarray(frames[len(frames) // 2])
    scale = longest / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture.resize(size, Image.Resampling.BICUBIC).save(path, "JPEG", quality=88)


def poster_of(path: Path, poster: Path) -> None:
    """A still for the clip at ``path``, as ``write_poster`` would have made it.

    Raises:
        ClipError: it holds no picture that can be decoded.
    """
    import av
    import av.error
    from av.video.reformatter import Colorspace

    middle = None
    try:
        with av.open(str(path)) as container:
            last = container.streams.video[0].frames // 2
            for number, frame in enumerate(container.decode(video=0)):
                middle = frame
                if number == last:
                    break
            if middle is not None:
                array = middle.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709)
                write_poster(poster, array[np.newaxis].astype(np.uint8))
                return
    except (av.error.FFmpegError, IndexError) as error:
        raise ClipError(Text("library.cant_decode", file=path.name)) from error
    raise ClipError(Text("library.no_picture", file=path.name))


def preview_webp(frames: Frames, milliseconds: int = 160) -> bytes:
    """A small looping picture of ``frames`` for the page."""
    pictures = [Image.fromarray(frame) for frame in frames]
    data = io.BytesIO()
    pictures[0].save(
        data,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=milliseconds,
        loop=0,
        quality=80,
        method=0,
    )
    return data.getvalue()
