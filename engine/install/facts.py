"""What set-up needs to know of this computer. Standard library only: nothing is installed yet.

The driver is asked through NVML with ctypes, and through ``nvidia-smi`` where that fails.
"""

import ctypes
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.machine import cgroup
from engine.process import patience

NVML_TEXT = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE, the longest of its texts
SMI_SECONDS = 20  # a driver that wakes a sleeping laptop's card takes its time
SYSTEMS = {"Linux": "linux", "Windows": "windows", "Darwin": "macos"}
ARCHITECTURES = {"AMD64": "x86_64", "x64": "x86_64", "arm64": "aarch64", "ARM64": "aarch64"}


@dataclass(frozen=True)
class CardFacts:
    """One NVIDIA GPU. ``memory`` in bytes; ``capability`` None where the driver doesn't tell."""

    name: str
    capability: tuple[int, int] | None
    memory: int


@dataclass(frozen=True)
class Facts:
    """All that a plan follows from. ``ram`` and ``free`` (on the project's disk) in bytes.

    ``driver`` is "" without one, and ``silence`` then says why no card was found. ``compiler``:
    whether Triton will find gcc or clang and Python's headers, which it asks for on Linux.
    """

    system: str
    architecture: str
    python: tuple[int, int, int]
    ram: int
    free: int
    driver: str = ""
    cards: tuple[CardFacts, ...] = ()
    silence: str = ""
    compiler: bool = False


def this_computer(project: Path) -> Facts:
    """The facts as they are now; never raises, whatever the driver does."""
    driver, cards, silence = nvidia()
    machine = platform.machine()
    return Facts(
        system=SYSTEMS.get(platform.system(), platform.system().lower()),
        architecture=ARCHITECTURES.get(machine, machine),
        python=(sys.version_info[0], sys.version_info[1], sys.version_info[2]),
        ram=_ram(),
        free=shutil.disk_usage(project).free,
        driver=driver,
        cards=cards,
        silence=silence,
        compiler=_compiler(),
    )


def nvidia() -> tuple[str, tuple[CardFacts, ...], str]:
    """Driver version, cards, and why there are none ("" if there are)."""
    try:
        return _ask_nvml()
    except (OSError, AttributeError, NvmlError) as error:
        told = _ask_smi()
        if told is not None:
            return told
        if isinstance(error, NvmlError):
            return "", (), f"NVIDIA's driver doesn't respond (NVML error {error.code})."
        return "", (), "No NVIDIA driver is installed."


# ---- NVML ----------------------------------------------------------------------------------


class NvmlError(Exception):
    """NVML answered with an error ``code``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class _Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = (
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("used", ctypes.c_uint64),
    )


def _library() -> Any:
    """Raises OSError where there is none."""
    if os.name != "nt":
        return ctypes.CDLL("libnvidia-ml.so.1")
    older = Path(os.environ.get("PROGRAMFILES", "C:/Program Files"), "NVIDIA Corporation/NVSMI")
    try:
        return ctypes.CDLL("nvml.dll")  # in System32 since driver 4xx
    except OSError:
        return ctypes.CDLL(str(older / "nvml.dll"))


def _ask_nvml() -> tuple[str, tuple[CardFacts, ...], str]:
    library = _library()

    def call(name: str, *arguments: Any) -> None:
        code = getattr(library, name)(*arguments)
        if code != 0:
            raise NvmlError(code)

    call("nvmlInit_v2")
    try:
        text = ctypes.create_string_buffer(NVML_TEXT)
        call("nvmlSystemGetDriverVersion", text, NVML_TEXT)
        count = ctypes.c_uint()
        call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        cards = [_card(call, index) for index in range(count.value)]
        silence = "" if cards else "NVIDIA's driver is here and finds no GPU."
        return text.value.decode(errors="replace"), tuple(cards), silence
    finally:
        library.nvmlShutdown()


def _card(call: Any, index: int) -> CardFacts:
    device, name = ctypes.c_void_p(), ctypes.create_string_buffer(NVML_TEXT)
    call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(device))
    memory, major, minor = _Memory(), ctypes.c_int(), ctypes.c_int()
    capability: tuple[int, int] | None = None
    try:
        call("nvmlDeviceGetName", device, name, NVML_TEXT)
        call("nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
        call("nvmlDeviceGetCudaComputeCapability", device, ctypes.byref(major), ctypes.byref(minor))
        capability = (major.value, minor.value)
    except NvmlError:
        pass  # what it doesn't tell stays unknown; the plan says what follows
    return CardFacts(name.value.decode(errors="replace"), capability, memory.total)


# ---- nvidia-smi ----------------------------------------------------------------------------


def _ask_smi() -> tuple[str, tuple[CardFacts, ...], str] | None:
    """The same through the driver's own command; None where that doesn't work either."""
    query = "--query-gpu=driver_version,name,memory.total,compute_cap"
    try:
        done = patience.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            SMI_SECONDS,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return smi_answer(done.stdout.splitlines()) if done.returncode == 0 else None


def smi_answer(lines: Sequence[str]) -> tuple[str, tuple[CardFacts, ...], str] | None:
    """``driver, name, MiB, major.minor`` a line; None if there is no such line."""
    driver, cards = "", []
    for line in lines:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 4:
            continue
        driver, name, mib, capability = fields
        major, dot, minor = capability.partition(".")
        known = bool(dot) and major.isdecimal() and minor.isdecimal()
        cards.append(
            CardFacts(
                name,
                (int(major), int(minor)) if known else None,
                int(mib) * 2**20 if mib.isdecimal() else 0,
            )
        )
    return (driver, tuple(cards), "") if cards else None


# ---- the rest ------------------------------------------------------------------------------


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 6),
    )


def _ram() -> int:
    """What this process may use of it; a container may have less than the machine."""
    return min(_whole_ram(), cgroup.memory().total or _whole_ram())


def _whole_ram() -> int:
    if sys.platform == "win32":
        told = _MemoryStatus()
        told.length = ctypes.sizeof(told)
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(told))
        return int(told.total)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _compiler() -> bool:
    if platform.system() != "Linux":
        return platform.system() == "Windows"  # triton-windows brings its own
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return header.exists() and any(shutil.which(name) for name in ("cc", "gcc", "clang"))
