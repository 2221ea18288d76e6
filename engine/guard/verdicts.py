"""What whoever asks for a clip wants to know of its size, in one lane or in any: the verdict,
whether it may be asked for, what else would be open."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from engine.errors import ExitCode, HeadroomError
from engine.guard.climb import nearest_open
from engine.guard.duration import Duration
from engine.guard.predict import Rules
from engine.guard.verdict import Verdict, Word
from engine.measurements import MeasurementRow
from engine.pipelines import is_here, why_not_here
from engine.presets import Presets
from engine.request import ClipRequest, Size
from engine.text import Text, joined, programs


class Refused(HeadroomError):
    """The guard doesn't let a request run; ``verdict`` and ``nearest`` say why and what would."""

    exit_code = ExitCode.REFUSED

    def __init__(self, size: Size, verdict: Verdict, nearest: Size | None, fps: int) -> None:
        remedy = verdict.remedy
        if nearest is not None:
            remedy = joined(remedy, Text("guard.nearest_open", size=nearest.text(fps)))
        told = size.text(fps)
        why = Text("guard.refused", size=told, verdict=verdict.word.text, reason=verdict.reason)
        super().__init__(why, remedy)
        self.size, self.verdict, self.nearest = size, verdict, nearest


class NotHere(HeadroomError):
    """The model's engine isn't part of this installation."""

    exit_code = ExitCode.SETUP_MISSING


class Verdicts(ABC):
    """See the module's docstring; any thread may ask."""

    def __init__(self, presets: Presets) -> None:
        self._presets = presets

    @abstractmethod
    def verdicts(self, model: str, sizes: Iterable[Size]) -> dict[Size, Verdict]:
        """One look at the memory and the history, many sizes."""

    @abstractmethod
    def rules(self, model: str) -> Rules:
        """What the model's preset says of memory, as it is to be run here."""

    @abstractmethod
    def durations(self, model: str, sizes: Iterable[Size]) -> dict[Size, Duration | None]:
        """How long a clip of each will take here."""

    @abstractmethod
    def rows(self, model: str) -> list[MeasurementRow]:
        """What was measured with the present fingerprint, oldest first."""

    @abstractmethod
    def of_job(self, job: int) -> list[MeasurementRow]:
        """What one job measured, in its order."""

    @abstractmethod
    def last_seconds(self, model: str, size: Size) -> Mapping[str, float]:
        """Seconds by stage of the newest clip of this size; empty if there is none."""

    @abstractmethod
    def budget(self, model: str) -> int:
        """Bytes that the model may take now; 0 where its device isn't there."""

    def verdict(self, model: str, size: Size) -> Verdict:
        return self.verdicts(model, [size])[size]

    def admit(self, request: ClipRequest, may_wait: bool = False) -> None:
        """Let ``request`` pass.

        Args:
            may_wait: also where only others' use is in the way; the queue waits for its end.

        Raises:
            NotHere: its engine isn't installed.
            Refused: its size isn't open now.
        """
        verdict = self.verdict(request.model, request.size)
        if not (verdict.open or (may_wait and verdict.word is Word.BUSY)):
            nearest = self.nearest(request.model, request.size)
            fps = request.fps or self._presets.models[request.model].fps
            raise Refused(request.size, verdict, nearest, fps)
        self.check_here(request.model)

    def check_here(self, model: str) -> None:
        """Raises NotHere unless the pipeline of ``model`` is part of this installation."""
        preset = self._presets.models[model]
        if not is_here(preset):
            raise NotHere(*why_not_here(preset))

    def nearest(self, model: str, wanted: Size) -> Size | None:
        """The open size most like ``wanted``, among those on offer and shorter ones of its own."""
        candidates = set(self.offered(model))
        shortest = self._presets.models[model].limits.frames.min
        first = shortest + (1 - shortest) % 4
        candidates |= {Size(wanted.height, wanted.width, n) for n in range(first, wanted.frames, 4)}
        verdicts = self.verdicts(model, candidates)
        return nearest_open(wanted, candidates, {s: v.open for s, v in verdicts.items()})

    def offered(self, model: str) -> list[Size]:
        """Every size that the page offers, and the baseline."""
        presets = self._presets
        sizes = [
            Size(size.height, size.width, frames)
            for size in presets.sizes_for(model)
            for frames in presets.frames_for(model)
        ]
        return list(dict.fromkeys([*sizes, self.rules(model).baseline]))

    def told(self, model: str, size: Size) -> Text:
        """``size`` as people read it."""
        return size.text(self._presets.models[model].fps)


def verdict_json(size: Size, verdict: Verdict, nearest: Size | None) -> dict[str, object]:
    """A verdict as ``check --json`` prints it."""
    return {
        "verdict": verdict.word.value,
        **programs("reason", verdict.reason),
        **programs("remedy", verdict.remedy),
        "basis": verdict.basis,
        "predicted_peak_bytes": verdict.peak,
        "budget_bytes": verdict.budget,
        "tokens": size.tokens,
        "nearest_open": nearest and asdict(nearest),
    }
