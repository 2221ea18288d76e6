"""Reads what a safetensors file promises, and finds out whether it holds it, without its tensors.

The format: 8 bytes with the header's length (little endian), the header as JSON, the data. Only the
standard library is needed for that, so the page's process can look at 15 GB in milliseconds.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from engine.errors import ExitCode, HeadroomError
from engine.text import FileSize, Said, Text

PREFIX = 8  # bytes before the header, which hold its length
MAX_HEADER = 100_000_000  # bytes; safetensors itself refuses more
BYTES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
AGAIN = Text("weights.fetch_again")
# What stands at the start of a file that was saved under a false name.
OTHERS = {
    b"version https://git-lfs": Text("weights.kind_lfs_pointer"),
    b"<!doctype": Text("weights.kind_web_page"),
    b"<html": Text("weights.kind_web_page"),
    b"pk\x03\x04": Text("weights.kind_archive"),
    b"gguf": Text("weights.kind_gguf"),
}


class WrongWeights(HeadroomError):
    """The weights can't be what the preset promises; ``file`` says where that was seen."""

    exit_code = ExitCode.SETUP_MISSING

    def __init__(self, sentence: Said, remedy: Said, file: Path) -> None:
        super().__init__(sentence, remedy)
        self.file = file


class DamagedFile(WrongWeights):
    """A file that isn't whole, or isn't safetensors at all: the right one has to be fetched."""


@dataclass(frozen=True)
class TensorHeader:
    """A tensor as the header tells it; its data are bytes ``start`` to ``end`` after the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class FileHeader:
    """All that a header says. ``metadata``: words by name, whoever wrote them; ``data``: the byte
    of the file at which its tensors' offsets begin."""

    tensors: Mapping[str, TensorHeader]
    metadata: Mapping[str, str]
    data: int


def read_header(file: Path) -> Mapping[str, TensorHeader]:
    """The tensors that ``file`` holds, by name, after checking that its data are all there.

    Raises:
        DamagedFile: it can't be read, is no safetensors file, or is shorter or longer than its own
            header says.
    """
    return read_file_header(file).tensors


def read_file_header(file: Path, longest: int = MAX_HEADER) -> FileHeader:
    """The whole header of ``file``, after checking that its data are all there.

    Args:
        longest: bytes of a header that is read at all.

    Raises:
        DamagedFile: as ``read_header``.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            start = opened.read(64)
            _refuse_others(file, start)
            if len(start) < PREFIX:
                raise DamagedFile(Text("weights.few_bytes", file=file, bytes=size), AGAIN, file)
            length = int.from_bytes(start[:PREFIX], "little")
            if length > longest or start[PREFIX : PREFIX + 1] not in (b"{", b""):
                raise DamagedFile(Text("weights.not_safetensors", file=file), AGAIN, file)
            if PREFIX + length > size:
                raise _cut(file, size, PREFIX + length)
            opened.seek(PREFIX)
            text = opened.read(length)
    except OSError as error:
        raise DamagedFile(
            Text("weights.unreadable", file=file, why=error.strerror or str(error)),
            Text("weights.make_readable"),
            file,
        ) from error
    tensors, metadata = _parse(file, text)
    promised = PREFIX + length + max((tensor.end for tensor in tensors.values()), default=0)
    if promised > size:
        raise _cut(file, size, promised)
    if promised < size:
        more = size - promised
        raise DamagedFile(Text("weights.too_long", file=file, bytes=size, more=more), AGAIN, file)
    return FileHeader(MappingProxyType(tensors), MappingProxyType(metadata), PREFIX + length)


def _refuse_others(file: Path, start: bytes) -> None:
    begins = start.lstrip().lower()
    for mark, kind in OTHERS.items():
        if begins.startswith(mark):
            raise DamagedFile(Text("weights.something_else", file=file, kind=kind), AGAIN, file)


def _cut(file: Path, size: int, promised: int) -> DamagedFile:
    return DamagedFile(
        Text(
            "weights.half_there",
            file=file,
            bytes=size,
            promised=promised,
            size=FileSize(size),
            whole=FileSize(promised),
        ),
        Text("weights.cut_off"),
        file,
    )


def _parse(file: Path, text: bytes) -> tuple[dict[str, TensorHeader], dict[str, str]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(Text("weights.damaged_header", file=file), AGAIN, file) from error
    if not isinstance(entries, dict):
        raise DamagedFile(Text("weights.damaged_header", file=file), AGAIN, file)
    told = entries.pop("__metadata__", None)
    metadata = told if isinstance(told, dict) else {}
    metadata = {name: words for name, words in metadata.items() if isinstance(words, str)}
    tensors = {name: _tensor(entry) for name, entry in entries.items()}
    whole = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if len(whole) != len(tensors):
        broken = next(name for name, tensor in tensors.items() if tensor is None)
        at = Text("weights.damaged_header_at", file=file, key=repr(broken))
        raise DamagedFile(at, AGAIN, file)
    return whole, metadata


def _tensor(entry: object) -> TensorHeader | None:
    """``entry`` of a header, or None where it makes no sense."""
    if not isinstance(entry, dict):
        return None
    dtype, shape = entry.get("dtype"), _counts(entry.get("shape"))
    offsets = _counts(entry.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        return None
    start, end = offsets
    each = BYTES.get(dtype)  # a dtype of the future is somebody else's to refuse
    fits = end >= start if each is None else end - start == each * math.prod(shape)
    return TensorHeader(dtype, shape, start, end) if fits else None


def _counts(value: object) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(type(n) is int and n >= 0 for n in value):
        return tuple(value)
    return None
