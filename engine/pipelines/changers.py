"""What changes clips: whatever is loaded, the preset of the change says what does it."""

from collections.abc import Callable, Mapping

from engine.pipelines.smooth.base import Interpolator
from engine.presets import FamilyName, ModelPreset


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


def _of_smooth(preset: ModelPreset) -> dict[str, str]:
    from engine.pipelines.smooth import pipeline

    return pipeline.described(preset)


def _of_rife(preset: ModelPreset) -> dict[str, str]:
    from engine.pipelines.rife import pipeline

    return pipeline.described(preset)


_BETWEEN: Mapping[FamilyName, Callable[[ModelPreset], Interpolator]] = {
    "smooth": _motion,
    "rife": _rife,
}
_DESCRIBED: Mapping[FamilyName, Callable[[ModelPreset], dict[str, str]]] = {
    "smooth": _of_smooth,
    "rife": _of_rife,
}
