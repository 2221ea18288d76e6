"""The real model's files: which there are, and whether they are what the preset promises.

All of it is known from names and safetensors headers, before anything is loaded. LightX2V itself
looks at nothing: FP8 weights whose scales have another name or shape run to the end and give noise.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from engine.errors import ExitCode, HeadroomError
from engine.presets import ModelPreset, Role, Source, WeightFile
from engine.text import NOTHING, FileSize, Said, Text, joined, listed
from engine.weights.linked_folders import folders
from engine.weights.safetensors_header import DamagedFile, TensorHeader, WrongWeights, read_header

__all__ = [
    "Checkpoint",
    "DamagedFile",
    "TensorHeader",
    "WeightsMissing",
    "WrongWeights",
    "check_files",
    "check_transformer",
    "find_checkpoint",
    "find_part",
    "is_own_name",
    "is_whole",
    "read_header",
]

Layout = Literal["blocks", "single"]
NON_BLOCK = "non_block.safetensors"
BLOCK_FILE = re.compile(r"block_(0|[1-9]\d*)\.safetensors")
BLOCK_KEY = re.compile(r"blocks\.(\d{1,4})\.")
VOCABULARIES = ("tokenizer.json", "spiece.model")  # either will do for a tokenizer
COMFYUI = "_comfyui"  # in the names of upstream's files for ComfyUI
COMFYUI_PREFIXES = ("model.diffusion_model.", "diffusion_model.")

ATTENTIONS = ("self_attn", "cross_attn")
FLOATS = ("F32", "BF16", "F16")
DTYPES: dict[str, tuple[str, ...]] = {"fp8": ("F8_E4M3",), "int8": ("I8",), "bf16": FLOATS}
PATCH = (16, 1, 2, 2)  # latent channels × frames, rows, columns that make one token
I2V_CHANNELS = 36  # the latent, its mask and the picture's latent
DIM_OF_1_3B = 1536


class WeightsMissing(HeadroomError):
    """Parts of a model's checkpoint aren't there; ``missing`` are the preset's entries for them."""

    exit_code = ExitCode.SETUP_MISSING

    def __init__(self, sentence: Said, remedy: Said, missing: tuple[WeightFile, ...]) -> None:
        super().__init__(sentence, remedy)
        self.missing = missing


@dataclass(frozen=True)
class Checkpoint:
    """Where the parts lie. ``transformer`` is a folder (blocks) or a file (single), ``tokenizer`` a
    folder, ``tiny_vae`` None where nobody fetched it; the sizes are bytes on disk."""

    layout: Layout
    transformer: Path
    text_encoder: Path
    tokenizer: Path
    vae: Path
    transformer_bytes: int
    text_encoder_bytes: int
    tiny_vae: Path | None = None

    def files(self) -> Iterator[tuple[Role, str, Path]]:
        """What is read: its part, its name inside a part of many files ("" else), and its place."""
        if self.layout == "blocks":
            yield from (("transformer", f.name, f) for f in _tensor_files(self.transformer))
        else:
            yield "transformer", "", self.transformer
        yield "text_encoder", "", self.text_encoder
        yield "vae", "", self.vae
        if self.tiny_vae is not None:
            yield "tiny_vae", "", self.tiny_vae
        for file in sorted(self.tokenizer.rglob("*")):
            if os.path.isfile(file):
                yield "tokenizer", file.relative_to(self.tokenizer).as_posix(), file


# ---- finding -------------------------------------------------------------------------------


def find_checkpoint(folder: Path, preset: ModelPreset) -> Checkpoint:
    """Look in ``folder``, and in the folders linked there, for every part of ``preset``, where each
    of its sources would put it.

    A source's path also counts without its first folder, because people point at ``distill_fp8``
    itself. Nothing is opened: ``check_transformer`` does that.

    Raises:
        WeightsMissing: names every missing part, where it is to be had and how large it is.
    """
    layers, places = preset.layers, folders(folder)
    found = {file.role: find_part(places, file, layers) for file in preset.weights}
    missing = tuple(f for f in preset.weights if found[f.role] is None and not f.optional)
    if missing or not preset.weights:
        raise _missing(folder, preset, missing)
    there = {role: place for role, place in found.items() if place is not None}
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


