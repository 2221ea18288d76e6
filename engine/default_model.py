"""Which model makes a clip when nobody names one: the best that is ready on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Word
from engine.presets import ModelPreset
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Text, as_text, joined

FIRST = "fp8"  # the precision that the weights were made for, and the fastest


@dataclass(frozen=True)
class DefaultModel:
    """A model, and why it is the usual one."""

    preset: ModelPreset
    reason: Text

    @property
    def sentence(self) -> Text:
        return joined(Text("default_model.is", model=self.preset.name), self.reason)


def default_model(engine: Engine) -> DefaultModel:
    """A model for NVIDIA's GPUs that is ready, FP8 first, else the CPU default."""
    presets, missed = engine.presets, NOTHING
    large = [preset for preset in presets.models.values() if preset.runs_on == "nvidia"]
    for preset in sorted(large, key=lambda preset: preset.precision != FIRST):
        why_not = _why_not(engine, preset)
        if not why_not:
            return DefaultModel(preset, Text("default_model.ready"))
        missed = missed or why_not
    return DefaultModel(presets.default, joined(Text("default_model.anywhere"), missed))


def asked_for(engine: Engine, raw: Mapping[str, object]) -> ClipRequest:
    """``ClipRequest.check`` for those who may leave the model out.

    Raises:
        RequestError: a field is refused.
    """
    model = raw.get("model")
    if model is None or model == "":
        model = default_model(engine).preset.id
    return ClipRequest.check({**raw, "model": model}, engine.presets)


def can_run(engine: Engine, preset: ModelPreset) -> bool:
    """Whether it could make clips here; others may hold the memory for now."""
    return not _why_not(engine, preset)


def _why_not(engine: Engine, preset: ModelPreset) -> Text:
    """What keeps ``preset`` from making clips here; NOTHING if nothing does."""
    shape = preset.default
    size = Size(shape.height, shape.width, shape.frames)
    verdict = engine.guard.verdict(preset.id, size)
    if verdict.word is Word.IMPOSSIBLE and engine.guard.nearest(preset.id, size) is None:
        return as_text(verdict.reason)
    try:
        engine.check_ready(preset.id)
    except HeadroomError as error:
        return error.sentence
    return NOTHING
