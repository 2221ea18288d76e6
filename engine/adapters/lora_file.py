"""What a LoRA's file would change, by its header alone: its tensors aren't read.

A file comes from strangers, so nothing of it is believed that wasn't checked: its header is
bounded, shapes have to go together, and what its metadata say is words.
"""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.adapters.names import Key, Scheme, other_method, other_model, read_key
from engine.adapters.pairs import Noise
from engine.errors import ExitCode, HeadroomError
from engine.process.console import one_line
from engine.process.own_files import why_no_file
from engine.text import Text, as_text
from engine.weights.safetensors_header import (
    DamagedFile,
    FileHeader,
    TensorHeader,
    read_file_header,
)

LONGEST_HEADER = 32 * 2**20  # bytes; a LoRA's has some hundred thousand, tags of its training more
FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
MOST_RANK = 4096
MOST_TRIGGERS, LONGEST_WORDS = 8, 80
_TRIGGERS = ("modelspec.trigger_phrase", "trigger_words", "trigger_word", "ss_trigger_words")
_BASES = ("modelspec.architecture", "ss_base_model_version", "base_model")
_TITLES = ("modelspec.title", "ss_output_name")


class AdapterError(HeadroomError):
    """A file that isn't a LoRA which can be used, or one that isn't there."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Change:
    """What a file does to one tensor of the model: ``scale`` × up × down, or a full difference.

    ``tensor``: its name in the checkpoint. ``shape``: that which the tensor has to have, its first
    side by all others in one; of a full difference as it is. ``scale``: alpha by rank, 1 for a
    difference. ``down``, ``up``, ``diff``: names in the file; a LoRA has the first two. ``noise``:
    which of two transformers it is for; None for any.
    """

    tensor: str
    shape: tuple[int, ...]
    scale: float = 1.0
    rank: int = 0
    down: str | None = None
    up: str | None = None
    diff: str | None = None
    noise: Noise | None = None


@dataclass(frozen=True)
class LoraFile:
    """``unknown``: modules of the file that are no layer of Wan's."""

    path: Path
    bytes: int
    schemes: tuple[Scheme, ...]
    changes: tuple[Change, ...]
    unknown: tuple[str, ...]
    title: str = ""
    base: str = ""
    triggers: tuple[str, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        """From the smallest; most files have one."""
        return tuple(sorted({change.rank for change in self.changes if change.rank}))


def read_lora(file: Path) -> LoraFile:
    """Read the header of ``file``.

    Raises:
        AdapterError: it is damaged, no LoRA, or one for another kind of model.
    """
    try:
        if nothing := why_no_file(file, file.name):
            raise AdapterError(nothing, Text("files.check_path"))
        header = read_file_header(file, LONGEST_HEADER)
        size = file.stat().st_size
    except DamagedFile as error:
        # By its name alone: programs and visitors hear it too.
        told = as_text(error.sentence).with_values(file=file.name)
        raise AdapterError(told, Text("adapters.fetch_again")) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise AdapterError(
            Text("weights.unreadable", file=file.name, why=why), Text("weights.make_readable")
        ) from error
    if method := other_method(iter(header.tensors)):
        raise AdapterError(
            Text("adapters.other_method", file=file.name, method=method),
            Text("adapters.choose_a_lora"),
        )
    found = _Modules.of(header)
    reader = _Scalars(file, header)
    defaults = _peft_alphas(header.metadata)
    changes = tuple(found.changes(file, header.tensors, reader, defaults))
    if not changes:
        raise _no_layer(file, header)
    return LoraFile(
        path=file,
        bytes=size,
        schemes=tuple(sorted(found.schemes)),
        changes=changes,
        unknown=tuple(sorted(found.unknown)),
        title=_said(header.metadata, _TITLES),
        base=_said(header.metadata, _BASES),
        triggers=_triggers(header.metadata),
    )


def _no_layer(file: Path, header: FileHeader) -> AdapterError:
    remedy = Text("adapters.choose_for_wan")
    base = _said(header.metadata, _BASES)
    named = other_model(iter(header.tensors))
    if named or base:
        told = {"file": file.name, "other": named or base}
        return AdapterError(Text("adapters.other_model", **told), remedy)
    return AdapterError(Text("adapters.no_lora", file=file.name), remedy)


@dataclass
class _Modules:
    """A file's tensors by what they change; ``parts``: by the checkpoint's tensor, and whether that
    is the second transformer's."""

    parts: dict[tuple[str, bool], dict[str, str]] = field(default_factory=dict)
    schemes: set[Scheme] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, header: FileHeader) -> "_Modules":
        modules = cls()
        for name in header.tensors:
            key = read_key(name)
            if key is None:
                modules.unknown.add(_module(name))
                continue
            modules.schemes.add(key.scheme)
            modules.parts.setdefault((key.tensor, key.second), {})[_slot(key)] = name
        return modules

    def changes(
        self,
        file: Path,
        tensors: Mapping[str, TensorHeader],
        scalars: "_Scalars",
        defaults: "_PeftAlphas",
    ) -> Iterator[Change]:
        both = any(second for _, second in self.parts)
        for (tensor, second), parts in self.parts.items():
            noise: Noise | None = ("low" if second else "high") if both else None
            down, up, diff = (parts.get(name) for name in ("down", "up", "diff"))
            for name in filter(None, (down, up, diff)):
                if tensors[name].dtype not in FLOATS:
                    raise _damaged(file, name)
            if diff is not None:
                yield Change(tensor, tensors[diff].shape, diff=diff, noise=noise)
                if down is None and up is None:
                    continue
            if down is None or up is None:
                if down or up:
                    self.unknown.add(_module(str(down or up)))  # half of a product
                continue
            low, high = tensors[down].shape, tensors[up].shape
            rank = low[0] if low else 0
            if len(low) < 2 or len(high) < 2 or math.prod(high[1:]) != rank:
                raise _damaged(file, up)
            if not 0 < rank <= MOST_RANK:
                raise _damaged(file, down)
            alpha = scalars.read(parts.get("alpha"))
            scale = defaults.scale(rank) if alpha is None else alpha / rank
            if not math.isfinite(scale):
                raise _damaged(file, str(parts.get("alpha")))
            shape = high[0], math.prod(low[1:])
            yield Change(tensor, shape, scale, rank, down, up, noise=noise)


