"""What changes clips: whatever is loaded, the preset of the change says what does it."""

import contextlib
from collections.abc import Callable, Mapping

from engine.machine.facts import package_version
from engine.pipelines.smooth.base import Interpolator
from engine.pipelines.weight_files import parts_of
from engine.presets import FamilyName, ModelPreset, load_presets
from engine.weights.checkpoint import WeightsMissing


def between_by(preset: ModelPreset) -> ModelPreset:
    """What makes frames between a clip's own where ``preset`` changes it: itself, or, as SeedVR2
    makes none, RIFE where its file is here, and FFmpeg where it isn't."""
    if preset.family != "seedvr":
        return preset
    changers = {one.family: one for one in load_presets().changers}
    with contextlib.suppress(WeightsMissing, KeyError):
        parts_of(changers["rife"])
        return changers["rife"]
    return changers["smooth"]


def made_between(preset: ModelPreset) -> Interpolator:
    """The one of ``preset``, which is ``between_by`` of some.

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


_BETWEEN: Mapping[FamilyName, Callable[[ModelPreset], Interpolator]] = {
    "smooth": _motion,
    "rife": _rife,
    "scripted": _motion,
}
# The packages that a receipt tells the version of.
_PACKAGES: Mapping[FamilyName, tuple[str, ...]] = {
    "smooth": ("av",),
    "rife": ("torch", "lightx2v"),
    "seedvr": ("torch", "lightx2v", "diffusers"),
}
