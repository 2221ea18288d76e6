"""How far the running clip is and how long it will take, from its own pace and from the past."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.stages import CHANGES, Stage, way_of
from engine.worker.messages import Advance


@dataclass(frozen=True)
class TimeLeft:
    """Seconds; ``at_least`` where a later stage has never been timed at this size."""

    seconds: float
    at_least: bool


@dataclass(frozen=True)
class Progress:
    """The running job's stage. ``since`` is when it was first heard of, on ``time.monotonic``'s
    clock, and ``begun`` the fraction that was done by then: a clip may be begun before it is
    claimed."""

    job: int
    stage: Stage = "load"
    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    since: float = field(default_factory=time.monotonic)
    begun: float = 0.0

    def told(self, message: Advance) -> "Progress":
        """This progress after one more message from the worker."""
        same = message.stage == self.stage
        return replace(
            self,
            stage=message.stage,
            fraction=message.fraction,
            step=message.step,
            steps=message.steps,
            since=self.since if same else time.monotonic(),
            begun=self.begun if same else message.fraction,
        )

    def time_left(self, past: Mapping[str, float], now: float | None = None) -> TimeLeft | None:
        """From the stage's own pace once a step is done, else from ``past``.

        Args:
            past: seconds by stage of an earlier clip of this model and size; may be empty.
        """
        elapsed = (time.monotonic() if now is None else now) - self.since
        has_pace = self.step > 0 if self.stage == "denoise" else self.stage in CHANGES
        done = self.fraction - self.begun
        if has_pace and done > 0:
            here = elapsed * (1 - self.fraction) / done
        elif self.stage in past:
            here = max(0.0, past[self.stage] * (1 - self.begun) - elapsed)
        else:
            return None
        way = way_of((self.stage, *past))
        later = way[way.index(self.stage) + 1 :]
        known = [past[stage] for stage in later if stage in past]
        return TimeLeft(here + sum(known), at_least=len(known) < len(later))

    @property
    def total(self) -> float:
        """0 to 1 over the whole clip, for a bar: denoising is most of the work."""
        share = {
            "load": 0.0,
            "encode": 0.02,
            "picture": 0.03,
            "denoise": 0.7,
            "decode": 0.22,
            "smooth": 0.97,
            "enlarge": 0.97,
            "save": 0.03,
        }
        way = way_of((self.stage,))
        done = sum(share[stage] for stage in way[: way.index(self.stage)])
        return min(1.0, done + share[self.stage] * self.fraction)
