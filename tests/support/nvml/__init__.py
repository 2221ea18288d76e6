"""A stand-in for NVIDIA's management library, for tests on machines without a GPU."""

from tests.support.nvml.standin import Process, ScriptedGpu, Standin, build

__all__ = ["Process", "ScriptedGpu", "Standin", "build"]
