"""What set-up will do on a computer, and why: a pure function, so that any machine can be tried.

Decided by compute capability and driver version. A GPU's name decides nothing: "RTX 3050" has a
50 in it. Standard library only.
"""

from dataclasses import asdict, dataclass, replace
from typing import Literal

from engine.install.facts import CardFacts, Facts

OLDEST, NEWEST = (3, 11), (3, 13)
DRIVER = 580  # the first that runs CUDA 13, which requirements-gpu.txt is built for
BF16_CAPABILITY, FP8_CAPABILITY = (8, 0), (8, 9)  # as in engine/plan/lightx2v.py
GIB = 2**30
# What the smallest run that was measured took (wan2.2-i2v-a14b-int8-fused-h200.yaml).
LEAST_VRAM = round(4.95 * GIB)
MODEL_VRAM = 15 * GIB  # the models' minimum_gib: from there the baseline size is open at once
# engine/plan/host_memory.py has the arithmetic, and a test that these agree: FP8 and INT8, with
# 1 GiB that the system keeps.
RAM_BLOCK, RAM_EXACT, RAM_LAZY = (round(gib * GIB) for gib in (32.67, 23.81, 13.65))
WEIGHTS = 22.3  # GB, of either model
# Disk while it is set up: the environment, downloads and what is unpacked at the time.
SPACE = {"cpu": 4 * GIB, "nvidia": 14 * GIB}

PAGE, ENGINE, TESTS = "requirements-page.txt", "requirements.txt", "requirements-test.txt"
GPU, LIGHTX2V = "requirements-gpu.txt", "requirements-lightx2v.txt"
LANES = "requirements-lanes.txt"  # for machines that work together, which nobody has by default
HASHES = "requirements.sha256"  # of every file that the others name, as sha256sum writes it
FILES = {"cpu": (PAGE, ENGINE), "nvidia": (PAGE, ENGINE, GPU, LIGHTX2V)}
# Left out where they can't be had or fail: the plan of a model then takes the next kernel.
OPTIONAL = ("sageattention", "comfy-kitchen", "sglang-kernel")

Target = Literal["cpu", "nvidia"]
Wish = Literal["auto", "cpu", "gpu"]
SYSTEMS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}
DRIVERS = "https://www.nvidia.com/drivers"


@dataclass(frozen=True)
class Decision:
    """One choice: its reason, and what would lead to a better one ("" if this is the best)."""

    name: str
    value: str
    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class InstallPlan:
    """What will be installed. With a ``problem`` nothing is; ``remedy`` says what to do."""

    target: Target
    lock: str
    decisions: tuple[Decision, ...]
    files: tuple[str, ...]
    optional: tuple[str, ...]
    problem: str = ""
    remedy: str = ""

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def make_plan(facts: Facts, wish: Wish = "auto") -> InstallPlan:
    """The plan for a computer with ``facts``; the user's ``wish`` comes before what is seen."""
    packages = _packages(facts, wish)
    target: Target = "nvidia" if packages.value.startswith("nvidia") else "cpu"
    card = _best(facts.cards)
    decisions = [packages, _torch(target, facts)]
    optional: tuple[str, ...] = ()
    if target == "nvidia":
        optional = OPTIONAL if facts.system == "linux" else OPTIONAL[:2]
        decisions += [_kernels(facts, optional), _model(card), _offload(facts)]
    else:
        decisions.append(Decision("model", "wan-tiny", "It runs on any processor."))
    decisions.append(_space(facts, target))
    plan = InstallPlan(target, packages.value, tuple(decisions), FILES[target], optional)
    return _checked(plan, facts, wish)


def _checked(plan: InstallPlan, facts: Facts, wish: Wish) -> InstallPlan:
    """``plan`` with what would make it fail half-way, told before anything is made."""
    if not OLDEST <= facts.python[:2] <= NEWEST:
        return replace(
            plan,
            problem=f"This is Python {facts.python[0]}.{facts.python[1]}; Headroom needs 3.11 to "
            "3.13.",
            remedy="Install one of these, then start again.",
        )
    if wish == "gpu" and (facts.system, facts.architecture) not in LOCKS:
        return replace(
            plan,
            problem=f"--gpu: {_platform(facts)} has no packages for NVIDIA's cards.",
            remedy="They are for Linux and Windows on x86-64 only; leave out --gpu.",
        )
    need = SPACE[plan.target]
    if facts.free < need:
        return replace(
            plan,
            problem=f"{facts.free / GIB:.1f} GB are free on the project's disk; set-up needs "
            f"{need / GIB:.0f} GB.",
            remedy="Free some space, then start again.",
        )
    return plan


# ---- CPU or NVIDIA -------------------------------------------------------------------------

LOCKS = {("linux", "x86_64"): "nvidia-linux", ("windows", "x86_64"): "nvidia-windows"}


def _best(cards: tuple[CardFacts, ...]) -> CardFacts | None:
    """The card that the engine would take: new enough, then the one with the most memory."""

    def rank(card: CardFacts) -> tuple[bool, int]:
        return (card.capability or (0, 0)) >= BF16_CAPABILITY, card.memory

    return max(cards, key=rank, default=None)


def _packages(facts: Facts, wish: Wish) -> Decision:
    """Which lock: the CPU default, or NVIDIA's for this system."""
    lock = LOCKS.get((facts.system, facts.architecture))
    if wish == "cpu":
        return Decision("packages", "cpu", "You asked for it with --cpu.", "--gpu undoes that.")
    why, remedy = _against(facts, lock)
    if wish == "gpu" and lock is not None:
        doubt = f" Against it: {why}" if why else ""
        return Decision("packages", lock, f"You asked for it with --gpu.{doubt}", remedy)
    if why or lock is None:
        return Decision("packages", "cpu", why, remedy)
    card = _best(facts.cards)
    assert card is not None
    assert card.capability is not None
    return Decision(
        "packages",
        lock,
        f"{card.name}: compute capability {_dotted(card.capability)}, "
        f"{card.memory / GIB:.1f} GB; driver {facts.driver} runs CUDA 13.",
    )


