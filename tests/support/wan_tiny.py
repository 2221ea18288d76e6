"""The tiny model's requests, and a run that takes notes."""

from engine.pipelines.base import WORDS_ALONE, Cancelled, Pictures
from engine.presets import load_presets
from engine.request import ClipRequest
from engine.stages import Frames, Stage
from engine.text import Said

PRESETS = load_presets()


PRESET = PRESETS.models["wan-tiny"]
FROM_PICTURE = PRESETS.models["wan-tiny-i2v"]


class Notes:
    """A ``Run`` that notes everything and cancels at the ``stop``-th check."""

    def __init__(self, stop: int | None = None, pictures: Pictures = WORDS_ALONE) -> None:
        self.pictures = pictures
        self.stages: list[Stage] = []
        self.marks: list[tuple[Stage, float, int]] = []
        self.previews: list[Frames] = []
        self.checks: list[Stage] = []
        self.stop = stop

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.stages.append(stage)

    def advance(self, fraction: float, step: int = 0) -> None:
        self.marks.append((self.stages[-1], fraction, step))

    def preview(self, frames: Frames) -> None:
        self.previews.append(frames)

    def frames(self, part: Frames) -> None:
        raise AssertionError("all of its frames come at once")

    def check(self) -> None:
        self.checks.append(self.stages[-1])
        if self.stop is not None and len(self.checks) >= self.stop:
            raise Cancelled

    def occupied(self, doing: Said, seconds: float) -> None:
        raise AssertionError("nothing here takes long enough")


def request(
    prompt: str = "a red ball moves left", height: int = 64, width: int = 64, frames: int = 9
) -> ClipRequest:
    size = {"height": height, "width": width, "frames": frames}
    return ClipRequest.check({"prompt": prompt, **size}, PRESETS)


def picture_request(
    prompt: str = "it moves left", height: int = 64, width: int = 64, frames: int = 9
) -> ClipRequest:
    """A request for the model that begins with a picture; which one, its ``Notes`` say."""
    asked = {"prompt": prompt, "height": height, "width": width, "frames": frames}
    return ClipRequest.check({**asked, "model": FROM_PICTURE.id, "image": "0" * 64}, PRESETS)
