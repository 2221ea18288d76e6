"""How alike two clips are, picture by picture: PSNR and SSIM by FFmpeg's own filters."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from engine.library.mp4 import ClipError, shown_name
from engine.library.reader_process import IDENTICAL, Likeness
from engine.text import Text


def likeness(one: Path, other: Path) -> Likeness:
    """Compare the clips' pictures as they are stored, in YUV.

    Raises:
        ClipError: they have other sizes, or one can't be read.
    """
    paths = one, other
    with contextlib.ExitStack() as stack:
        opened = []
        for path in paths:
            with _blamed_on(path):
                opened.append(stack.enter_context(av.open(path)))
        streams = [_stream(*each) for each in zip(paths, opened, strict=True)]
        sizes = [(stream.width, stream.height) for stream in streams]
        if sizes[0] != sizes[1]:
            raise ClipError(Text("library.other_sizes"), Text("library.compare_one_size"))
        psnr, ssim = _Filter("psnr", streams), _Filter("ssim", streams)
        errors: list[float] = []
        shares: list[float] = []
        pictures = (_pictures(*each) for each in zip(paths, opened, strict=True))
        for number, pair in enumerate(zip(*pictures, strict=False)):
            for frame, stream in zip(pair, streams, strict=True):
                frame.pts, frame.time_base = number, stream.time_base
            errors += [float(told["lavfi.psnr.mse_avg"]) for told in psnr.told(pair)]
            shares += [float(told["lavfi.ssim.All"]) for told in ssim.told(pair)]
    if not errors:
        raise ClipError(Text("library.no_pictures", file=shown_name(one.name)))
    error = sum(errors) / len(errors)
    decibels = 10 * math.log10(255**2 / error) if error > 0 else IDENTICAL
    return Likeness(min(decibels, IDENTICAL), sum(shares) / len(shares), len(errors))


@contextlib.contextmanager
def _blamed_on(path: Path) -> Iterator[None]:
    """Whatever FFmpeg says within is of this file, and not of the other."""
    try:
        yield
    except av.FFmpegError as error:
        file, reason = shown_name(path.name), error.strerror or type(error).__name__
        why = Text("library.cant_read", file=file, reason=reason)
        raise ClipError(why, Text("library.use_ours")) from error


def _stream(path: Path, opened: "av.container.InputContainer") -> Any:
    if not opened.streams.video:
        raise ClipError(Text("library.no_pictures", file=shown_name(path.name)))
    return opened.streams.video[0]


def _pictures(path: Path, opened: "av.container.InputContainer") -> Iterator[Any]:
    with _blamed_on(path):
        yield from opened.decode(video=0)


class _Filter:
    """One of FFmpeg's that holds a picture against another."""

    def __init__(self, name: str, streams: list[Any]) -> None:
        graph = av.filter.Graph()
        self._given = [
            graph.add_buffer(template=stream, name=f"clip {index}")
            for index, stream in enumerate(streams)
        ]
        compared = graph.add(name)
        self._found = graph.add("buffersink")
        for index, given in enumerate(self._given):
            given.link_to(compared, 0, index)
        compared.link_to(self._found)
        graph.configure()
        self._graph = graph  # its parts don't keep it

    def told(self, pair: tuple[Any, ...]) -> Iterator[dict[str, str]]:
        """What it found out about pairs that it has seen both pictures of."""
        for given, frame in zip(self._given, pair, strict=True):
            given.push(frame)
        while True:
            try:
                yield dict(self._found.pull().metadata)
            except (av.BlockingIOError, av.EOFError):
                return