def _against(facts: Facts, lock: str | None) -> tuple[str, str]:
    """Why NVIDIA's packages wouldn't work here, and what to do; "" and "" if they would."""
    card = _best(facts.cards)
    if lock is None:
        return f"There are no packages for NVIDIA's cards on {_platform(facts)}.", ""
    if card is None:
        remedy = f"If it has an NVIDIA card, install driver {DRIVER} or newer ({DRIVERS})."
        return facts.silence or "This computer has no NVIDIA GPU.", remedy
    if card.capability is None:
        return (
            f"{card.name} doesn't report its compute capability.",
            f"Update the driver ({DRIVERS}), or force it with --gpu.",
        )
    if card.capability < BF16_CAPABILITY:
        return (
            f"{card.name} has compute capability {_dotted(card.capability)}; the large models "
            f"need {_dotted(BF16_CAPABILITY)} or newer (RTX 30 series).",
            "They need a newer card; the small CPU model runs on any machine.",
        )
    major = facts.driver.partition(".")[0]
    if not major.isdecimal() or int(major) < DRIVER:
        return (
            f"Driver {facts.driver or 'unknown'} is too old: CUDA 13 requires {DRIVER}.",
            f"Update the driver ({DRIVERS}), then run set-up again.",
        )
    if card.memory <= 0:
        return (
            f"{card.name} doesn't report how much memory it has.",
            "Use --gpu to try it anyway.",
        )
    if card.memory < LEAST_VRAM:
        return (
            f"{card.name} has {card.memory / GIB:.1f} GB; the smallest run of a large model that "
            f"was measured took {LEAST_VRAM / GIB:.1f} GB.",
            "Use --gpu to test smaller ones.",
        )
    if facts.ram < RAM_LAZY:
        return (
            f"The large models need {RAM_LAZY / GIB:.1f} GB of RAM even when each block is read "
            f"from disk; this computer has {facts.ram / GIB:.1f} GB.",
            "Add RAM.",
        )
    if facts.free < SPACE["nvidia"]:
        return (
            f"NVIDIA's packages need {SPACE['nvidia'] / GIB:.0f} GB of disk during "
            f"set-up; {facts.free / GIB:.1f} GB are free.",
            "Free some space, then run set-up again.",
        )
    return "", ""


def _platform(facts: Facts) -> str:
    return f"{SYSTEMS.get(facts.system, facts.system)} on {facts.architecture}"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


# ---- what follows from it ------------------------------------------------------------------


def _torch(target: Target, facts: Facts) -> Decision:
    if target == "nvidia":
        came = "PyPI" if facts.system == "linux" else "PyTorch's CUDA 13 index"
        return Decision(
            "torch", "CUDA 13 build", f"From {came}; the newest version LightX2V supports."
        )
    if facts.system == "linux":
        return Decision(
            "torch",
            "CPU build",
            "From PyTorch's CPU index, because PyPI's build for Linux includes several GB of CUDA. "
            "If that index can't be reached, pip takes what it finds.",
        )
    return Decision("torch", "CPU build", "PyPI's build for this system is without CUDA.")


def _kernels(facts: Facts, optional: tuple[str, ...]) -> Decision:
    told = "Each is tested before it is used; what fails is skipped."
    remedy = ""
    if facts.system == "linux" and not facts.compiler:
        told += " Triton finds no C compiler with Python's headers, so its kernels won't be used."
        remedy = "For faster attention: sudo apt install gcc python3-dev."
    return Decision("kernels", ", ".join(optional), told, remedy)


def _model(card: CardFacts | None) -> Decision:
    capability = card.capability if card else None
    fp8 = capability is None or capability >= FP8_CAPABILITY
    value = "wan2.1-t2v-14b-fp8" if fp8 else "wan2.1-t2v-14b-int8"
    reason = (
        "The card has FP8 units."
        if fp8
        else f"No FP8 units below compute capability {_dotted(FP8_CAPABILITY)}."
    )
    if card is not None and card.memory < MODEL_VRAM:
        reason += (
            f" With {card.memory / GIB:.1f} GB, each size has to be tested before it opens, the "
            "smallest first."
        )
    return Decision("model", value, reason)


def _offload(facts: Facts) -> Decision:
    has = f"{facts.ram / GIB:.1f} GB of RAM"
    if facts.ram >= RAM_BLOCK:
        return Decision("weights", "in RAM", f"{has}: page-locked the way torch does it.")
    if facts.ram >= RAM_EXACT:
        return Decision(
            "weights",
            "in RAM, exact size",
            f"{has}: torch's own rounding would need {RAM_BLOCK / GIB:.1f} GB.",
        )
    return Decision(
        "weights",
        "from disk",
        f"{has}: each block is read from disk at every step, so use an SSD.",
        f"With {RAM_EXACT / GIB:.0f} GB or more they stay in RAM.",
    )


def _space(facts: Facts, target: Target) -> Decision:
    free, need = facts.free / GIB, SPACE[target] / GIB
    told = f"During set-up; {free:.1f} GB are free on the project's disk."
    if target == "nvidia" and facts.free < SPACE[target] + round(WEIGHTS * 1e9):
        return Decision(
            "disk",
            f"{need:.0f} GB",
            f"{told} The weights ({WEIGHTS} GB) don't fit beside it.",
            "Set HEADROOM_HOME to a larger disk before you download them.",
        )
    return Decision("disk", f"{need:.0f} GB", told)
