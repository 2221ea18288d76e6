"""What changes clips: whatever is loaded, the preset of the change says what does it."""

import contextlib
from collections.abc import Callable, Mapping

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
    return _DESCRIBED[preset.family](preset)


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


def _of_seedvr(preset: ModelPreset) -> dict[str, str]:
    from engine.pipelines.seedvr import pipeline

    return pipeline.described(preset)


def _of_smooth(preset: ModelPreset) -> dict[str, str]:
    from engine.pipelines.smooth import pipeline

    return pipeline.described(preset)


def _of_rife(preset: ModelPreset) -> dict[str, str]:
    from engine.pipelines.rife import pipeline

    return pipeline.described(preset)


_BETWEEN: Mapping[FamilyName, Callable[[ModelPreset], Interpolator]] = {
    "smooth": _motion,
    "rife": _rife,
    "seedvr": _beside_seedvr,
    "scripted": _motion,
}
_DESCRIBED: Mapping[FamilyName, Callable[[ModelPreset], dict[str, str]]] = {
    "smooth": _of_smooth,
    "rife": _of_rife,
    "seedvr": _of_seedvr,
    "scripted": lambda preset: {"label": preset.summary},
}
