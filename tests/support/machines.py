"""Machines that a test writes: what plans are made for, without any of it here."""

from dataclasses import replace

from engine.machine.facts import GpuFacts, Machine

GIB, MIB = 2**30, 2**20
RTX_4060_TI = GpuFacts("RTX 4060 Ti", "GPU-4060", (8, 9), 16_380 * MIB, "581.57", 0)
TORCH = {"torch": "2.11.0+cu130", "lightx2v": "0.1.0"}
LINUX = Machine("Linux 6.8", "Ryzen", 8, round(31.2 * GIB), "3.12.3", "x86_64", RTX_4060_TI, TORCH)
WINDOWS = replace(
    LINUX, system="Windows 11", architecture="AMD64", packages={**TORCH, "triton": "3.8.0.post29"}
)


def with_gpu(
    machine: Machine, name: str, capability: tuple[int, int] | None, gib: float
) -> Machine:
    gpu = replace(RTX_4060_TI, name=name, capability=capability, total=round(gib * GIB))
    return replace(machine, gpu=gpu)


def with_packages(machine: Machine, **versions: str) -> Machine:
    """``sgl_kernel="0.4.4"`` installs "sgl-kernel"."""
    more = {name.replace("_", "-"): version for name, version in versions.items()}
    return replace(machine, packages={**machine.packages, **more})
