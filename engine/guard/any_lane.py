"""The guard of several lanes: a size is open where one of them can make it, and it says which."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.guard.duration import Duration
from engine.guard.predict import Rules
from engine.guard.verdict import Verdict
from engine.guard.verdicts import NotHere, Verdicts
from engine.measurements import MeasurementRow
from engine.presets import Presets
from engine.request import Size
from engine.text import Said, Text, joined, listed


@dataclass(frozen=True)
class Judge:
    """A lane's guard. ``title`` is what people call the lane; ``suits``: whether it makes what a
    model makes."""

    title: Said
    guard: Verdicts
    suits: Callable[[str], bool]


class AnyLane(Verdicts):
    """See the module's docstring; any thread may ask. What isn't by size is the first lane's."""

    def __init__(self, presets: Presets, lanes: Sequence[Judge]) -> None:
        super().__init__(presets)
        self._lanes = lanes

    def verdicts(self, model: str, sizes: Iterable[Size]) -> dict[Size, Verdict]:
        wanted = list(sizes)
        found = [(lane.title, lane.guard.verdicts(model, wanted)) for lane in self._of(model)]
        return {size: _best([(title, told[size]) for title, told in found]) for size in wanted}

    def durations(self, model: str, sizes: Iterable[Size]) -> dict[Size, Duration | None]:
        """Of the fastest lane where a size is open; where it is in none, of whichever knows."""
        wanted = list(sizes)
        told: dict[Size, list[tuple[bool, Duration]]] = {size: [] for size in wanted}
        for lane in self._of(model):
            verdicts = lane.guard.verdicts(model, wanted)
            for size, took in lane.guard.durations(model, wanted).items():
                if took is not None:
                    told[size].append((not verdicts[size].open, took))
        return {
            size: min(known, key=lambda one: (one[0], one[1].seconds))[1] if known else None
            for size, known in told.items()
        }

    def check_here(self, model: str) -> None:
        first: NotHere | None = None
        for lane in self._of(model):
            try:
                lane.guard.check_here(model)
                return
            except NotHere as error:
                first = first or error
        assert first is not None
        raise first

    def rules(self, model: str) -> Rules:
        return self._of(model)[0].guard.rules(model)

    def rows(self, model: str) -> list[MeasurementRow]:
        return self._of(model)[0].guard.rows(model)

    def of_job(self, job: int) -> list[MeasurementRow]:
        return self._lanes[0].guard.of_job(job)

    def last_seconds(self, model: str, size: Size) -> Mapping[str, float]:
        told = (lane.guard.last_seconds(model, size) for lane in self._of(model))
        return next((seconds for seconds in told if seconds), {})

    def budget(self, model: str) -> int:
        return max(lane.guard.budget(model) for lane in self._of(model))

    def _of(self, model: str) -> list[Judge]:
        """The lanes that make what ``model`` makes, each on its own device."""
        return [lane for lane in self._lanes if lane.suits(model)] or [self._lanes[0]]


def _best(told: Sequence[tuple[Said, Verdict]]) -> Verdict:
    """The best verdict, with the lanes' names where it isn't that of all."""
    best = min((verdict for _, verdict in told), key=lambda verdict: verdict.word.rank)
    where = [title for title, verdict in told if verdict.word is best.word]
    if len(where) == len(told):
        return best
    return replace(best, reason=joined(best.reason, Text("guard.only_there", lanes=listed(*where))))
