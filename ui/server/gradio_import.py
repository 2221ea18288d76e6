"""Imports Gradio without the half of that import that no page here has anything of."""

import importlib.abc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from engine.process.imports import import_large

# Each class of a component has its source parsed and a template rendered, at every start, to write
# the stub that an editor reads: 1.6 of 3.8 seconds of processor time.
STUBS = "gradio.component_meta", "create_or_modify_pyi"
# Imported wherever it is installed: another 0.6 seconds, and 24 MB.
MCP = "mcp"


def import_gradio(mcp: bool) -> None:
    """Import the package ``gradio``, unless it was before.

    Args:
        mcp: whether Gradio shall find the MCP SDK.
    """
    with _without_stubs(), _hidden(MCP, not mcp):
        import_large("gradio")


@contextmanager
def _hidden(package: str, hide: bool) -> Iterator[None]:
    """Within this, ``package`` seems to be missing, unless it is imported already."""
    hide = hide and package not in sys.modules
    if hide:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hide:
            del sys.modules[package]


@contextmanager
def _without_stubs() -> Iterator[None]:
    finder = _StubsLeftOut()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _StubsLeftOut(importlib.abc.MetaPathFinder):
    """Finds one module, which then writes no stubs: in a Gradio without it nothing is changed."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        where, writes = STUBS
        spec = PathFinder.find_spec(name, path, target) if name == where else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def without(module: ModuleType) -> None:
            execute(module)
            if hasattr(module, writes):
                setattr(module, writes, lambda *_: None)

        spec.loader.exec_module = without  # type: ignore[method-assign]
        return spec
