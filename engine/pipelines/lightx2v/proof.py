"""Reads back what LightX2V really loaded. A mismatch is an error: never a quietly wrong clip.

It casts FP8 to bf16 without the scales, or samples with the undistilled scheduler, without a word.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v.kernels import registered
from engine.pipelines.lightx2v.ours import scheme_for
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.text import Said, Text
from engine.weights.checkpoint import Checkpoint, get_it

STORED = {"fp8": torch.float8_e4m3fn, "int8": torch.int8, "bf16": torch.bfloat16}
SCHEDULERS = {1: "WanStepDistillScheduler", 2: "Wan22StepDistillScheduler"}  # by transformers
# LightX2V rounds scales to bf16 on one of its two ways of loading (base_model.py:535).
SCALE_TOLERANCE = 2**-7


class NotAsPlanned(PipelineError):
    """What was loaded isn't what the plan says."""

    def __init__(self, what: Text) -> None:
        super().__init__(Text("proof.not_as_planned", what=what), Text("proof.install_again"))


def prove_sampling(runner: Any, preset: ModelPreset) -> None:
    """The distilled scheduler, with the preset's steps and shift and without guidance.

    Raises:
        NotAsPlanned: names what differs.
    """
    scheduler, config = runner.scheduler, runner.config
    wanted: tuple[tuple[str, Any, Any], ...] = (
        ("scheduler", type(scheduler).__name__, SCHEDULERS[preset.experts]),
        ("boundary", getattr(scheduler, "boundary_step_index", None), preset.boundary_step),
        ("steps", tuple(scheduler.denoising_step_list), preset.denoising_steps),
        ("step_count", scheduler.infer_steps, preset.steps),
        ("shift", float(scheduler.sample_shift), preset.shift),
        ("guidance", config["enable_cfg"], False),
        ("feature_caching", config["feature_caching"], "NoCaching"),
    )
    for what, found, expected in wanted:
        if found != expected:
            values = {"found": repr(found), "wanted": repr(expected)}
            raise NotAsPlanned(Text(f"proof.sampling_{what}", **values))


def prove_weights(
    model: Any,
    runner: Any,
    preset: ModelPreset,
    plan: Plan,
    transformer: Path,
    changed: Container[str] = frozenset(),
) -> None:
    """Kernels and attention as planned; weights of the stored type, with their own scales.

    Args:
        model: the transformer that ``runner`` will call; LightX2V makes a new one for each run
            where it loads lazily.
        transformer: the folder of blocks or the file that it has to be.
        changed: tensors by their names in the checkpoint whose scales aren't the file's any more.

    Raises:
        NotAsPlanned: names what differs.
    """
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER, MM_WEIGHT_REGISTER

    scheme, precision = str(plan["matmul"].value), str(preset.precision)
    attention = str(plan["attention"].value)
    quantised = precision in ("fp8", "int8")
    if bool(runner.config.get("dit_quantized")) != quantised:
        raise NotAsPlanned(Text("proof.quantised_off" if quantised else "proof.quantised_on"))
    if quantised and (found := runner.config["dit_quant_scheme"]) != scheme_for(scheme):
        raise NotAsPlanned(Text("proof.scheme", found=repr(found), wanted=repr(scheme)))
    assert preset.architecture is not None
    count = len(model.transformer_weights.blocks)
    if count != preset.architecture.layers:
        wanted = preset.architecture.layers
        raise NotAsPlanned(Text("proof.block_count", found=count, wanted=wanted))
    kernel = MM_WEIGHT_REGISTER[scheme]
    attends = ATTN_WEIGHT_REGISTER[registered(attention)]
    for place, block in blocks_of(model):
        first, second = block.compute_phases[0], block.compute_phases[1]
        for weight in (first.self_attn_1, second.cross_attn_1):
            if type(weight) is not attends:
                name = type(weight).__name__
                raise NotAsPlanned(Text("proof.attends", place=place, found=name))
        for part, matrix in matrices_of(block):
            within = Text("proof.part", block=place, part=part)
            if type(matrix) is not kernel:
                name = type(matrix).__name__
                raise NotAsPlanned(Text("proof.multiplies", place=within, found=name))
            # Buffers are never on the disk.
            lazy = bool(runner.config.get("lazy_load")) and isinstance(place, Text)
            _prove_stored(within, matrix, precision, lazy)
    if quantised:
        _prove_scales(model, preset, transformer, changed)


def prove_experts(transformers: Sequence[Path], preset: ModelPreset) -> None:
    """Two files that aren't one and the same: that each transformer has the scales of its own is
    ``prove_weights``'s to say.

    Raises:
        PipelineError: the first, the middle and the last block have the same scales in both.
    """
    first, second = transformers
    for index in _few(preset):
        name = f"blocks.{index}.self_attn.q.weight_scale"
        with _file(first, index) as one, _file(second, index) as other:
            if not torch.equal(one(name), other(name)):
                return
    alike = Text("proof.experts_alike", first=str(first), second=str(second))
    raise PipelineError(alike, get_it(preset))


