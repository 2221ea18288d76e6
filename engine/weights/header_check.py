"""Whether a transformer's files hold what the preset promises, told by their safetensors headers.

LightX2V itself looks at nothing: FP8 weights whose scales have another name or shape run to the end
and give noise.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.presets import LATENT_CHANNELS, TRANSFORMERS, ModelPreset, Role
from engine.text import Text, joined, listed
from engine.weights.checkpoint import (
    BLOCK_FILE,
    COMFYUI,
    NON_BLOCK,
    Checkpoint,
    Parts,
    get_it,
    tensor_files,
)
from engine.weights.safetensors_header import TensorHeader, WrongWeights, read_header

BLOCK_KEY = re.compile(r"blocks\.(\d{1,4})\.")
COMFYUI_PREFIXES = ("model.diffusion_model.", "diffusion_model.")
ATTENTIONS = ("self_attn", "cross_attn")
FLOATS = ("F32", "BF16", "F16")
DTYPES: dict[str, tuple[str, ...]] = {"fp8": ("F8_E4M3",), "int8": ("I8",), "bf16": FLOATS}
PATCH = (1, 2, 2)  # frames, rows, columns of the latent that make one token
READS_CLIP = "img_emb."  # Wan 2.1's image-to-video model looks at the picture with CLIP as well
DIM_OF_1_3B = 1536


def check_transformer(checkpoint: Checkpoint, preset: ModelPreset) -> None:
    """``check_headers`` of a Wan model's checkpoint."""
    check_headers(dict(zip(TRANSFORMERS, checkpoint.transformers, strict=False)), preset)


def check_headers(parts: Parts, preset: ModelPreset) -> None:
    """Read the headers of each transformer's files and compare them with ``preset``.

    Raises:
        DamagedFile: a file isn't whole, or isn't safetensors.
        WrongWeights: they are of another layout, precision, model or number of blocks.
    """
    for role in TRANSFORMERS:
        if role in parts:
            check_files(parts[role], preset, role)


def check_files(transformer: Path, preset: ModelPreset, role: Role = "transformer") -> None:
    """``check_headers`` for one that lies there alone: a folder (blocks) or a file. What promises
    no architecture is looked at as it is loaded."""
    if preset.architecture is None:
        return
    check = _Check(preset, role)
    if COMFYUI in transformer.name.lower():
        raise check.comfyui(transformer, Text("weights.sign_name"))
    if os.path.isdir(transformer):
        check.folder(transformer)
    else:
        check.single(transformer)


class _Check:
    """Compares headers with what one preset promises."""

    def __init__(self, preset: ModelPreset, role: Role) -> None:
        if preset.architecture is None or preset.precision is None:
            raise ValueError(f"{preset.id} promises nothing about its weights")
        self.part = preset.weight_file(role)
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
        for file in tensor_files(folder):
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
        channels = self.preset.channels
        if len(patches.shape) == 5 and patches.shape[1] != channels:
            other = "text_to_video" if patches.shape[1] == LATENT_CHANNELS else "image_to_video"
            counts = {"channels": patches.shape[1], "promised": channels}
            raise self.wrong(file, Text(f"weights.{other}", **counts))
        if any(key.startswith(READS_CLIP) for key in header):
            raise self.wrong(file, Text("weights.reads_clip"))
        if patches.shape and patches.shape[0] != dim:
            width = patches.shape[0]
            what = Text(
                "weights.wans_small_model" if width == DIM_OF_1_3B else "weights.other_width",
                width=width,
                promised=dim,
            )
            raise self.wrong(file, what)
        for name, shape in {
            "patch_embedding.weight": (dim, channels, *PATCH),
            "head.head.weight": (LATENT_CHANNELS * math.prod(PATCH), dim),
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
        """The right one has nearly the same name, and lies beside it in the same repository."""
        wrong = self.wrong(file, Text("weights.comfyui", sign=sign))
        if self.part is None:
            return wrong
        single = (source for source in self.part.sources if source.layout == "single")
        right = next(single, self.part.sources[0])
        told = Text("weights.right_file", path=right.path, repo=right.repo)
        return WrongWeights(wrong.sentence, joined(told, wrong.remedy), file)

    def wrong(self, file: Path, what: Text) -> WrongWeights:
        sentence = Text("weights.wrong", file=file, what=what, model=self.preset.name)
        return WrongWeights(sentence, get_it(self.preset), file)
