"""The real model's files: which there are, and whether they are what the preset promises.

Their names are looked at here; whether they hold what the preset promises is for header_check.py.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from engine.errors import ExitCode, HeadroomError
from engine.presets import TRANSFORMERS, ModelPreset, Role, Source, WeightFile
from engine.text import NOTHING, FileSize, Said, Text, joined
from engine.weights.linked_folders import folders

Layout = Literal["blocks", "single"]
Parts = Mapping[Role, Path]  # where each lies: a file, or a folder of files
NON_BLOCK = "non_block.safetensors"
BLOCK_FILE = re.compile(r"block_(0|[1-9]\d*)\.safetensors")
VOCABULARIES = ("tokenizer.json", "spiece.model")  # either will do for a tokenizer
COMFYUI = "_comfyui"  # in the names of upstream's files for ComfyUI


class WeightsMissing(HeadroomError):
    """Parts of a model's checkpoint aren't there; ``missing`` are the preset's entries for them."""

    exit_code = ExitCode.SETUP_MISSING

    def __init__(self, sentence: Said, remedy: Said, missing: tuple[WeightFile, ...]) -> None:
        super().__init__(sentence, remedy)
        self.missing = missing


@dataclass(frozen=True)
class Checkpoint:
    """Where a Wan model's parts lie. ``transformer`` is a folder (blocks) or a file (single),
    ``tokenizer`` a folder, ``tiny_vae`` None where nobody fetched it; ``transformer_2`` that of the
    later steps, None where there is one transformer; the sizes are bytes on disk."""

    layout: Layout
    transformer: Path
    text_encoder: Path
    tokenizer: Path
    vae: Path
    transformer_bytes: int
    text_encoder_bytes: int
    tiny_vae: Path | None = None
    transformer_2: Path | None = None

    @property
    def transformers(self) -> tuple[Path, ...]:
        """In the order in which they compute."""
        return tuple(place for place in (self.transformer, self.transformer_2) if place)


# ---- finding -------------------------------------------------------------------------------


def find_parts(folder: Path, preset: ModelPreset) -> Parts:
    """Look in ``folder``, and in the folders linked there, for every part of ``preset``, where each
    of its sources would put it; an optional one may be missing.

    A source's path also counts without its first folder, because people point at ``distill_fp8``
    itself. Nothing is opened: ``check_headers`` (header_check.py) does that.

    Raises:
        WeightsMissing: names every missing part, where it is to be had and how large it is.
    """
    layers, places = preset.layers, folders(folder)
    found = {file.role: find_part(places, file, layers) for file in preset.weights}
    missing = tuple(f for f in preset.weights if found[f.role] is None and not f.optional)
    if missing or not preset.weights:
        raise _missing(folder, preset, missing)
    return {role: place for role, place in found.items() if place is not None}


def files_of(parts: Parts) -> Iterator[tuple[Role, str, Path]]:
    """What is read: its part, its name inside a part of many files ("" else), and its place."""
    for role, place in parts.items():
        if not os.path.isdir(place):
            yield role, "", place
        elif role in TRANSFORMERS:
            yield from ((role, file.name, file) for file in tensor_files(place))
        else:
            for file in sorted(place.rglob("*")):
                if os.path.isfile(file):
                    yield role, file.relative_to(place).as_posix(), file


def find_checkpoint(folder: Path, preset: ModelPreset) -> Checkpoint:
    """Wan's parts, found as ``find_parts`` does.

    Raises:
        WeightsMissing: as ``find_parts``.
    """
    there = find_parts(folder, preset)
    transformer, text_encoder = there["transformer"], there["text_encoder"]
    layout: Layout = "blocks" if os.path.isdir(transformer) else "single"
    files = _own_files(transformer) if layout == "blocks" else [transformer]
    return Checkpoint(
        layout=layout,
        transformer=transformer,
        text_encoder=text_encoder,
        tokenizer=there["tokenizer"],
        vae=there["vae"],
        transformer_bytes=sum(file.stat().st_size for file in files),
        text_encoder_bytes=text_encoder.stat().st_size,
        tiny_vae=there.get("tiny_vae"),
        transformer_2=there.get("transformer_2"),
    )


