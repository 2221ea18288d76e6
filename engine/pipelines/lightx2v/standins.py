"""Lets LightX2V be imported for text-to-video without the 160 packages of all its models.

Two kinds stand in, found by importing commit f8aee98b without them:

* RUNNERS: LightX2V's own runners of other models, imported one by one in its pipeline.py. Without
  them it loads a third of its modules, in half of the time and with 100 MB less memory, and needs
  neither decord, torchaudio, opencv, accelerate nor diffusers. They stay for the process's life.
* PACKAGES: imported at the top of files that we need, for functions that text-to-video never
  calls. Other libraries look for them too, so they are gone once the import is done.
"""

import contextlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

_R = "lightx2v.models.runners."
RUNNERS = tuple(
    _R + name
    for name in (
        "ernie_image.ernie_image_runner",
        "flux2.flux2_runner",
        "hunyuan_video.hunyuan_video_15_runner",
        "lingbot_video.lingbot_video_runner",
        "longcat_image.longcat_image_runner",
        "ltx2.ltx25_runner",
        "ltx2.ltx2_runner",
        "minimax_h3.minimax_h3_runner",
        "neopp.neopp_runner",
        "qwen_image.qwen_image_runner",
        "seedvr.seedvr_runner",
        "swiftvr.swiftvr_runner",
        "wan.wan_animate2_runner",
        "wan.wan_animate_runner",
        "wan.wan_audio_runner",
        "wan.wan_lingbot_fast_runner",
        "wan.wan_lingbot_va_runner",
        "wan.wan_matrix_game2_runner",
        "wan.wan_matrix_game3_runner",
        "wan.wan_sf_runner",
        "wan.wan_vace_runner",
        "worldmirror.worldmirror_runner",
        "worldplay.worldplay_ar_runner",
        "worldplay.worldplay_bi_runner",
        "worldplay.worldplay_distill_runner",
        "z_image.z_image_runner",
    )
)
PACKAGES = (
    "torchvision",  # utils/utils.py:12, default_runner.py:8, wan_runner.py:6
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "imageio",  # utils/utils.py:6
    "imageio_ffmpeg",  # utils/utils.py:7: 68 MB, for files that our worker writes with PyAV
)


class StandInUsed(RuntimeError):
    """Something was called of which only a stand-in is here."""


class _Missing:
    """Whatever is asked of a stand-in: fine to name, an error to call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "_Missing":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self._name}.{name}")

    def __call__(self, *_: object, **__: object) -> object:
        raise StandInUsed(f"{self._name} was called, which text-to-video shouldn't do")


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self.__name__}.{name}")


@contextlib.contextmanager
def standing_in() -> Iterator[None]:
    """Import ``lightx2v`` within: what is missing of both kinds stands in, what is there stays."""
    _let_others_look()
    absent = {name: _is_absent(name.partition(".")[0]) for name in PACKAGES}
    borrowed = [name for name, gone in absent.items() if gone and name not in sys.modules]
    stand_in_for(RUNNERS)
    for name in borrowed:
        _register(name)
    try:
        yield
    finally:
        for name in borrowed:
            sys.modules.pop(name, None)


def stand_in_for(runners: Iterable[str]) -> None:
    """For those of these modules that aren't imported, for good."""
    for name in runners:
        if name not in sys.modules:
            _register(name)


def _let_others_look() -> None:
    """transformers and diffusers ask once which packages there are, and keep the answer."""
    with contextlib.suppress(ImportError):
        from transformers.utils import import_utils

        import_utils.is_torchvision_available()
    with contextlib.suppress(ImportError):
        import diffusers.utils.import_utils  # noqa: F401


def _is_absent(package: str) -> bool:
    return package not in sys.modules and importlib.util.find_spec(package) is None


def _register(name: str) -> None:
    module = _StandIn(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if isinstance(sys.modules.get(parent), _StandIn):
        setattr(sys.modules[parent], child, module)
