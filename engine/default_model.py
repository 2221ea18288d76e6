"""Which model makes a clip when nobody names one: the best that is ready on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.engine import Supervisor
from engine.errors import HeadroomError
from engine.guard.verdict import Word
from engine.presets import ModelPreset
from engine.request import ClipRequest, Size

FIRST = "fp8"  # the precision that the weights were made for, and the fastest


@dataclass(frozen=True)
class Usual:
    """A model, and why it is the usual one."""

    preset: ModelPreset
    reason: str

    @property
    def sentence(self) -> str:
        return f"The model is {self.preset.name}. {self.reason}"


def usual_model(supervisor: Supervisor) -> Usual:
    """A model for NVIDIA's GPUs that is ready, FP8 first, else the CPU default."""
    presets, missed = supervisor.presets, ""
    large = [preset for preset in presets.models.values() if preset.runs_on == "nvidia"]
    for preset in sorted(large, key=lambda preset: preset.precision != FIRST):
        why_not = _why_not(supervisor, preset)
        if not why_not:
            return Usual(preset, "It is ready, and this computer's GPU has room for it.")
        missed = missed or why_not
    return Usual(presets.default, f"It runs on any machine. {missed}".rstrip())


def asked_for(supervisor: Supervisor, raw: Mapping[str, object]) -> ClipRequest:
    """``ClipRequest.check`` for those who may leave the model out.

    Raises:
        RequestError: a field is refused.
    """
    model = raw.get("model")
    if model is None or model == "":
        model = usual_model(supervisor).preset.id
    return ClipRequest.check({**raw, "model": model}, supervisor.presets)


def can_run(supervisor: Supervisor, preset: ModelPreset) -> bool:
    """Whether it could make clips here; others may hold the memory for now."""
    return not _why_not(supervisor, preset)


def _why_not(supervisor: Supervisor, preset: ModelPreset) -> str:
    """What keeps ``preset`` from making clips here; "" if nothing does."""
    shape = preset.default
    size = Size(shape.height, shape.width, shape.frames)
    verdict = supervisor.guard.verdict(preset.id, size)
    if verdict.word is Word.IMPOSSIBLE and supervisor.guard.nearest(preset.id, size) is None:
        return verdict.reason
    try:
        supervisor.check_ready(preset.id)
    except HeadroomError as error:
        return error.sentence
    return ""
