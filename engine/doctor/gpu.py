"""The doctor's look at the GPU: driver, generation, memory, link, and the kernels for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.install.installed import SETUP, stamp
from engine.install.plan import DRIVER, DRIVERS
from engine.machine.facts import UNKNOWN, VRAM_LIMIT, Machine, vram_limit
from engine.machine.memory import MemorySample
from engine.machine.nvml import GpuSample
from engine.plan.lightx2v import BF16_CAPABILITY, FP8_CAPABILITY, Q8_CAPABILITIES
from engine.units import gigabytes

THIN_LINK = 4  # PCIe lanes; block offload copies 14 GB a step
LEAST_COSINE = 0.99  # as in engine/pipelines/lightx2v/kernels.py, which imports torch

# What a kernel is called where its trials are kept, by the package that brings it.
TRIALS = {
    "sageattention": ("sage_attn1", "sage_attn2"),
    "sgl-kernel": ("fp8-sgl", "int8-sgl"),
    "triton": ("fp8-triton", "int8-triton", "triton"),
}


@dataclass(frozen=True)
class Line:
    """One finding. ``bad``: something can't work; ``warn``: it works, but not well."""

    subject: str
    state: Literal["good", "warn", "bad"]
    meaning: str
    remedy: str = ""


def gpu_lines(sample: MemorySample, machine: Machine, trials: Path) -> list[Line]:
    """Everything about the GPU.

    Args:
        trials: the file in which the worker keeps what each kernel answered.
    """
    gpu = sample.gpu
    if gpu is None:
        state: Literal["good", "warn"] = "warn" if sample.state == "lost" else "good"
        meaning = sample.problem or "None of NVIDIA's; clips are made by the processor."
        return [Line("GPU", state, meaning)]
    used = f"{gigabytes(gpu.used)} of {gigabytes(gpu.total)} in use"
    holders = ", ".join(f"{h.name} {gigabytes(h.used)}" for h in gpu.holders[:3] if h.used)
    lines = [
        Line("GPU", "good", f"{gpu.name}, driver {gpu.driver}, {used}."),
        _driver(gpu.driver),
        *_generation(gpu),
        Line("Who holds its memory", "good", holders or "The driver doesn't tell, or nobody does."),
    ]
    limit = vram_limit()
    if limit is not None and limit < gpu.total:
        meaning = f"The program takes {gigabytes(limit)} of the GPU at most."
        lines.append(Line("GPU limit", "good", meaning, f"Unset {VRAM_LIMIT} to take more."))
    if sample.problem:
        lines.append(Line("GPU choice", "warn", sample.problem))
    return [*lines, *_link(gpu), *_fallback(machine), *kernel_lines(machine, trials)]


def _driver(version: str) -> Line:
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < DRIVER:
        meaning = f"{version} is too old: CUDA 13, which the large models run on, needs {DRIVER}."
        return Line("Driver", "bad", meaning, f"Update it ({DRIVERS}), then run {SETUP}.")
    return Line("Driver", "good", f"{version or 'Its version is unknown'}; {DRIVER} is needed.")


def _generation(gpu: GpuSample) -> list[Line]:
    if gpu.capability is None:
        return [
            Line("Compute capability", "warn", "The driver doesn't tell.", "Update the driver.")
        ]
    version = ".".join(map(str, gpu.capability))
    if gpu.capability < BF16_CAPABILITY:
        remedy = "It needs a newer card; the CPU default runs on any machine."
        text = f"{version}: the large models begin with 8.0 (RTX 30 series)."
        return [Line("Compute capability", "bad", text, remedy)]
    if gpu.capability < FP8_CAPABILITY:
        text = f"{version}: no FP8 units, which begin with 8.9 (RTX 40 series)."
        return [Line("Compute capability", "warn", text, "Choose the INT8 model.")]
    return [Line("Compute capability", "good", f"{version}: it has FP8 units.")]


