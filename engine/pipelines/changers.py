"""What changes clips: whatever is loaded, the preset of the change says what does it."""

import contextlib
from collections.abc import Callable, Mapping

from engine.machine.facts import package_version
from engine.pipelines.smooth.base import Interpolator
from engine.presets import FamilyName, ModelPreset, load_presets
from engine.weights.checkpoint import WeightsMissing


def made_between(preset: ModelPreset) -> Interpolator:
    """What makes frames between a clip's own for ``preset``.

    Raises:
        PipelineError: it can't work here.
        WeightsMissing: its file isn't there.
    """
    return _BETWEEN[preset.family](preset)


def described(preset: ModelPreset) -> dict[str, str]:
    """What runs, as ``Pipeline.describe``."""
    names = _PACKAGES.get(preset.family, ())
    found = {name: told for name in names if (told := package_version(name))}
    return {"label": preset.summary, **found}


def _motion(preset: ModelPreset) -> Interpolator:
    from engine.pipelines.smooth.motion import Motion

    return Motion()


def _rife(preset: ModelPreset) -> Interpolator:
    from engine.pipelines.rife.between import Rife  # with torch

    return Rife(preset)


def _beside_seedvr(preset: ModelPreset) -> Interpolator:
    """RIFE where its file is here."""
    rife = next((one for one in load_presets().changers if one.family == "rife"), None)
    if rife is not None:
        with contextlib.suppress(WeightsMissing):
            return _rife(rife)
    return _motion(preset)


_BETWEEN: Mapping[FamilyName, Callable[[ModelPreset], Interpolator]] = {
    "smooth": _motion,
    "rife": _rife,
    "seedvr": _beside_seedvr,
    "scripted": _motion,
}
# The packages that a receipt tells the version of.
_PACKAGES: Mapping[FamilyName, tuple[str, ...]] = {
    "smooth": ("av",),
    "rife": ("torch", "lightx2v"),
    "seedvr": ("torch", "lightx2v", "diffusers"),
}