def _slot(key: Key) -> str:
    return "diff" if key.part.startswith("diff") else key.part


def _module(name: str) -> str:
    """The module that the tensor ``name`` is of."""
    for ending in (".weight", ".default", ".lora_down", ".lora_up", ".lora_A", ".lora_B"):
        name = name.removesuffix(ending)
    return name.removesuffix(".alpha")


def _damaged(file: Path, key: str) -> AdapterError:
    told = Text("adapters.shapes_differ", file=file.name, key=one_line(key)[:LONGEST_WORDS])
    return AdapterError(told, Text("adapters.fetch_again"))


# ---- alphas ------------------------------------------------------------------------------------


class _Scalars:
    """Reads single numbers of ``file``."""

    _FORMS: Mapping[str, str] = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i"}

    def __init__(self, file: Path, header: FileHeader) -> None:
        self._file, self._header = file, header

    def read(self, name: str | None) -> float | None:
        """The number that is called ``name``; None where there is none."""
        tensor = self._header.tensors.get(name or "")
        if tensor is None or math.prod(tensor.shape) != 1:
            return None
        with self._file.open("rb") as opened:
            opened.seek(self._header.data + tensor.start)
            raw = opened.read(tensor.end - tensor.start)
        if tensor.dtype == "BF16":  # the upper half of a float32
            return float(struct.unpack("<f", b"\0\0" + raw)[0])
        form = self._FORMS.get(tensor.dtype)
        return float(struct.unpack(form, raw)[0]) if form else None


@dataclass(frozen=True)
class _PeftAlphas:
    """The alpha of files that keep none a layer: ``alpha`` for all, or as much as the rank."""

    alpha: float | None = None
    by_root: bool = False  # "rank-stabilised": by the rank's square root

    def scale(self, rank: int) -> float:
        if self.alpha is None:
            return 1.0
        return self.alpha / (math.sqrt(rank) if self.by_root else rank)


def _peft_alphas(metadata: Mapping[str, str]) -> _PeftAlphas:
    """What diffusers keeps of PEFT's settings, under names like ``transformer.lora_alpha``."""
    settings = _json(metadata.get("lora_adapter_metadata"))
    alpha: float | None = None
    by_root = False
    for name, value in settings.items():
        if name.endswith("lora_alpha") and isinstance(value, int | float) and value > 0:
            alpha = float(value)
        if name.endswith("use_rslora"):
            by_root = value is True
    return _PeftAlphas(alpha, by_root)


# ---- words -------------------------------------------------------------------------------------


def _said(metadata: Mapping[str, str], names: tuple[str, ...]) -> str:
    found = (_words(metadata[name]) for name in names if name in metadata)
    return next(filter(None, found), "")


def _words(value: object) -> str:
    return one_line(value).strip()[:LONGEST_WORDS] if isinstance(value, str) else ""


def _triggers(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """What the trainer names as its trigger; else the tags that it was trained with most often."""
    for name in _TRIGGERS:
        listed = _listed(metadata.get(name))
        if listed:
            return listed
    counts: dict[str, float] = {}
    for tags in _json(metadata.get("ss_tag_frequency")).values():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int | float):
                counts[str(tag)] = counts.get(str(tag), 0) + count
    often = sorted(counts, key=lambda tag: -counts[tag])[:MOST_TRIGGERS]
    return tuple(filter(None, map(_words, often)))


def _listed(value: str | None) -> tuple[str, ...]:
    if not value:
        return ()
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = value
    words = parsed if isinstance(parsed, list) else str(parsed).split(",")
    return tuple(filter(None, map(_words, words[:MOST_TRIGGERS])))


def _json(value: str | None) -> dict[str, Any]:
    try:
        parsed = json.loads(value or "{}")
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
