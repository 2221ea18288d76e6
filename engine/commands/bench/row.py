"""One number of the benchmark, beside what it is held against; and what its parts share."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from engine.errors import ExitCode, HeadroomError

Say = Callable[[str], None]
IDLE, IDLE_REACH = "idle between two clips of a queue", 0.3  # of both parts that make clips


class BenchError(HeadroomError):
    """The benchmark can't begin."""

    exit_code = ExitCode.BAD_INPUT


class BenchFailed(HeadroomError):
    """Something failed, or ended, while it was measured."""


@dataclass(frozen=True)
class BenchRow:
    """``reach`` is the design's limit for ``ratio``, or for ``value`` where there is no reference;
    None where the design sets none."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    against: str = ""
    reach: float | None = None
    told: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.reference else round(self.value / self.reference, 3)

    @property
    def reached(self) -> bool | None:
        if self.reach is None:
            return None
        compared = self.value if self.ratio is None else self.ratio
        return compared <= self.reach

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}

    def line(self) -> str:
        """For a person."""
        text = f"{self.name:<40} {self.value:>9g} {self.unit}"
        if self.ratio is not None:
            text += f"  {self.ratio:g} × {self.against} ({self.reference:g} {self.unit})"
        if self.reach is not None:
            text += f"  {'reached' if self.reached else 'NOT reached'}: {self.reach:g}"
        return f"{text}  {self.told}".rstrip()


def median(seconds: Iterable[float]) -> float:
    return round(statistics.median(seconds), 4)
