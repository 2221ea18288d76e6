"""What this computer is: processor, RAM, GPU, installed kernels. No torch, so the page can ask."""

import contextlib
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import psutil

from engine.errors import ExitCode, HeadroomError
from engine.machine import cgroup
from engine.machine.memory import MemorySample, sample_host
from engine.machine.nvml import GpuSample
from engine.text import Text
from engine.units import GIB

VRAM_LIMIT = "HEADROOM_VRAM_LIMIT_GIB"
LAST_PORT = 65_535

# What plans ask for: our name, the distributions that bring it, and the module if that can be here
# without metadata (LightX2V is often run from its repository).
PACKAGES: Mapping[str, tuple[tuple[str, ...], str | None]] = {
    "torch": (("torch",), None),
    "lightx2v": (("lightx2v",), "lightx2v"),
    "sageattention": (("sageattention",), "sageattention"),
    "sgl-kernel": (("sglang-kernel", "sgl-kernel"), "sgl_kernel"),
    "triton": (("triton", "triton-windows"), "triton"),
    "comfy-kitchen": (("comfy-kitchen",), "comfy_kitchen"),
    "q8-kernels": (("q8-kernels",), "q8_kernels"),
    "diffusers": (("diffusers",), None),
    "transformers": (("transformers",), None),
}
UNKNOWN = "unknown"


class LimitError(HeadroomError):
    """HEADROOM_VRAM_LIMIT_GIB isn't a number of GiB."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class GpuFacts:
    """What stays true of a GPU. ``total``: bytes that the program may use of it (``vram_limit``).

    ``capability`` is CUDA's compute capability, None where the driver doesn't tell.
    """

    name: str
    uuid: str
    capability: tuple[int, int] | None
    total: int
    driver: str
    index: int


@dataclass(frozen=True)
class Machine:
    """The facts that plans and receipts need. ``ram`` in bytes, ``ram_lent`` what of it other
    lanes' copies of the weights take.

    ``packages`` maps a name of PACKAGES to its version; what isn't installed isn't in it.
    """

    system: str
    processor: str
    cores: int
    ram: int
    python: str
    architecture: str = ""
    gpu: GpuFacts | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    ram_lent: int = 0

    @property
    def device(self) -> str:
        """The processor's name as a receipt and a fingerprint give it."""
        return f"CPU: {self.processor}"

    @property
    def linux(self) -> bool:
        return self.system.startswith("Linux")

    @property
    def windows(self) -> bool:
        return self.system.startswith("Windows")

    def version(self, package: str) -> tuple[int, ...] | None:
        """``package``'s version as numbers, () if it has none that can be read, None if absent."""
        text = self.packages.get(package)
        if text is None:
            return None
        numbers: list[int] = []
        for part in text.partition("+")[0].split("."):
            if not part.isdecimal():
                break
            numbers.append(int(part))
        return tuple(numbers)

    def facts(self) -> str:
        """What a choice that was learnt here counts for, as canonical JSON."""
        gpu = self.gpu
        return json.dumps(
            {
                "device": (gpu.uuid or gpu.name) if gpu else self.device,
                "total": gpu.total if gpu else self.ram,
                "ram": round(self.ram / GIB),  # a kernel's own share changes by megabytes
                "driver": gpu.driver.split(".")[0] if gpu else None,
                "packages": dict(self.packages),
            },
            sort_keys=True,
        )


@cache
def this_machine() -> Machine:
    """The facts that don't change while the program runs; a GPU may come and go."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=_cores(),
        ram=sample_host(None).total,
        python=platform.python_version(),
        architecture=platform.machine(),
        packages=_packages(),
    )


def forget_packages() -> None:
    """Packages were installed since: look at what is here afresh."""
    package_version.cache_clear()
    this_machine.cache_clear()


def machine_now(sample: MemorySample) -> Machine:
    """This machine with the GPU that ``sample`` saw, if it saw one."""
    gpu = sample.gpu
    return replace(this_machine(), gpu=gpu_facts(gpu) if gpu else None)


def gpu_facts(gpu: GpuSample) -> GpuFacts:
    total = min(gpu.total, vram_limit() or gpu.total)
    return GpuFacts(gpu.name, gpu.uuid, gpu.capability, total, gpu.driver, gpu.index)


def vram_limit() -> int | None:
    """HEADROOM_VRAM_LIMIT_GIB: bytes of the GPU that the program may use at most; None if unset.

    Raises:
        LimitError: what is set is no positive number.
    """
    text = os.environ.get(VRAM_LIMIT, "").strip()
    if not text:
        return None
    try:
        gib = float(text)
    except ValueError:
        gib = math.nan
    if not (math.isfinite(gib) and gib > 0):
        raise LimitError(
            Text("machine.wrong_limit", name=VRAM_LIMIT, value=repr(text[:40])),
            Text("machine.set_limit", name=VRAM_LIMIT),
        )
    return round(gib * GIB)


def _packages() -> dict[str, str]:
    """Read from metadata and the search path: importing torch is not for this process."""
    found: dict[str, str] = {}
    for name, (distributions, module) in PACKAGES.items():
        version = next((v for d in distributions if (v := _version(d))), None)
        if module is not None and not _importable(module):
            continue  # its metadata outlived it
        if version is not None or module is not None:
            found[name] = version or UNKNOWN
    return found


@cache
def package_version(distribution: str) -> str | None:
    """The installed version, as it is until ``forget_packages``; None where there is none."""
    return _version(distribution)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a broken installation, or a module set to None
        return False


def _cores() -> int:
    """Physical cores that this process may use; containers and affinity can leave fewer."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return max(1, min(physical, _affinity(), cgroup.cores() or physical))


def _affinity() -> int:
    """Logical processors that this process may run on."""
    with contextlib.suppress(psutil.Error, OSError, AttributeError):  # macOS has none
        if own := psutil.Process().cpu_affinity():
            return len(own)
    return os.cpu_count() or 1


def core_limit() -> int | None:
    """How many threads are worth while where libraries would take more: they count processors, and
    a container's quota of time makes those no fewer. None where there is none."""
    quota = cgroup.cores()
    return quota if quota is not None and quota < _affinity() else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown processor"
