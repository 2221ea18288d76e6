"""The doctor's look at the GPU: driver, generation, memory, link, and the kernels for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.install.installed import stamp
from engine.install.plan import DRIVER, DRIVERS
from engine.machine.facts import UNKNOWN, VRAM_LIMIT, Machine, vram_limit
from engine.machine.memory import MemorySample
from engine.machine.nvml import GpuSample
from engine.plan.kernel_options import BF16_CAPABILITY, FP8_CAPABILITY, Q8_CAPABILITIES
from engine.plan.kernel_rows import LEAST_COSINE
from engine.process.kept import held
from engine.text import NOTHING, Memory, Said, Text, as_text, listed, programs

THIN_LINK = 4  # PCIe lanes; block offload copies 14 GB a step

# What a kernel is called where its trials are kept, by the package that brings it.
TRIALS = {
    "sageattention": ("sage_attn1", "sage_attn2"),
    "sgl-kernel": ("fp8-sgl", "int8-sgl"),
    "triton": (
        "fp8-fused-torch",
        "fp8-fused-triton",
        "int8-fused-triton",
        "fused-norms",
        "fp8-triton",
        "int8-triton",
        "triton",
    ),
    "comfy-kitchen": ("int8-kitchen", "kitchen_int8"),
}


State = Literal["good", "note", "warn", "bad"]


@dataclass(frozen=True)
class Line:
    """One finding. ``bad``: something can't work; ``warn``: it works, but not well; ``note``: it
    is so, which is neither good nor bad."""

    subject: Text
    state: State
    meaning: Text
    remedy: Text = NOTHING

    def to_json(self) -> dict[str, Any]:
        """For programs: English, and the ids behind it."""
        told = {"subject": self.subject, "meaning": self.meaning, "remedy": self.remedy}
        found: dict[str, Any] = {"state": self.state}
        for name, text in told.items():
            found |= programs(name, text)
        return found


COMMAND = Text("doctor.setup_command")
RUN = Text("doctor.run", command=COMMAND)


def gpu_lines(sample: MemorySample, machine: Machine, trials: Path) -> list[Line]:
    """Everything about the GPU.

    Args:
        trials: the file in which the worker keeps what each kernel answered.
    """
    gpu = sample.gpu
    if gpu is None:
        state: State = "warn" if sample.state == "lost" else "note"
        meaning = as_text(sample.problem or Text("doctor.no_gpu"))
        return [Line(Text("doctor.gpu"), state, meaning)]
    used = Text(
        "doctor.gpu_here",
        gpu=gpu.name,
        driver=gpu.driver,
        used=Memory(gpu.used),
        total=Memory(gpu.total),
    )
    lines = [
        Line(Text("doctor.gpu"), "good", used),
        _driver(gpu.driver),
        *_generation(gpu),
        Line(Text("doctor.holders"), "note", _holders(gpu)),
    ]
    limit = vram_limit()
    if limit is not None and limit < gpu.total:
        meaning = Text("doctor.takes_at_most", limit=Memory(limit))
        remedy = Text("doctor.unset_limit", name=VRAM_LIMIT)
        lines.append(Line(Text("doctor.gpu_limit"), "note", meaning, remedy))
    if sample.problem:
        lines.append(Line(Text("doctor.gpu_choice"), "warn", as_text(sample.problem)))
    return [*lines, *_link(gpu), *_fallback(machine), *kernel_lines(machine, trials)]


def _holders(gpu: GpuSample) -> Text:
    held = [
        Text("guard.holder", name=one.name, used=Memory(one.used))
        for one in gpu.holders[:3]
        if one.used
    ]
    return listed(*held) if held else Text("doctor.no_holders")


def _driver(version: str) -> Line:
    subject, major = Text("doctor.driver"), version.partition(".")[0]
    if major.isdecimal() and int(major) < DRIVER:
        meaning = Text("doctor.driver_old", version=version, needed=DRIVER)
        remedy = Text("doctor.update_driver_from", address=DRIVERS, command=COMMAND)
        return Line(subject, "bad", meaning, remedy)
    told = version or Text("doctor.driver_unknown")
    state: State = "good" if version else "note"
    return Line(subject, state, Text("doctor.driver_here", version=told, needed=DRIVER))


def _generation(gpu: GpuSample) -> list[Line]:
    subject = Text("doctor.capability")
    if gpu.capability is None:
        remedy = Text("doctor.update_driver")
        return [Line(subject, "warn", Text("doctor.capability_unknown"), remedy)]
    version = ".".join(map(str, gpu.capability))
    if gpu.capability < BF16_CAPABILITY:
        meaning = Text("doctor.capability_too_low", version=version)
        return [Line(subject, "bad", meaning, Text("doctor.newer_card"))]
    if gpu.capability < FP8_CAPABILITY:
        meaning = Text("doctor.no_fp8", version=version)
        return [Line(subject, "warn", meaning, Text("doctor.choose_int8"))]
    return [Line(subject, "good", Text("doctor.has_fp8", version=version))]


def _link(gpu: GpuSample) -> list[Line]:
    if gpu.pcie_width is None:
        return []
    subject, meaning = Text("doctor.link"), Text("doctor.lanes", now=gpu.pcie_width)
    if gpu.pcie_width_max:
        meaning = Text("doctor.lanes_of", now=gpu.pcie_width, widest=gpu.pcie_width_max)
    if gpu.pcie_width < THIN_LINK:
        return [Line(subject, "warn", meaning, Text("doctor.another_slot"))]
    return [Line(subject, "good", meaning)]


def _fallback(machine: Machine) -> list[Line]:
    """Only NVIDIA's own panel shows the setting: neither NVML nor the registry does."""
    if not machine.windows:
        return []
    return [
        Line(
            Text("doctor.fallback"),
            "note",
            Text("doctor.falls_back"),
            Text("doctor.no_fallback"),
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
    found: dict[str, float] = {}
    try:
        for facts, answers in held(file).items():  # of several cards, the newest last
            if _of(machine, json.loads(facts)):
                found |= {str(name): float(answer) for name, answer in answers.items()}
    except (ValueError, AttributeError, TypeError):
        return {}
    return found


def _of(machine: Machine, known: Mapping[str, str]) -> bool:
    """Whether trials under the facts ``known`` count here."""
    gpu = machine.gpu
    same = all(known.get(name) == version for name, version in machine.packages.items())
    return (
        same
        and gpu is not None
        and (known.get("gpu"), known.get("driver")) == (gpu.name, gpu.driver)
    )


def _kernel(
    package: str, machine: Machine, tried: dict[str, float], left_out: dict[str, str]
) -> Line:
    subject = Text("doctor.kernels", package=package)
    version = machine.packages.get(package)
    if version is None:
        name = "sglang-kernel" if package == "sgl-kernel" else package
        if name in left_out:
            return Line(subject, "warn", Text("doctor.kernels_left_out", why=left_out[name]), RUN)
        if package == "sgl-kernel" and not machine.linux:
            return Line(subject, "note", Text("doctor.kernels_for_linux"))
        return Line(subject, "warn", Text("doctor.kernels_missing"), RUN)
    named: Said = version if version != UNKNOWN else Text("doctor.version_unknown")
    answers = {name: value for name, value in tried.items() if _base(name) in TRIALS[package]}
    works = sorted({_base(name) for name, value in answers.items() if value >= LEAST_COSINE})
    fails = sorted({_base(name) for name, value in answers.items() if value < LEAST_COSINE})
    if fails:
        meaning = Text("doctor.kernels_fail", version=named, kernels=listed(*fails))
        return Line(subject, "warn", meaning, Text("doctor.update_and_repair"))
    if works:
        meaning = Text("doctor.kernels_work", version=named, kernels=listed(*works))
        return Line(subject, "good", meaning)
    untried = Text("doctor.kernels_here", version=named, told=_untried(package, machine))
    return Line(subject, "note", untried)


def _untried(package: str, machine: Machine) -> Text:
    """What can be told without a call."""
    version = machine.version(package)
    old = package == "sageattention" and version is not None and (0,) < version < (2,)
    if old and machine.gpu is not None and machine.gpu.capability in Q8_CAPABILITIES:
        return Text("doctor.kernels_old")
    return Text("doctor.kernels_untried")


def _base(trial: str) -> str:
    """A trial's kernel: "fp8-sgl without bias" is one of fp8-sgl's; speeds are no answers."""
    return "" if trial.endswith(" speed") else trial.partition(" ")[0]
