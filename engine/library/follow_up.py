"""What follows a clip by itself: another version of it, queued in the moment that it is kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.library.larger import by_name, fits
from engine.library.versions import Changers, Original, Wanted, version_of
from engine.library.video import LONGEST, Video
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.timing import steady


@dataclass(frozen=True)
class FollowUp:
    """``fps`` frames a second by the model ``model``, of a clip that has ``rate``; or, by the model
    ``enlarger``, a shorter side of ``side`` pixels as well. 0 leaves it as it is."""

    model: str
    fps: int
    rate: int
    side: int = 0
    enlarger: str = ""

    @classmethod
    def of(
        cls, made_by: ModelPreset, changers: Changers, fps: int = 0, side: int = 0
    ) -> "FollowUp | None":
        """By ``changers``; None where the clips of ``made_by`` have as many frames a second and are
        to be no larger."""
        fps = fps if fps > made_by.fps else 0
        if not (fps or side):
            return None
        enlarger = changers.by(bool(fps), larger=True).id if side else ""
        return cls(changers.smoother.id, fps, made_by.fps, side, enlarger)

    def to_row(self) -> str:
        return json.dumps(asdict(self))

    def request(self, receipt: Mapping[str, Any], digest: str) -> ClipRequest | None:
        """For the clip that has this ``receipt``, and whose file this SHA-256; None where it is too
        long for that, as one may be that is joined of several, or as large already."""
        made = receipt["request"]
        times, end = steady(int(receipt.get("frames") or made["frames"]), self.rate)
        if end > LONGEST:
            return None
        video = Video(made["width"], made["height"], tuple(times), end, has_sound=False)
        original = Original(digest, video, made["prompt"], receipt["seed"])
        picture = by_name(video, self.side) if self.side else None
        if picture is not None and not fits(video, picture):
            picture = None  # it is as large already
        if picture is None and not self.fps:
            return None
        model = self.model if picture is None else self.enlarger
        return version_of(original, model, Wanted(self.fps or None, picture))


def from_text(text: str) -> FollowUp | None:
    return FollowUp(**json.loads(text)) if text else None
