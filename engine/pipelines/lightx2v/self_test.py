"""What set-up asks of a new environment with an NVIDIA card: does torch compute, which kernels do?

``python -m engine.pipelines.lightx2v.self_test`` prints one JSON object: ``problem`` ("" if torch
computes on the GPU), ``left_out`` (optional packages that fail here, with the reason), ``works``
(kernels).
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from engine.errors import HeadroomError, first_line
from engine.install.plan import FP8_CAPABILITY, OPTIONAL
from engine.machine.facts import this_machine
from engine.pipelines.cuda import is_dead
from engine.plan.kernel_rows import LEAST_COSINE
from engine.presets import Architecture

SMALL = Architecture(
    layers=1, dim=512, ffn_dim=1024, heads=4, freq_dim=256, text_dim=512, text_len=32
)
TOKENS = 512


def main() -> int:
    os.environ.setdefault("PROFILING_DEBUG_LEVEL", "0")
    told = Told()
    with contextlib.redirect_stdout(sys.stderr):  # LightX2V prints while it is imported
        told.problem = product()
        if not told.problem:
            try:
                try_kernels(told)
            except HeadroomError as error:
                told.problem = str(error.sentence)
    sys.stdout.write(json.dumps(told.as_json()) + "\n")
    return 0


@dataclass
class Told:
    """What was found: kernels that work, and by package the ones that don't, with the reason."""

    problem: str = ""
    works: list[str] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    failed: dict[str, list[str]] = field(default_factory=dict)

    def attempt(self, package: str, kernel: str, run: Callable[[], float]) -> None:
        if is_dead():
            return  # the one before took the GPU with it: that tells nothing of this one
        try:
            cosine = run()
            why = "" if cosine >= LEAST_COSINE else f"{kernel} computes something else."
        except Exception as error:  # whatever a kernel raises means: not this one
            why = f"{kernel}: {first_line(error, type(error).__name__, 200)}"
        if why:
            self.failed.setdefault(package, []).append(why)
        else:
            self.works.append(kernel)
            self.working.add(package)

    def as_json(self) -> dict[str, object]:
        """A package is left out if none of its kernels works."""
        broken = [p for p in OPTIONAL if p in self.failed and p not in self.working]
        left_out = {package: " ".join(self.failed[package]) for package in broken}
        return {"problem": self.problem, "left_out": left_out, "works": self.works}


def product() -> str:
    """Why a product of two matrices can't be had from the GPU; "" if it is right."""
    try:
        if not torch.cuda.is_available():
            return "torch finds no usable GPU."
        a = torch.arange(256 * 256, device="cuda", dtype=torch.float32).reshape(256, 256) / 65536
        there, here = (a @ a).cpu(), a.cpu() @ a.cpu()
        torch.cuda.synchronize()
    except Exception as error:  # whatever CUDA raises means: not here
        return first_line(error, type(error).__name__, 200)
    return "" if torch.allclose(there, here, rtol=1e-2) else "the GPU's product is wrong."


def try_kernels(told: Told) -> None:
    """Call each kernel once and compare, as the worker will do again at the real shapes.

    Raises:
        HeadroomError: LightX2V can't be imported.
    """
    from engine.pipelines.lightx2v import kernels
    from engine.pipelines.lightx2v.loading import import_lightx2v

    packages = this_machine().packages
    if "sageattention" in packages:
        kernels.name_sage_1()  # before LightX2V is imported
    import_lightx2v()
    layer = kernels.Layer(SMALL.dim, SMALL.dim)
    fp8 = torch.cuda.get_device_capability() >= FP8_CAPABILITY
    for precision in ("fp8", "int8") if fp8 else ("int8",):
        for package, suffix in (("sglang-kernel", "sgl"), ("triton", "triton")):
            if package == "triton" or "sgl-kernel" in packages:
                name = f"{precision}-{suffix}"
                run = partial(kernels.try_matmul, name, precision, layer, "cuda")
                told.attempt(package, name, run)
    if "sageattention" in packages:
        attend = partial(kernels.try_attention, "sage_attn1", SMALL, "cuda", TOKENS)
        told.attempt("sageattention", "sage_attn1", attend)


if __name__ == "__main__":
    sys.exit(main())