def find_part(
    where: Sequence[Path], file: WeightFile, layers: int, whole: bool = False
) -> Path | None:
    """The first place in ``where`` that holds all of ``file``, else the first that holds some.

    Args:
        layers: how many blocks the transformer has.
        whole: nothing less than all of it will do.
    """
    places = [(p, s) for folder in where for s in file.sources for p in _places(folder, s)]
    if file.role == "tokenizer":  # each repository keeps it in google/ at its own top
        tops = [top for folder in where for top in _tops(folder)]
        places += [(top / "google/umt5-xxl", file.sources[0]) for top in tops]
    complete = (place for place, source in places if _holds(place, source, layers))
    begun = (place for place, source in places if not whole and _holds(place, source, 0))
    return next(complete, None) or next(begun, None)


def _places(folder: Path, source: Source) -> Iterator[Path]:
    parts = PurePosixPath(source.path).parts
    yield folder.joinpath(*parts)
    if len(parts) > 1 or source.layout == "blocks":
        yield folder.joinpath(*parts[1:])


def _tops(folder: Path) -> list[Path]:
    try:
        return [folder, *sorted(place for place in folder.iterdir() if os.path.isdir(place))]
    except OSError:
        return [folder]


def _holds(place: Path, source: Source, layers: int) -> bool:
    """Whether ``place`` has the files of ``source``; with 0 layers one block's file is enough."""
    if source.layout == "folder":
        return any(os.path.isfile(place / name) for name in VOCABULARIES)
    if source.layout != "blocks":
        return os.path.isfile(place)
    names = {file.name for file in _own_files(place)}
    return is_whole(names, source, layers) if layers else bool(names)


def is_whole(names: Set[str], source: Source, layers: int) -> bool:
    """Whether files of these ``names`` make up all of ``source``."""
    if source.layout == "folder":
        return not names.isdisjoint(VOCABULARIES)
    if source.layout == "blocks":
        return names >= {NON_BLOCK, *(f"block_{i}.safetensors" for i in range(layers))}
    return True


def is_own_name(name: str) -> bool:
    """Whether a file of the per-block layout has this name."""
    return name == NON_BLOCK or BLOCK_FILE.fullmatch(name) is not None


def tensor_files(folder: Path) -> list[Path]:
    """What LightX2V would load from ``folder``: every safetensors file that isn't hidden."""
    try:
        return sorted(
            file
            for file in folder.iterdir()
            if file.suffix == ".safetensors" and not file.name.startswith(".")
        )
    except OSError:
        return []


def _own_files(folder: Path) -> list[Path]:
    """The files of the per-block layout in ``folder``."""
    return [file for file in tensor_files(folder) if is_own_name(file.name)]


def _missing(folder: Path, preset: ModelPreset, missing: tuple[WeightFile, ...]) -> WeightsMissing:
    parts = one_after_another(
        Text(
            "weights.missing_part",
            part=part_text(file.role),
            path=file.sources[0].path,
            repo=file.sources[0].repo,
            size=FileSize(file.bytes),
        )
        for file in missing
    )
    told = Text("weights.not_whole", model=preset.name, folder=folder, parts=parts)
    if any(file.role in TRANSFORMERS for file in missing):
        others = [f for top in _tops(folder) for f in tensor_files(top) if COMFYUI in f.name]
        if others:
            told = joined(told, Text("weights.only_comfyui_there", file=others[0].name))
    return WeightsMissing(told, get_it(preset), missing)


def get_it(preset: ModelPreset) -> Text:
    """The remedy for weights that are missing or wrong."""
    return Text("weights.get_it", model=preset.weights_of)


def part_text(role: Role) -> Text:
    """A part of a checkpoint as people call it."""
    return Text(f"weights.role_{role}")


def one_after_another(parts: Iterable[Said]) -> Said:
    """``parts`` with semicolons between them."""
    every = iter(parts)
    said = next(every, NOTHING)
    for part in every:
        said = Text("weights.and_then", before=said, after=part)
    return said
