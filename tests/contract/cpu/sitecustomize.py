"""On PYTHONPATH of a test's processes: has the real LightX2V run on the CPU, whoever imports it.

Python imports this file when it starts; nothing happens until somebody imports ``lightx2v``.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _Prepared(Loader):
    """LightX2V's own loader, between preparing the CPU for it and shrinking what it brings."""

    def __init__(self, real: Loader) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        platform = importlib.import_module("tests.contract.cpu.cpu_platform")
        self._real.exec_module(module)
        platform.shrink()


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == "lightx2v" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Prepared(spec.loader)
        return spec


sys.meta_path.insert(0, _Finder())
