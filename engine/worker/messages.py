"""What crosses the pipe between the supervisor and its worker: plain values, nothing cleverer.

Both ends are the same program, so pickling them by ``multiprocessing``'s connection is safe.
"""

from dataclasses import dataclass
from typing import Any, Literal

from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.process.loops import Name
from engine.request import ClipRequest
from engine.stages import Memory, Stage
from engine.text import NOTHING, Text

# ---- to the worker -------------------------------------------------------------------------


@dataclass(frozen=True)
class Generate:
    """Make this clip; write it to ``partial`` (and its poster beside it), never elsewhere.

    ``ceiling``: bytes that it may take; a GPU's driver would else spill into the RAM unasked.
    ``embed``: whether the MP4 holds the receipt. ``own``: whether it is the owner's: others get no
    word in it of the computer. ``before``: the file of the clip that it goes on from, and its
    receipt. ``machine``: what the machine that asked for it calls this one.
    """

    job: int
    request: ClipRequest
    seed: int
    partial: str
    poster: str
    ceiling: int
    embed: bool = True
    own: bool = True
    before: str = ""
    before_receipt: dict[str, Any] | None = None
    machine: str = ""


@dataclass(frozen=True)
class Ahead:
    """Begin with this clip as soon as the one before is computed, and while that is written. The
    same order follows once it is claimed; nothing is told of it before."""

    order: Generate


@dataclass(frozen=True)
class Forget:
    """What was sent ahead isn't what comes next. Any other order says so as well."""


@dataclass(frozen=True)
class Change:
    """Make another version of the clip in the file ``source``; whatever model is loaded has nothing
    to do with it, and stays.

    ``preset`` and ``plan``: of what changes it. ``source_receipt``: None of another program's
    video. ``source_name``: what its owner calls that file. The others as for ``Generate``.
    """

    job: int
    request: ClipRequest
    seed: int
    preset: ModelPreset
    plan: Plan
    partial: str
    poster: str
    source: str
    source_name: str
    source_receipt: dict[str, Any] | None = None
    embed: bool = True
    own: bool = True
    machine: str = ""


@dataclass(frozen=True)
class Probe:
    """Run one denoise step and the decode at ``request``'s size, within ``ceiling`` bytes."""

    job: int
    request: ClipRequest
    seed: int
    ceiling: int


@dataclass(frozen=True)
class Compare:
    """For the benchmark: hold what is loaded against the device's own rates and LightX2V's own way,
    at a ``request`` that has run before, within ``ceiling`` bytes."""

    job: int
    request: ClipRequest
    ceiling: int


@dataclass(frozen=True)
class Become:
    """Go on as ``preset``, which has the files that are loaded; the answer is as to a load."""

    preset: ModelPreset
    plan: Plan


@dataclass(frozen=True)
class Cancel:
    job: int


@dataclass(frozen=True)
class Stop:
    """End after the current message."""


ToWorker = Generate | Ahead | Forget | Change | Probe | Compare | Become | Cancel | Stop

# ---- from the worker -----------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """Loaded. ``label`` is the model's honest sentence for the page, ``plan`` what really runs,
    ``notice`` what loading found that the user should know."""

    seconds: float
    label: Text
    plan: Plan
    notice: Text = NOTHING


@dataclass(frozen=True)
class Heartbeat:
    """Sent every second by a thread of its own: silence means that the interpreter hangs. Sent
    before each answer too, so that the next budget is reckoned with what the worker holds then.

    ``device_bytes``: the device memory that the worker holds, where its pipeline can tell.
    """

    device_bytes: int | None = None


@dataclass(frozen=True)
class Advance:
    """``fraction`` of ``stage`` is done; ``step`` of ``steps`` denoise steps."""

    job: int
    stage: Stage
    fraction: float
    step: int
    steps: int


@dataclass(frozen=True)
class Occupied:
    """A cancel won't be seen for up to ``seconds``, or until the next Advance; ``doing`` says why:
    it completes "Cancel waits while ..."."""

    job: int
    doing: Text
    seconds: float


@dataclass(frozen=True)
class Preview:
    """A small animated WebP of the clip as it looks so far."""

    job: int
    webp: bytes


@dataclass(frozen=True)
class Finished:
    """The clip lies whole at the partial path; its receipt is already inside."""

    job: int
    receipt: dict[str, Any]


@dataclass(frozen=True)
class Probed:
    """The probe ran to its end: bytes and seconds by stage."""

    job: int
    peaks: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Compared:
    """What pipelines/bench/compare.py found."""

    job: int
    found: dict[str, Any]


@dataclass(frozen=True)
class CancelDone:
    job: int


@dataclass(frozen=True)
class Failed:
    """``job`` is None when loading failed; the worker ends after that.

    ``stage`` and ``memory`` say where, and which one ran out, for an out-of-memory. After that, and
    where the process is "broken", it is replaced.
    """

    job: int | None
    kind: Literal["error", "out_of_memory", "broken"]
    sentence: Text
    remedy: Text
    stage: Stage | None = None
    memory: Memory | None = None


@dataclass(frozen=True)
class Fault:
    """What one of the worker's own loops ran into, or that it works again."""

    loop: Name
    said: Text


FromWorker = (
    Ready
    | Heartbeat
    | Advance
    | Occupied
    | Preview
    | Finished
    | Probed
    | Compared
    | CancelDone
    | Failed
    | Fault
)
