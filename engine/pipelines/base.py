"""The protocol between the worker and a pipeline: load once, generate often, say what you do."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.errors import HeadroomError
from engine.plan.choice import Plan
from engine.presets import FamilyName, ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames, Memory, Stage
from engine.text import Said

Frame = NDArray[np.uint8]  # [height, width, 3], RGB


class Cancelled(Exception):
    """Raised by ``Run.check`` inside the pipeline once the user has cancelled."""


class PipelineError(HeadroomError):
    """The pipeline can't be loaded, or failed while it made a clip."""


class OutOfMemory(PipelineError):
    """A memory ran out; the worker that met it is replaced rather than trusted."""

    def __init__(self, sentence: Said, remedy: Said, memory: Memory = "RAM") -> None:
        super().__init__(sentence, remedy)
        self.memory = memory


class Broken(PipelineError):
    """What failed took the process with it, as an illegal access on a GPU does: every later call
    fails too, so the worker is replaced and the clip tried once more."""


@dataclass(frozen=True)
class Pictures:
    """What a clip begins and ends with: uint8 [height, width, 3], RGB, of the clip's size. Without
    a first one there is no last one."""

    first: Frames | None = None
    last: Frames | None = None


WORDS_ALONE = Pictures()


class Run(Protocol):
    """One clip in the making, as the pipeline sees it."""

    @property
    def pictures(self) -> Pictures:
        """What the request names, cut to its size. Of a model that begins with one there always is
        a first: a probe, which has none, gets any."""

    def stage(self, stage: Stage, steps: int = 0) -> None:
        """A stage begins; ``steps`` is how many denoise steps it has."""

    def advance(self, fraction: float, step: int = 0) -> None:
        """So much of the stage is done (0 to 1); ``step`` counts the finished denoise steps."""

    def preview(self, frames: Frames) -> None:
        """A rough look at the clip: uint8 [frames, height, width, 3], as small as it comes."""

    def frames(self, part: Frames) -> None:
        """The clip's next frames, while later ones are still being decoded: uint8 [frames, height,
        width, 3], which ``generate`` returns as well and nobody changes any more. Not every
        pipeline has some before the last."""

    def check(self) -> None:
        """Raise Cancelled if the user has cancelled. Cheap: call it before every block."""

    def occupied(self, doing: Said, seconds: float) -> None:
        """What comes now can't be interrupted: no ``check`` for up to so many seconds.

        ``doing`` completes "Cancel waits while ...". It holds until the next ``advance`` or
        ``stage``.
        """


class StageMeter(Protocol):
    """The memory that a pipeline runs in: each stage's peak, and a ceiling. Bytes.

    ``caps_clips``: clips run under the ceiling too, not only probes. ``device``: its name.
    """

    caps_clips: bool
    device: str

    def held(self) -> int | None:
        """What this process holds now, where nobody else can tell; any thread may ask."""

    def reset(self) -> None:
        """A stage begins: forget the peak so far."""

    def peak(self) -> int:
        """The most that this process held since ``reset``, as the device's budget counts it."""

    def ceiling(self, budget: int) -> AbstractContextManager[object]:
        """Within it an allocation beyond ``budget`` fails, as it would on a full device."""


class Vocabulary(Protocol):
    """The words that a model understands, where they can be told."""

    EXAMPLES: tuple[str, ...]

    def known_words(self) -> Mapping[str, tuple[str, ...]]:
        """By group, the most usual first."""

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Those of ``prompt`` that the model can do nothing with, each once."""


@dataclass(frozen=True)
class Family:
    """Models that share inputs and code; a preset names the one that it belongs to.

    ``here``: whether this installation has what drives it. ``vocabulary``: None where the model
    takes any words. ``upstream``: whether LightX2V drives it, which the benchmark can then run by
    itself as well. ``pipeline``: module and class, imported by the worker alone.
    """

    name: FamilyName
    pipeline: tuple[str, str]
    here: Callable[[], bool]
    vocabulary: Vocabulary | None = None
    upstream: bool = False


@runtime_checkable
class HasDrafts(Protocol):
    """A pipeline of a family whose models have drafts: the same files, run otherwise."""

    def become(self, preset: ModelPreset, plan: Plan) -> Plan:
        """Go on as ``preset``, which has the files that are loaded.

        Args:
            plan: the loaded one but for ``SWITCHED`` (engine/plan/lightx2v.py).

        Returns:
            The plan as it runs, as ``Pipeline.load``.

        Raises:
            PipelineError: as ``Pipeline.load``; the process isn't used any more.
        """


@runtime_checkable
class Enlarges(Protocol):
    """A pipeline of a family that makes a clip's pictures larger by what it has loaded."""

    preset: ModelPreset

    @property
    def parts(self) -> Mapping[str, Mapping[str, float]]:
        """Of the last clip: seconds and peak bytes of what is one stage to whoever waits."""

    def enlarge(
        self, frames: Iterable[Frame], request: ClipRequest, count: int, seed: int, run: Run
    ) -> Iterator[Frame]:
        """``count`` pictures, as many as ``frames`` has, in the size of ``request``.

        Raises:
            As ``Pipeline.generate``.
        """


class Pipeline(Protocol):
    """What a model needs to have to be driven by the worker."""

    meter: StageMeter

    def load(self, plan: Plan) -> Plan:
        """Read the weights and be ready for ``generate``.

        Returns:
            The plan as it runs: a choice that this machine doesn't bear out is replaced, with the
            reason.

        Raises:
            PipelineError: with the remedy, before anything half-loaded is used.
        """

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        """Make the clip.

        Args:
            steps: fewer denoise steps than the preset's: a probe takes one, because memory
                doesn't depend on their number.

        Returns:
            uint8 [frames, height, width, 3], RGB.

        Raises:
            Cancelled: soon after ``run.check`` first could raise it; the pipeline stays usable.
            OutOfMemory, Broken: the worker is restarted afterwards.
        """

    def describe(self) -> Mapping[str, Said]:
        """What runs: package versions by name, ``label``, one honest sentence for the page, and
        perhaps ``notice``, what loading found that the user should know."""
