"""Builds the stand-in for NVIDIA's NVML library and writes its script.

A program started under ``Standin.environment()`` finds it as ``libnvidia-ml.so.1`` and makes real
ctypes calls into it. The script is a text file; ``gpu`` begins a GPU, what stands before the first
belongs to the machine. Names are hexadecimal, so that a test can use any bytes:

    driver HEX | generation N | error KEY CODE
    gpu | name HEX | uuid HEX | memory TOTAL_MIB USED_MIB | utilisation % | temperature C
    power MILLIWATTS LIMIT | pcie WIDTH MAX | capability MAJOR MINOR | cores N | display 0/1
    mig 0/1 (of cards that can be sliced)
    process GRAPHICS PID MIB HEX          (MIB -1: not available)
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("nvml_standin.c")
LIBRARY = "libnvidia-ml.so.1"

Errors = Mapping[str, int]


@dataclass(frozen=True)
class Process:
    """``used_mib`` None: the driver doesn't tell; "" as ``name``: nor does it know the name."""

    pid: int
    name: str | bytes
    used_mib: int | None
    graphics: bool = False


@dataclass(frozen=True)
class ScriptedGpu:
    """An RTX 4060 Ti of 16 GB, unless told otherwise. Power in watts.

    ``errors`` maps a query to NVML's error code. Queries: handle, name, uuid, memory, utilisation,
    temperature, power, power_limit, pcie_width, pcie_width_max, capability, cores, display, mig,
    processes. ``mig`` None: it can't be sliced, as no GeForce can.
    """

    name: str | bytes = "NVIDIA GeForce RTX 4060 Ti"
    uuid: str = "GPU-4060f11e-0000-4000-8000-000000000000"
    total_mib: int = 16_380
    used_mib: int = 1_200
    utilisation: int = 3
    temperature: int = 41
    power: float = 32.5
    power_limit: float = 165.0
    pcie_width: int = 8
    pcie_width_max: int = 8
    capability: tuple[int, int] = (8, 9)
    cores: int = 4_352
    display: bool = True
    mig: bool | None = None
    processes: Sequence[Process] = ()
    errors: Errors = field(default_factory=dict)

    def lines(self) -> list[str]:
        return [
            "gpu",
            f"name {_hex(self.name)}",
            f"uuid {_hex(self.uuid)}",
            f"memory {self.total_mib} {self.used_mib}",
            f"utilisation {self.utilisation}",
            f"temperature {self.temperature}",
            f"power {self.power * 1000:.0f} {self.power_limit * 1000:.0f}",
            f"pcie {self.pcie_width} {self.pcie_width_max}",
            f"capability {self.capability[0]} {self.capability[1]}",
            f"cores {self.cores}",
            f"display {self.display:d}",
            *([] if self.mig is None else [f"mig {self.mig:d}"]),
            *(
                f"process {process.graphics:d} {process.pid} "
                f"{-1 if process.used_mib is None else process.used_mib} {_hex(process.name)}"
                for process in self.processes
            ),
            *_error_lines(self.errors),
        ]


class Standin:
    """A scripted machine: ``write`` changes it while programs run under ``environment``."""

    def __init__(self, folder: Path) -> None:
        """``folder`` holds the library that ``build`` compiled, and gets the script."""
        self._folder = folder
        self._script = folder / "script.txt"
        self.write()

    def write(
        self,
        *,
        used_mib: int = 1_200,
        processes: Sequence[Process] = (),
        errors: Errors | None = None,
        gpus: Sequence[ScriptedGpu] | None = None,
        driver: str = "581.57",
        generation: int = 0,
    ) -> None:
        """Replace the whole script, at once for every reader.

        Args:
            used_mib: in use on the default GPU, by everybody together.
            processes: who holds memory on the default GPU; not added to ``used_mib``.
            errors: query to NVML error code, for the machine: those of ScriptedGpu, and init,
                count, driver, process_name.
            gpus: instead of the one default GPU; its own used, processes and errors count.
            driver: the version the driver says.
            generation: another number is a reloaded driver; calls fail until the next nvmlInit.
        """
        if gpus is None:
            gpus = [ScriptedGpu(used_mib=used_mib, processes=processes)]
        lines = [f"driver {_hex(driver)}", f"generation {generation}", *_error_lines(errors or {})]
        for gpu in gpus:
            lines += gpu.lines()
        fresh = self._script.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._script)

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment, with the stand-in in it and nothing that chooses a GPU."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in ("HEADROOM_GPU", "CUDA_VISIBLE_DEVICES")
        }
        before = os.environ.get("LD_LIBRARY_PATH")
        path = f"{self._folder}{os.pathsep}{before}" if before else str(self._folder)
        return {**kept, "LD_LIBRARY_PATH": path, "NVML_STANDIN": str(self._script), **more}


def build(folder: Path) -> Path:
    """Compile the library into ``folder`` and return its path; skips without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or os.name == "nt":
        pytest.skip("the stand-in for NVML needs a C compiler and a Unix")
    library = folder / LIBRARY
    command = [compiler, "-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", str(library), str(SOURCE)], check=True)
    return library


def _hex(text: str | bytes) -> str:
    return (text.encode() if isinstance(text, str) else text).hex()


def _error_lines(errors: Errors) -> list[str]:
    return [f"error {query} {code}" for query, code in errors.items()]