def _link(gpu: GpuSample) -> list[Line]:
    if gpu.pcie_width is None:
        return []
    widest = f" of {gpu.pcie_width_max}" if gpu.pcie_width_max else ""
    text = (
        f"{gpu.pcie_width}{widest} lanes now; offloading copies the model through them each step."
    )
    if gpu.pcie_width < THIN_LINK:
        remedy = "If that stays so under load, put the card into another slot."
        return [Line("PCIe link", "warn", text, remedy)]
    return [Line("PCIe link", "good", text)]


def _fallback(machine: Machine) -> list[Line]:
    """Only NVIDIA's own panel shows the setting: neither NVML nor the registry does."""
    if not machine.windows:
        return []
    return [
        Line(
            "Memory fallback",
            "good",
            "When the card is full, Windows' driver goes on in RAM, up to eight times slower and "
            "without an error. The program can't read that setting.",
            "NVIDIA Control Panel, Manage 3D settings, CUDA - Sysmem Fallback Policy: Prefer No "
            "Sysmem Fallback, for the python.exe in .venv.",
        )
    ]


# ---- kernels -------------------------------------------------------------------------------


def kernel_lines(machine: Machine, trials: Path) -> list[Line]:
    """One for each package that brings kernels: is it here, and can it be called?"""
    if "torch" not in machine.packages or machine.gpu is None:
        return []
    tried = kept_trials(machine, trials)
    made = stamp()
    left_out = dict(made.left_out) if made is not None else {}
    return [_kernel(name, machine, tried, left_out) for name in TRIALS]


def kept_trials(machine: Machine, file: Path) -> dict[str, float]:
    """What kernels answered with these packages and this driver; {} if they never ran together."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        ((facts, answers),) = kept.items()
        known = json.loads(facts)
    except (OSError, ValueError, AttributeError):
        return {}
    same = all(known.get(name) == version for name, version in machine.packages.items())
    gpu = machine.gpu
    if not same or gpu is None or known.get("gpu") != gpu.name or known.get("driver") != gpu.driver:
        return {}
    return {str(name): float(answer) for name, answer in answers.items()}


def _kernel(
    package: str, machine: Machine, tried: dict[str, float], left_out: dict[str, str]
) -> Line:
    subject = f"Kernels of {package}"
    version = machine.packages.get(package)
    if version is None:
        name = "sglang-kernel" if package == "sgl-kernel" else package
        if name in left_out:
            return Line(subject, "warn", f"Left out by set-up: {left_out[name]}", f"Run {SETUP}.")
        if package == "sgl-kernel" and not machine.linux:
            return Line(subject, "good", "They exist for Linux only; Triton's take their place.")
        return Line(subject, "warn", "Not installed; PyTorch's own are used.", f"Run {SETUP}.")
    named = version if version != UNKNOWN else "of unknown version"
    answers = {name: value for name, value in tried.items() if _base(name) in TRIALS[package]}
    works = sorted({_base(name) for name, value in answers.items() if value >= LEAST_COSINE})
    fails = sorted({_base(name) for name, value in answers.items() if value < LEAST_COSINE})
    if fails:
        text = f"{named}; {', '.join(fails)} was tried here and left: it fails or computes wrongly."
        return Line(subject, "warn", text, "Update the driver, then run set-up with --repair.")
    if works:
        return Line(subject, "good", f"{named}; {', '.join(works)} was called here and is right.")
    return Line(subject, "good", f"{named}; {_untried(package, machine)}")


def _untried(package: str, machine: Machine) -> str:
    """What can be told without a call."""
    version = machine.version(package)
    old = package == "sageattention" and version is not None and (0,) < version < (2,)
    if old and machine.gpu is not None and machine.gpu.capability in Q8_CAPABILITIES:
        return (
            "LightX2V calls a name that only version 2 has, and would fail on this card; Headroom "
            "gives it that name. It is tried before a model is loaded."
        )
    return "not called yet: it is tried before a model is loaded."


def _base(trial: str) -> str:
    """A trial's kernel: "fp8-sgl without bias" is one of fp8-sgl's; speeds are no answers."""
    return "" if trial.endswith(" speed") else trial.partition(" ")[0]
