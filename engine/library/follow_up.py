"""What follows a clip by itself: another version of it, queued in the moment that it is kept."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from engine.library.versions import Original, version_of
from engine.library.video import LONGEST, Video
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.timing import steady


@dataclass(frozen=True)
class FollowUp:
    """``fps`` frames a second by the model ``model``, of a clip that has ``rate``."""

    model: str
    fps: int
    rate: int

    @classmethod
    def smooth(cls, made_by: ModelPreset, smoother: ModelPreset, fps: int) -> "FollowUp | None":
        """None where the clips of ``made_by`` have as many frames a second."""
        return cls(smoother.id, fps, made_by.fps) if fps > made_by.fps else None

    def to_row(self) -> str:
        return json.dumps(asdict(self))

    def request(self, receipt: Mapping[str, Any], digest: str) -> ClipRequest | None:
        """For the clip that has this ``receipt``, and whose file this SHA-256; None where it is too
        long for that, as one may be that is joined of several."""
        made = receipt["request"]
        times, end = steady(int(receipt.get("frames") or made["frames"]), self.rate)
        if end > LONGEST:
            return None
        video = Video(made["width"], made["height"], tuple(times), end, has_sound=False)
        original = Original(digest, video, made["prompt"], receipt["seed"])
        return version_of(original, self.model, self.fps)


def from_text(text: str) -> FollowUp | None:
    return FollowUp(**json.loads(text)) if text else None
