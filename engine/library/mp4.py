"""Clips as files: MP4s that every browser plays, with their receipt inside.

PyAV is imported where it is used: the page's process names clips, but hardly ever opens one, and
the libraries behind PyAV take 30 MB.
"""

import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from engine.errors import ExitCode, HeadroomError
from engine.library import xmp
from engine.library.clip_writer import RECEIPT_KIND, ClipWriter
from engine.process.own_files import why_no_file
from engine.stages import Frames
from engine.text import Said, Text

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import InputContainer

# Of a picture that is decoded: 4096 × 2304, more than any model makes. A decoder keeps up to 17
# pictures, so that this is 240 MB; 15,360 × 15,360, in a file of 0.7 MB, took 3,340 MiB.
MOST_PIXELS = 4096 * 2304
# Nothing can be there; other errors tell of something that can't be looked at.
STILL_SECONDS = 4.0  # of decoding; then the picture that was reached will do
LONGEST_NAME = 100  # characters of a file's name, in a sentence


class ClipError(HeadroomError):
    """A file isn't a readable clip, or has no receipt of ours."""

    exit_code = ExitCode.BAD_INPUT


def write_clip(
    path: Path,
    frames: Frames,
    fps: int,
    receipt: Callable[[], dict[str, Any]] | None,
    check: Callable[[], None] = lambda: None,
    pictures: Mapping[str, str] | None = None,
) -> None:
    """Encode ``frames`` (uint8 [frames, height, width, 3]) and write them, as ``ClipWriter`` does.

    Raises:
        OSError: the disk is full or the folder is gone.
    """
    writer = ClipWriter(path, fps)
    writer.add(frames)
    writer.finish(receipt, check, pictures)


def shown_name(name: str) -> str:
    """A file's name as sentences have it: without folders, and of a very long one without its
    middle."""
    name = name.replace("\\", "/").rpartition("/")[2]
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 21]}…{name[-20:]}"


def refuse_unless_mp4(head: bytes, file: Said) -> None:
    """Look at the first 8 bytes of ``file``, or at all that it has.

    Raises:
        ClipError: it is empty, or something else.
    """
    if not head:
        raise ClipError(Text("library.empty", file=file), Text("library.use_ours"))
    if head[4:8] != b"ftyp":
        raise ClipError(Text("library.no_mp4", file=file), Text("library.use_ours"))


@contextmanager
def opened(path: Path) -> Iterator["InputContainer"]:
    """The MP4 at ``path``, whatever its name and its tags are: FFmpeg takes ``a:b.mp4`` for a
    protocol, and tags needn't be UTF-8. No picture above ``MOST_PIXELS`` is decoded.

    Raises:
        ClipError: it can't be opened, or is no MP4.
    """
    import av
    import av.error

    file = shown_name(path.name)
    try:
        with path.open("rb") as stream:
            refuse_unless_mp4(stream.read(8), file)
            stream.seek(0)
            with av.open(
                stream,
                "r",
                format="mp4",
                options={"max_pixels": str(MOST_PIXELS)},
                metadata_errors="replace",
            ) as container:
                yield container
    except MemoryError:  # FFmpeg's own is an FFmpegError, too
        raise
    except av.error.FFmpegError as error:
        wrong = Text("library.no_video", file=file)
        raise ClipError(wrong, Text("library.use_ours")) from error
    except OSError as error:
        _refuse_unless_file(path)
        raise _unread(file, error) from error


def _refuse_unless_file(path: Path) -> None:
    """Raises ClipError: there is none, or it can't be looked at."""
    file = shown_name(path.name or str(path))
    try:
        why = why_no_file(path, file)
    except OSError as error:
        raise _unread(file, error) from error
    if why is not None:
        raise ClipError(
            why, Text("library.name_a_file" if os.path.isdir(path) else "files.check_path")
        )


def _unread(file: str, error: OSError) -> ClipError:
    reason = error.strerror or str(error)
    return ClipError(Text("library.cant_read", file=file, reason=reason), Text("files.check_path"))


