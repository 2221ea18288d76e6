"""How much RAM an offloaded Wan takes, tensor by tensor. Arithmetic only; bytes throughout.

Weights that wait in RAM for their turn on the GPU are page-locked. torch's allocator for that
(CachingHostAllocator.h) rounds every block up to a power of two, which costs half as much again;
exact pinning rounds up to pages.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from engine.presets import LATENT_CHANNELS, Architecture, ModelPreset, Precision
from engine.units import GIB

PAGE = 4096
PROCESS = 3 * GIB  # interpreter, torch, CUDA's host side, the finished frames

# UMT5-XXL's encoder, which every Wan reads its prompts with.
T5_LAYERS, T5_DIM, T5_FFN, T5_HEADS, T5_BUCKETS, T5_WORDS = 24, 4096, 10240, 64, 32, 256_384
BF16 = 2
PATCH = (1, 2, 2)
ONE_EXPERT = "one-expert"  # of "offload": one of two transformers waits in RAM at a time
EXACT = ("block-exact", ONE_EXPERT)  # of two transformers, both or the one whose turn it is
LAZY_BLOCKS = 2  # one on its way to the GPU while the other is read
BLOCKS_ON_GPU = 2  # the same, of the GPU's memory


@dataclass(frozen=True)
class WeightTensor:
    """One weight: ``copies`` tensors of ``shape``."""

    shape: tuple[int, ...]
    itemsize: int
    copies: int = 1

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.itemsize


@dataclass(frozen=True)
class MemoryPart:
    """One row of the table. ``pinned`` as torch rounds, ``exact`` as pages round."""

    name: str
    raw: int
    pinned: int
    exact: int


def parts(preset: ModelPreset) -> tuple[MemoryPart, ...]:
    """The table of what waits in RAM under block offload, of one transformer where there are two.

    Args:
        preset: one with an architecture and a precision.
    """
    shape = _shape(preset)
    embedding = T5_WORDS * T5_DIM * BF16
    return (
        _part("transformer blocks", dit_block(shape, _itemsize(preset.precision)), shape.layers),
        _part("transformer, the rest", dit_rest(shape, preset.channels), 1),
        _part("text encoder blocks", t5_block(_itemsize(preset.text_precision)), T5_LAYERS),
        MemoryPart("text encoder's word table", embedding, embedding, embedding),  # never pinned
    )


def dit_block(shape: Architecture, itemsize: int) -> list[WeightTensor]:
    """One transformer block: self- and cross-attention, feed-forward, norms, modulation."""
    dim, ffn = shape.dim, shape.ffn_dim
    return [
        *_linear(dim, dim, itemsize, copies=8),
        *_linear(ffn, dim, itemsize),
        *_linear(dim, ffn, itemsize),
        WeightTensor(
            (dim,), BF16, 10 + 6
        ),  # biases of the ten, and norms: q and k twice, norm3's two
        WeightTensor((1, 6, dim), BF16),
    ]


def dit_rest(shape: Architecture, channels: int = LATENT_CHANNELS) -> list[WeightTensor]:
    """What stands around the blocks, always in bf16."""
    dim = shape.dim
    return [
        WeightTensor((dim, channels, *PATCH), BF16),
        WeightTensor((dim, shape.text_dim), BF16),
        WeightTensor((dim, dim), BF16, 2),  # the second layers of text and time
        WeightTensor((dim, shape.freq_dim), BF16),
        WeightTensor((6 * dim, dim), BF16),
        WeightTensor((prod(PATCH) * LATENT_CHANNELS, dim), BF16),
        WeightTensor(
            (dim,), BF16, 5 + 6 + 2
        ),  # biases, the projection's six, the head's modulation
    ]


def t5_block(itemsize: int) -> list[WeightTensor]:
    """One block of the text encoder; it has no biases."""
    return [
        *_linear(T5_DIM, T5_DIM, itemsize, copies=4),
        *_linear(T5_FFN, T5_DIM, itemsize, copies=2),
        *_linear(T5_DIM, T5_FFN, itemsize),
        WeightTensor((T5_DIM,), BF16, 2),
        WeightTensor((T5_BUCKETS, T5_HEADS), BF16),
    ]


def host_need(preset: ModelPreset, offload: str) -> int:
    """RAM that ``preset`` needs in all under ``offload``, the process itself included.

    Without an architecture to compute from it is the process alone.
    """
    if preset.architecture is None or preset.precision is None:
        return PROCESS
    blocks, rest, t5, words = parts(preset)
    if offload == "block":
        each = blocks.pinned + rest.pinned
        return PROCESS + preset.experts * each + t5.pinned + words.pinned
    if offload in EXACT:
        return PROCESS + _exact(preset, offload) + t5.exact + words.exact
    # The text encoder's file is mapped (repairs.mapped_files): its pages are the system's.
    reading = PROCESS + t5.pinned + words.raw
    if offload == "resident":
        return reading
    # Reading from disk, both have their turns; but torch keeps what was page-locked once. Of two
    # transformers the first is gone when the second comes.
    return reading + LAZY_BLOCKS * blocks.pinned // _shape(preset).layers + rest.pinned


def pinned_need(preset: ModelPreset, offload: str) -> int:
    """RAM that is page-locked under ``offload``, once the text encoder is awake."""
    if preset.architecture is None or preset.precision is None:
        return 0
    blocks, rest, t5, _ = parts(preset)
    if offload == "block":
        return preset.experts * (blocks.pinned + rest.pinned) + t5.pinned
    if offload in EXACT:
        return _exact(preset, offload) + t5.exact
    if offload == "resident":
        return t5.pinned
    return t5.pinned + LAZY_BLOCKS * blocks.pinned // _shape(preset).layers + rest.pinned


def _exact(preset: ModelPreset, offload: str) -> int:
    """What of the transformers waits in memory of exact size."""
    blocks, rest, _, _ = parts(preset)
    held = 1 if offload == ONE_EXPERT else preset.experts
    return held * blocks.exact + preset.experts * rest.exact


def resident_need(preset: ModelPreset) -> int:
    """VRAM with every transformer on the GPU: the baseline's peak, all blocks in place of two."""
    baseline = round(preset.memory.baseline_peak_gib * GIB)
    if preset.architecture is None or preset.precision is None:
        return baseline
    blocks, rest, _, _ = parts(preset)
    here = BLOCKS_ON_GPU * blocks.raw // preset.architecture.layers
    return baseline - here + preset.experts * blocks.raw + (preset.experts - 1) * rest.raw


def _linear(out: int, into: int, itemsize: int, copies: int = 1) -> Iterable[WeightTensor]:
    """A weight, and its scales where it is quantised."""
    yield WeightTensor((out, into), itemsize, copies)
    if itemsize == 1:
        yield WeightTensor((out, 1), BF16, copies)


def _part(name: str, tensors: list[WeightTensor], times: int) -> MemoryPart:
    def total(rounded: Iterable[tuple[int, int]]) -> int:
        return times * sum(size * copies for size, copies in rounded)

    return MemoryPart(
        name,
        total((t.bytes, t.copies) for t in tensors),
        total((_power_of_two(t.bytes), t.copies) for t in tensors),
        total((-(-t.bytes // PAGE) * PAGE, t.copies) for t in tensors),
    )


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _shape(preset: ModelPreset) -> Architecture:
    assert preset.architecture is not None
    return preset.architecture


def _itemsize(precision: Precision | None) -> int:
    return BF16 if precision == "bf16" else 1
