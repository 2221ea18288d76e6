"""Lets ``import lightx2v`` succeed without the packages that text-to-video never calls.

LightX2V imports the runners of all its models at once, and with them readers of video files,
audio, detectors: some 160 packages, several without wheels for Windows. What is missing of those
below becomes an empty module, for LightX2V's own imports only; what is installed is left alone.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any, NoReturn

# Found by importing LightX2V f8aee98b without them; each is named by its top level.
NEVER_CALLED = frozenset({"torchvision", "decord", "torchaudio", "librosa", "soundfile"})


class Missing(Exception):
    """Something of a package that isn't installed was used after all."""


class _Nothing(ModuleType):
    """Any name imported from it is another nothing: enough for ``import`` and ``class A(B)``."""

    def __getattr__(self, name: str) -> "_Nothing":
        if name.startswith("__"):
            raise AttributeError(name)
        child = _Nothing(f"{self.__name__}.{name}")
        setattr(self, name, child)
        return child

    def __mro_entries__(self, _bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise Missing(f"{self.__name__} isn't installed, and text-to-video shouldn't call it")


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in NEVER_CALLED and _asked_by_lightx2v():
            return ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Nothing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


def install() -> None:
    """Stand in for what can't be found otherwise; a second call does nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())  # last: whatever is installed was found before


def _asked_by_lightx2v() -> bool:
    """Others look for these packages to learn what they may use: no stand-in for them."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None and str(frame.f_globals.get("__name__", "")).startswith("lightx2v")