def read_receipt(path: Path) -> dict[str, Any]:
    """The receipt inside the MP4 at ``path``, as it stands there.

    Raises:
        ClipError: no such file, not a video, or one that another program made.
    """
    file = shown_name(path.name)
    _refuse_unless_file(path)  # nor does a pipe, which would never end, become one
    with opened(path) as container:
        comment = container.metadata.get("comment", "")
        if not container.streams.video:  # cut off before its index, or never a video
            raise ClipError(Text("library.no_video", file=file), Text("library.use_ours"))
    receipt = _receipt_in(comment)
    if receipt is None or _begins_with_picture(receipt):
        fuller = _receipt_in(xmp.read(path) or "")
        if receipt is not None and fuller is not None and "pictures" in fuller:
            receipt["pictures"] = fuller["pictures"]  # of this clip: tags are what people edit
        receipt = receipt or fuller
    if receipt is None:
        without = Text("library.no_receipt", file=file)
        raise ClipError(without, Text("library.made_elsewhere"))
    return receipt


def _begins_with_picture(receipt: dict[str, Any]) -> bool:
    request = receipt.get("request")
    return isinstance(request, dict) and "image" in request


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

    with path.open("rb") as file, av.open(file, "r", format="mp4") as container:
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
        ClipError: it holds no picture that can be decoded, or one that is too large for that.
    """
    write_poster(poster, _decoded(path, None)[np.newaxis])


def frame_of(path: Path, place: Path, index: int) -> None:
    """Write the picture with that ``index`` of the clip at ``path`` to ``place``, as a PNG; raises
    as ``poster_of``."""
    Image.fromarray(_decoded(path, index)).save(place, "PNG", compress_level=2)


def shape_of(path: Path) -> tuple[int, int, int]:
    """Frames that decode, width and height in pixels, of the clip at ``path``; raises as
    ``poster_of``."""
    import av.error

    file = shown_name(path.name)
    with opened(path) as container:
        stream = video_of(container, file)
        try:
            return sum(1 for _ in container.decode(stream)), stream.width, stream.height
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            raise ClipError(Text("library.cant_decode", file=file)) from error


def video_of(container: "InputContainer", file: str) -> "VideoStream":
    """Its pictures, ready to be decoded.

    Raises:
        ClipError: there are none, none that can be decoded, or they are too large for that.
    """
    import av

    stream = container.streams.best("video")  # a cover is none, unless there is nothing else
    if not isinstance(stream, av.VideoStream):
        raise ClipError(Text("library.no_picture", file=file))
    if stream.codec_context is None:  # of a kind that no decoder here knows
        raise ClipError(Text("library.cant_decode", file=file))
    _refuse_large(stream.width, stream.height, file)
    # What the header says needn't be what is in the packets: the decoder keeps to it, too.
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    stream.codec_context.thread_count = 1  # each would keep pictures of its own
    return stream


def _decoded(path: Path, index: int | None) -> Frames:
    """One picture, uint8 [height, width, 3]: that of the ``index``, by default the middle one, or
    the last before time is over."""
    import av.error
    from av.video.reformatter import Colorspace

    middle = None
    file = shown_name(path.name)
    with opened(path) as container:
        stream = video_of(container, file)
        last = stream.frames // 2 if index is None else index
        ends = time.monotonic() + STILL_SECONDS
        try:
            for number, frame in enumerate(container.decode(stream)):
                middle = frame
                if number == last or time.monotonic() > ends:
                    break
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            if middle is None:
                raise ClipError(Text("library.cant_decode", file=file)) from error
        if middle is None:
            raise ClipError(Text("library.no_picture", file=file))
        array = middle.to_ndarray(format="rgb24", src_colorspace=Colorspace.ITU709)
        return array.astype(np.uint8)


def _refuse_large(width: int, height: int, file: str) -> None:
    if width * height > MOST_PIXELS:
        raise ClipError(Text("library.too_many_pixels", file=file, width=width, height=height))


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
