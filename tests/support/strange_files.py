"""MP4s of others: damaged, made elsewhere, or made to hurt whoever opens them."""

import struct
from fractions import Fraction
from pathlib import Path

NAMES = (
    "a:b.mp4",
    "http:x.mp4",
    "file:x.mp4",
    "pipe:0.mp4",
    "concat:a|b.mp4",
    "data:text,x.mp4",
    "subfile,,start,1,end,9,,:x.mp4",
    "-y.mp4",
    "%03d.mp4",
    "[0-9]*.mp4",
    "\x1b[31mred.mp4",
    "two\nlines.mp4",
    "\u202egpj.mp4",
    "é" * 124 + ".mp4",  # 252 bytes: no room for another ending
)


def bomb(path: Path, side: int, frames: int) -> Path:
    """H.264 of grey pictures, ``side`` pixels square: all but nothing as a file."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        options = {"preset": "ultrafast", "crf": "40"}
        stream = container.add_stream("libx264", rate=8, options=options)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame(side, side, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for number in range(frames):
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_sides(data: bytes, width: int, height: int) -> bytes:
    """The MP4 with other sides in its header; what its packets hold stays as it is."""
    told = bytearray(data)
    entry = data.index(b"avc1", data.index(b"stsd")) + 28
    told[entry : entry + 4] = struct.pack(">HH", width, height)
    track = data.index(b"tkhd") + 80
    told[track : track + 8] = struct.pack(">II", width << 16, height << 16)
    return bytes(told)


def with_handler(data: bytes, name: bytes) -> bytes:
    """The MP4 with another track name, of the 12 bytes that ``VideoHandler`` has."""
    return data.replace(b"VideoHandler", name.ljust(12)[:12])


def with_comment(path: Path, data: bytes, size: int) -> Path:
    """The MP4 ``data`` (of ``write_clip`` without a receipt) with a tag of ``size`` zeros; the file
    is sparse, so that it costs no disk."""
    at = data.index(b"moov") - 4
    (length,) = struct.unpack(">I", data[at : at + 4])
    body = data[at + 8 : at + length]
    tags = body.index(b"udta") - 4
    body = body[:tags] + body[tags + struct.unpack(">I", body[tags : tags + 4])[0] :]

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content) + size, kind) + content

    tag = box(b"\xa9cmt", box(b"data", struct.pack(">II", 1, 0)))
    handler = struct.pack(">I4sII4s13x", 33, b"hdlr", 0, 0, b"mdir")
    told = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", tag)))
    with path.open("wb") as file:
        file.write(data[:at] + data[at + length :] + box(b"moov", body + told))
        file.truncate(file.tell() + size)
    return path