def prove_text_encoder(
    encoder: Any, preset: ModelPreset, plan: Plan, checkpoint: Checkpoint
) -> None:
    """The T5 as planned, with its own scales: a prompt would be misread without a word.

    Raises:
        NotAsPlanned: names what differs.
    """
    from lightx2v.utils.registry_factory import MM_WEIGHT_REGISTER

    precision = str(preset.text_precision)
    kernel = MM_WEIGHT_REGISTER[str(plan["text_encoder"].value)]
    blocks = list(encoder.model.blocks)
    for index, block in enumerate(blocks):
        for part, matrix in _text_matrices(block):
            place = Text("proof.text_part", number=index, part=part)
            if type(matrix) is not kernel:
                name = type(matrix).__name__
                raise NotAsPlanned(Text("proof.multiplies", place=place, found=name))
            _prove_stored(place, matrix, precision, lazy=False)
    if precision == "bf16":
        return
    # Mapped, not read: 6.7 GB of which a few kilobytes are looked at.
    stored = torch.load(checkpoint.text_encoder, map_location="cpu", mmap=True, weights_only=True)
    for index in sorted({0, len(blocks) - 1}):
        for part, matrix in _text_matrices(blocks[index]):
            scale = stored[f"blocks.{index}.{part}.weight_scale"]
            if not _same_scales(matrix, scale):
                place = Text("proof.text_part", number=index, part=part)
                raise NotAsPlanned(Text("proof.other_scales", place=place))


def _text_matrices(block: Any) -> Iterator[tuple[str, Any]]:
    attention, feed_forward = block.compute_phases[0], block.compute_phases[1]
    for part in ("attn.q", "attn.k", "attn.v", "attn.o"):
        yield part, getattr(attention, part.replace(".", "_"))
    for part in ("ffn.fc1", "ffn.fc2", "ffn.gate.0"):
        yield part, getattr(feed_forward, part.replace(".", "_"))


def _prove_stored(place: Text, matrix: Any, precision: str, lazy: bool) -> None:
    """``lazy``: the block stays on the disk until it is needed."""
    held = _held(matrix, "weight")
    if held is None and lazy:
        return
    if held is None:
        raise NotAsPlanned(Text("proof.no_weights", place=place))
    if held.dtype != (wanted := STORED[precision]):
        # As words: whoever unpickles this has no torch.
        values = {"found": str(held.dtype), "wanted": str(wanted)}
        raise NotAsPlanned(Text("proof.stored_otherwise", place=place, **values))
    if precision == "bf16":
        return
    scale = _held(matrix, "weight_scale")
    if scale is None:
        raise NotAsPlanned(Text("proof.no_scales", place=place))
    out = max(scale.shape)
    if scale.numel() != out or out not in held.shape:
        raise NotAsPlanned(Text("proof.scales_shape", place=place, found=tuple(scale.shape)))


def _few(preset: ModelPreset) -> list[int]:
    """The first, the middle and the last block's number."""
    assert preset.architecture is not None
    layers = preset.architecture.layers
    return sorted({0, layers // 2, layers - 1})


def _prove_scales(
    model: Any, preset: ModelPreset, transformer: Path, changed: Container[str]
) -> None:
    """The scales of the first, middle and last block against those in the files; of blocks that
    stay on the disk, those of the first, which waits in a buffer."""
    blocks = dict(blocks_of(model))
    for index in _few(preset):
        place: Said = Text("proof.block", number=index)
        if _held(blocks[place].compute_phases[0].self_attn_q, "weight_scale") is None:
            if index > 0:
                continue
            place = "offload_block_cpu_buffers[0]"
        with _file(transformer, index) as stored:
            for part, matrix in matrices_of(blocks[place]):
                if f"blocks.{index}.{part}.weight" in changed:
                    continue
                if not _same_scales(matrix, stored(f"blocks.{index}.{part}.weight_scale")):
                    within = Text("proof.part", block=place, part=part)
                    raise NotAsPlanned(Text("proof.other_scales", place=within))


def _same_scales(matrix: Any, stored: torch.Tensor) -> bool:
    held = _held(matrix, "weight_scale")
    if held is None or held.numel() != stored.numel():
        return False
    here, there = held.float().cpu().flatten(), stored.float().flatten()
    return torch.allclose(here, there, rtol=SCALE_TOLERANCE, atol=0)


@contextmanager
def _file(transformer: Path, index: int) -> Iterator[Callable[[str], torch.Tensor]]:
    """Reads tensors by name from the file that holds a block."""
    opened: Any = safe_open(file_of_block(transformer, index), framework="pt", device="cpu")
    with opened as stored:
        yield stored.get_tensor


def file_of_block(transformer: Path, index: int) -> Path:
    """The file that holds a block: one of a folder's, or the only one."""
    return transformer / f"block_{index}.safetensors" if transformer.is_dir() else transformer


def blocks_of(model: Any) -> Iterator[tuple[Said, Any]]:
    """The transformer's blocks, each by a text, and by LightX2V's own names the buffers that they
    are computed from."""
    weights = model.transformer_weights
    for index, block in enumerate(weights.blocks):
        yield Text("proof.block", number=index), block
    for place in ("offload_block_cuda_buffers", "offload_block_cpu_buffers"):
        for index, block in enumerate(getattr(weights, place, None) or ()):
            yield f"{place}[{index}]", block


_PARTS: Mapping[int, tuple[str, ...]] = {
    0: ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o"),
    1: ("cross_attn.q", "cross_attn.k", "cross_attn.v", "cross_attn.o"),
    2: ("ffn.0", "ffn.2"),
}


def matrices_of(block: Any) -> Iterator[tuple[str, Any]]:
    """A block's ten linear layers by their names in the checkpoint."""
    for phase, parts in _PARTS.items():
        for part in parts:
            yield part, getattr(block.compute_phases[phase], part.replace(".", "_"))


def _held(matrix: Any, name: str) -> torch.Tensor | None:
    """The tensor under the one of its three names that it has: resident, pinned, or a buffer."""
    for attribute in (name, f"pin_{name}", f"{name}_cuda_buffer"):
        tensor = getattr(matrix, attribute, None)
        if isinstance(tensor, torch.Tensor):
            return tensor
    return None
