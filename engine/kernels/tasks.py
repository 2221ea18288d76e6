"""What the kernel test tries: each kernel that can be called here, at the model's own shapes."""

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from engine.machine.facts import Machine
from engine.plan import kernel_options
from engine.plan.choice import Option
from engine.plan.flops import architecture_of
from engine.plan.kernel_rows import KernelRow, What
from engine.presets import Architecture, ModelPreset, Presets
from engine.request import Size

LARGE = Size(720, 1280, 81)
# Attention is timed with as many heads as fit into the test's memory, and scaled: 16 of 40 at
# 32,760 tokens, 8 at 75,600.
MOST_OF_HEADS = 650_000  # tokens × heads
# What the decoder is timed at: a part of a picture, as its work goes with the area.
DECODED = Size(240, 320, 9)


@dataclass(frozen=True)
class Task:
    """One row to be: ``given`` goes to the process that times it."""

    what: What
    kernel: str
    shape: str
    tokens: int
    given: dict[str, Any]

    def row(
        self,
        milliseconds: float | None = None,
        cosine: float | None = None,
        problem: str = "",
    ) -> KernelRow:
        kind = self.what, self.kernel, self.shape, self.tokens
        return KernelRow(*kind, milliseconds, cosine, problem)

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "kernel": self.kernel, "tokens": self.tokens, **self.given}


def tasks(machine: Machine, preset: ModelPreset) -> list[Task]:
    """What matters most comes first: the test ends when its time is over."""
    shape = architecture_of(preset)
    if shape is None:
        return []
    default = preset.default
    size = Size(default.height, default.width, default.frames)
    if preset.precision is None:
        return [
            *_linear(["float32", "bfloat16"], shape, size),
            *_attention(["sdpa-float32", "sdpa-bfloat16"], shape, size),
            *_decode(["flat", "diffusers"], size),
        ]
    products = kernel_options.products(machine, preset)
    attention = kernel_options.attentions(machine, preset)
    largest, *others = _by_shape(_linear(products, shape, size))
    first = [*largest, *_attention(attention, shape, size), *_decode(["whole"], DECODED)]
    return [
        *sorted(first, key=_compiles),
        *(task for some in others for task in some),
        *_attention(attention, shape, LARGE),
        *_linear(products, shape, LARGE),
    ]


def _compiles(task: Task) -> bool:
    """Triton's kernels are compiled and tuned at their first call, in seconds each."""
    return "triton" in task.kernel or "sage" in task.kernel


def _by_shape(every: list[Task]) -> list[list[Task]]:
    return [list(some) for _, some in groupby(every, lambda task: task.shape)]


def own_model(machine: Machine, presets: Presets) -> ModelPreset:
    """The model whose shapes are tested where nobody names one: a large one's, which are alike,
    where there is a GPU for it."""
    runs_on = "nvidia" if machine.gpu is not None else "cpu"
    found = (preset for preset in presets.makers if preset.runs_on == runs_on)
    return next(found, presets.default)


def key_of(machine: Machine, preset: ModelPreset) -> str:
    """What the rows hold for: this machine with these packages, the kernels that there are for it,
    and models of one shape."""
    shape = architecture_of(preset)
    sides = f"{shape.dim}, {shape.ffn_dim}, {shape.heads}" if shape else ""
    kernels = kernel_options.products(machine, preset) if preset.precision else []
    return f"{machine.facts()} {sides} {', '.join(kernels)}".rstrip()


def _linear(kernels: list[str], shape: Architecture, size: Size) -> list[Task]:
    """The largest product of all kernels, then the next one: Triton's are tuned at each shape,
    which may take all the time that there is."""
    sides = (
        (shape.dim, shape.ffn_dim),
        (shape.ffn_dim, shape.dim),
        (shape.dim, shape.dim),
    )
    return [
        Task(
            "linear",
            kernel,
            f"{size.tokens}×{inner}→{out}",
            size.tokens,
            {"inner": inner, "out": out},
        )
        for inner, out in sides
        for kernel in kernels
    ]


def _attention(kernels: list[str], shape: Architecture, size: Size) -> list[Task]:
    head_dim = shape.dim // shape.heads
    heads = max(8, MOST_OF_HEADS // size.tokens // 8 * 8)
    timed = min(shape.heads, heads)
    given = {"heads": shape.heads, "head_dim": head_dim, "timed_heads": timed}
    named = f"{size.tokens}×{shape.heads}×{head_dim}"
    return [Task("attention", kernel, named, size.tokens, given) for kernel in kernels]


def _decode(kernels: list[str], size: Size) -> list[Task]:
    given = {"height": size.height, "width": size.width, "frames": size.frames}
    pixels = size.pixels * size.frames
    return [Task("decode", kernel, str(size), pixels, given) for kernel in kernels]


def _working(options: tuple[Option, ...]) -> list[str]:
    return [str(option.value) for option in options if option.works]
