"""Looks at this machine before anything is asked of it: each line with its meaning and remedy."""

import shutil
from dataclasses import dataclass
from typing import Literal

from engine.checkpoint import get_it
from engine.guard import RAM_RESERVE
from engine.headroom import GIB, Verdict, gigabytes
from engine.home import PROJECT
from engine.installation import SETUP, differing, stamp
from engine.machine import VRAM_LIMIT, this_machine, vram_limit
from engine.memory import MemorySample
from engine.pipelines import is_here, why_not_here
from engine.plan_lightx2v import FP8_CAPABILITY
from engine.presets import ModelPreset
from engine.supervisor import Supervisor
from engine.weights import weights_text

WORST = 6  # packages that are named
CLIP_SPACE = 2 * GIB
COMMIT_SPACE = 8 * GIB
THIN_LINK = 4  # PCIe lanes; block offload copies 14 GB a step


@dataclass(frozen=True)
class Line:
    """One finding. ``bad``: something can't work; ``warn``: it works, but not well."""

    subject: str
    state: Literal["good", "warn", "bad"]
    meaning: str
    remedy: str = ""


def examine(supervisor: Supervisor) -> list[Line]:
    """All findings, in the order in which a person would look."""
    sample = supervisor.look()
    presets = supervisor.presets.models.values()
    return [
        *_gpu(sample),
        _ram(sample),
        *_commit(sample),
        _disk(supervisor),
        _packages(),
        *[_model(supervisor, preset) for preset in presets],
    ]


def _gpu(sample: MemorySample) -> list[Line]:
    gpu = sample.gpu
    if gpu is None:
        state: Literal["good", "warn"] = "warn" if sample.state == "lost" else "good"
        meaning = sample.problem or "None of NVIDIA's; clips are made by the processor."
        return [Line("GPU", state, meaning)]
    used = f"{gigabytes(gpu.used)} of {gigabytes(gpu.total)} in use"
    holders = ", ".join(f"{h.name} {gigabytes(h.used)}" for h in gpu.holders[:3] if h.used)
    lines = [
        Line("GPU", "good", f"{gpu.name}, driver {gpu.driver}, {used}."),
        Line("Who holds its memory", "good", holders or "The driver doesn't tell, or nobody does."),
    ]
    limit = vram_limit()
    if limit is not None and limit < gpu.total:
        meaning = f"The program takes {gigabytes(limit)} of the GPU at most."
        lines.append(Line("GPU limit", "good", meaning, f"Unset {VRAM_LIMIT} to take more."))
    if sample.problem:
        lines.append(Line("GPU choice", "warn", sample.problem))
    if gpu.capability is not None and gpu.capability < FP8_CAPABILITY:
        version = ".".join(map(str, gpu.capability))
        meaning = f"Compute capability {version}: no FP8 units, which begin with 8.9."
        lines.append(Line("FP8", "warn", meaning, "Choose the INT8 model."))
    if gpu.pcie_width is not None and gpu.pcie_width < THIN_LINK:
        lines.append(
            Line(
                "PCIe link",
                "warn",
                f"{gpu.pcie_width} lanes now; offloading copies the model through them each step.",
                "If that stays so under load, put the card into another slot.",
            )
        )
    return lines


def _ram(sample: MemorySample) -> Line:
    host = sample.host
    text = f"{gigabytes(host.available)} of {gigabytes(host.total)} are free."
    if host.available < 2 * RAM_RESERVE:
        return Line("RAM", "warn", text, "Close programs that you don't need.")
    return Line("RAM", "good", text)


def _commit(sample: MemorySample) -> list[Line]:
    """Windows refuses allocations at its commit limit, with RAM and VRAM still free."""
    host = sample.host
    if not this_machine().system.startswith("Windows") or host.commit_limit is None:
        return []
    left = host.commit_limit - (host.committed or 0)
    text = f"{gigabytes(left)} of the commit limit {gigabytes(host.commit_limit)} are left."
    if left < COMMIT_SPACE:
        remedy = "Let Windows manage the page file's size, or make it larger."
        return [Line("Page file", "warn", text, remedy)]
    return [Line("Page file", "good", text)]


def _disk(supervisor: Supervisor) -> Line:
    root = supervisor.home.root
    free = shutil.disk_usage(root).free
    text = f"{gigabytes(free)} are free where clips are kept ({root})."
    if free < CLIP_SPACE:
        return Line("Disk", "warn", text, "Make room, or set HEADROOM_HOME to another disk.")
    return Line("Disk", "good", text)


def _packages() -> Line:
    """What is installed against what was tested."""
    wrong = differing()
    if wrong:
        told = "; ".join(wrong[:WORST]) + (f" and {len(wrong) - WORST} more" * (len(wrong) > WORST))
        return Line("Packages", "bad", f"{told}.", f"Run {SETUP}.")
    made = stamp()
    which = f"The lock {made.target}: " if made is not None else ""
    return Line("Packages", "good", f"{which}all as they were tested.".capitalize())


def usable(supervisor: Supervisor, model: str) -> Verdict:
    """The verdict on the model's baseline: whether this machine can use its weights at all."""
    return supervisor.guard.verdict(model, supervisor.guard.rules(model).baseline)


def _model(supervisor: Supervisor, preset: ModelPreset) -> Line:
    subject = f"Model {preset.name}"
    baseline = supervisor.guard.rules(preset.id).baseline
    verdict = usable(supervisor, preset.id)
    if not is_here(preset):
        text = f"{why_not_here(preset)[0]} {baseline} is {verdict.word}. {verdict.reason}"
        return Line(subject, "good", text)
    seen = supervisor.weights.look(preset.id)
    if seen.state != "ready":
        text = f"Its weights are {weights_text(seen)}. {baseline} is {verdict.word}."
        return Line(subject, "warn", f"{text} {seen.told}".strip(), get_it(preset))
    checkpoint = PROJECT / preset.checkpoint if preset.checkpoint else None
    if checkpoint is not None and not (checkpoint / "model_index.json").exists():
        remedy = "It comes with the project: restore the folder, for example with git checkout."
        return Line(subject, "bad", f"Its checkpoint is missing in {checkpoint}.", remedy)
    state: Literal["good", "warn"] = "good" if verdict.open else "warn"
    return Line(subject, state, f"{baseline} is {verdict.word}. {verdict.reason}", verdict.remedy)