def _tensor_files(folder: Path) -> list[Path]:
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
    return [file for file in _tensor_files(folder) if is_own_name(file.name)]


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
    if any(file.role == "transformer" for file in missing):
        others = [f for top in _tops(folder) for f in _tensor_files(top) if COMFYUI in f.name]
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


# ---- checking ------------------------------------------------------------------------------


def check_transformer(checkpoint: Checkpoint, preset: ModelPreset) -> None:
    """Read the headers of the transformer's files and compare them with ``preset``.

    Raises:
        DamagedFile: a file isn't whole, or isn't safetensors.
        WrongWeights: they are of another layout, precision, model or number of blocks.
    """
    check_files(checkpoint.transformer, preset)


def check_files(transformer: Path, preset: ModelPreset) -> None:
    """``check_transformer`` for one that lies there alone: a folder (blocks) or a file."""
    check = _Check(preset)
    if COMFYUI in transformer.name.lower():
        raise check.comfyui(transformer, Text("weights.sign_name"))
    if os.path.isdir(transformer):
        check.folder(transformer)
    else:
        check.single(transformer)


class _Check:
    """Compares headers with what one preset promises."""

    def __init__(self, preset: ModelPreset) -> None:
        if preset.architecture is None or preset.precision is None:
            raise ValueError(f"{preset.id} promises nothing about its weights")
        self.preset, self.its = preset, preset.architecture
        self.precision = preset.precision

    def single(self, file: Path) -> None:
        """One file with the whole transformer."""
        header = read_header(file)
        self.model(file, header)
        blocks: dict[int, dict[str, TensorHeader]] = {}
        for key, tensor in header.items():
            found = BLOCK_KEY.match(key)
            if found:
                blocks.setdefault(int(found[1]), {})[key] = tensor
        self.count(file, blocks)
        for index in range(self.its.layers):
            self.block(file, index, blocks[index])

    def folder(self, folder: Path) -> None:
        """A file for each block, and one for the rest."""
        rest = folder / NON_BLOCK
        if not os.path.isfile(rest):
            raise self.wrong(rest, Text("weights.is_missing"))
        header = read_header(rest)
        self.model(rest, header)  # first: another model has another number of blocks, too
        files = {}
        for file in _tensor_files(folder):
            named = BLOCK_FILE.fullmatch(file.name)
            if named:
                files[int(named[1])] = file
            elif file != rest:
                self.bystander(file, header)
        self.count(folder, files)
        for index in range(self.its.layers):
            self.block(files[index], index, read_header(files[index]))

    def bystander(self, file: Path, rest: Mapping[str, TensorHeader]) -> None:
        """LightX2V loads whatever lies in the folder, and the last file wins."""
        mark = ("blocks.", *COMFYUI_PREFIXES)
        if any(key in rest or key.startswith(mark) for key in read_header(file)):
            raise WrongWeights(
                Text("weights.second_transformer", file=file), Text("weights.move_it"), file
            )

    def model(self, file: Path, header: Mapping[str, TensorHeader]) -> None:
        """Is it this model at all? Told by what stands around the blocks."""
        self.refuse_comfyui(file, header)
        dim = self.its.dim
        patches = header.get("patch_embedding.weight")
        if patches is None:
            raise self.wrong(file, Text("weights.no_patch_embedding"))
        if len(patches.shape) == 5 and patches.shape[1] == I2V_CHANNELS:
            raise self.wrong(file, Text("weights.image_to_video"))
        if patches.shape and patches.shape[0] != dim:
            width = patches.shape[0]
            what = Text(
                "weights.wans_small_model" if width == DIM_OF_1_3B else "weights.other_width",
                width=width,
                promised=dim,
            )
            raise self.wrong(file, what)
        for name, shape in {
            "patch_embedding.weight": (dim, *PATCH),
            "head.head.weight": (math.prod(PATCH), dim),
            "text_embedding.0.weight": (dim, self.its.text_dim),
        }.items():
            self.tensor(file, header, name, shape, FLOATS, Text("weights.never_quantised"))

    def count(self, place: Path, blocks: Iterable[int]) -> None:
        have, layers = set(blocks), self.its.layers
        missing = sorted(set(range(layers)) - have)
        if missing:
            named = listed(*(str(i) for i in missing[:5]), "…" if len(missing) > 5 else "")
            count = len(missing)
            what = Text("weights.lacks_blocks", count=count, layers=layers, blocks=named)
            raise self.wrong(place, what)
        if len(have) > layers:
            what = Text("weights.too_many_blocks", count=len(have), layers=layers)
            raise self.wrong(place, what)

    def block(self, file: Path, index: int, header: Mapping[str, TensorHeader]) -> None:
        """Every linear layer of a block: its weight, and its scales where they belong."""
        self.refuse_comfyui(file, header)
        dim, wide = self.its.dim, self.its.ffn_dim
        shapes = {f"{part}.{name}": (dim, dim) for part in ATTENTIONS for name in "qkvo"}
        shapes |= {"ffn.0": (wide, dim), "ffn.2": (dim, wide)}
        for name, shape in shapes.items():
            layer = f"blocks.{index}.{name}"
            promised = Text("weights.precision_promised", precision=self.precision.upper())
            self.tensor(file, header, f"{layer}.weight", shape, DTYPES[self.precision], promised)
            if self.precision != "bf16":
                self.scale(file, header, layer, shape[0])

    def scale(self, file: Path, header: Mapping[str, TensorHeader], layer: str, out: int) -> None:
        name = f"{layer}.weight_scale"
        scale = header.get(name)
        if scale is None:
            precision = self.precision.upper()
            raise self.wrong(file, Text("weights.no_scales", precision=precision, key=name))
        if math.prod(scale.shape) == 1 and out != 1:
            raise self.comfyui(file, Text("weights.sign_one_scale", key=name))
        self.tensor(file, header, name, (out, 1), FLOATS, Text("weights.scales_are_floats"))

    def tensor(
        self,
        file: Path,
        header: Mapping[str, TensorHeader],
        name: str,
        shape: tuple[int, ...],
        dtypes: tuple[str, ...],
        why: Text,
    ) -> None:
        """``header`` has to hold ``name`` in this shape and one of ``dtypes``; ``why`` those."""
        tensor = header.get(name)
        if tensor is None:
            raise self.wrong(file, Text("weights.lacks_key", key=name))
        if tensor.dtype not in dtypes:
            what = Text("weights.other_dtype", key=name, dtype=tensor.dtype, why=why)
            raise self.wrong(file, what)
        if tensor.shape != shape:
            has, promised = str(list(tensor.shape)), str(list(shape))
            raise self.wrong(
                file, Text("weights.other_shape", key=name, shape=has, promised=promised)
            )

    def refuse_comfyui(self, file: Path, header: Mapping[str, TensorHeader]) -> None:
        for key in header:
            if key.startswith(COMFYUI_PREFIXES) or key.endswith(".scale_weight"):
                raise self.comfyui(file, Text("weights.sign_key", key=key))

    def comfyui(self, file: Path, sign: Text) -> WrongWeights:
        return self.wrong(file, Text("weights.comfyui", sign=sign))

    def wrong(self, file: Path, what: Text) -> WrongWeights:
        sentence = Text("weights.wrong", file=file, what=what, model=self.preset.name)
        return WrongWeights(sentence, get_it(self.preset), file)
