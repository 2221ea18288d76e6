"""What the kernel test found on this machine: how fast each kernel is at the model's own shapes,
and whether it computes the right thing. Plans go by it; the file stands beside the trials'."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from engine.plan.flops import architecture_of, step_work
from engine.presets import Architecture, ModelPreset
from engine.process.kept import held
from engine.process.kept import keep as keep_newest
from engine.request import Size
from engine.text import Text, as_text

# How a trial ends without words of its own: its process ended, it doesn't answer, no room.
NO_ROOM = "memory"
PROBLEMS = ("ended", "silent", NO_ROOM)

What = Literal["linear", "attention", "decode"]
LEAST_COSINE = 0.99
# A kernel has to be so much faster than what would be taken without a test: two measurements of the
# same kernel differ by a few percent, and a plan that goes to and fro measures its peaks anew.
CLEARLY = 1.03
MOST_KEPT = 6


@dataclass(frozen=True)
class KernelRow:
    """One kernel at one shape.

    ``milliseconds``: the median of some warm calls, None where it couldn't be called (``why``).
    ``cosine``: of its result with float32's, the lower one of plain and of outlying activations.
    ``tokens``: what the shape holds; a kernel may be timed at a part of it.
    """

    what: What
    kernel: str
    shape: str
    tokens: int
    milliseconds: float | None = None
    cosine: float | None = None
    problem: str = ""

    @property
    def right(self) -> bool:
        return self.milliseconds is not None and (self.cosine or 0.0) >= LEAST_COSINE

    @property
    def work(self) -> float:
        """Floating-point operations of a linear's row, "TOKENS×IN→OUT"."""
        inner, _, out = self.shape.partition("×")[2].partition("→")
        return 2.0 * self.tokens * int(inner) * int(out)

    @property
    def told(self) -> Text:
        """What is wrong with it."""
        if self.milliseconds is None or self.cosine is None:
            return Text("kernels.test_failed", kernel=self.kernel, why=self.why)
        return Text("kernels.differs", kernel=self.kernel, cosine=self.cosine)

    @property
    def why(self) -> Text:
        """Why it couldn't be called: one of PROBLEMS, or the words of its package."""
        kind, _, value = self.problem.partition(":")
        if kind in PROBLEMS:
            return Text(f"kernels.problem_{kind}", value=value)
        return as_text(self.problem)


@dataclass(frozen=True)
class KernelTimes:
    """All rows of one machine with one set of packages; see ``Machine.facts``."""

    rows: tuple[KernelRow, ...] = ()

    def of(self, what: What, kernel: str) -> tuple[KernelRow, ...]:
        """Its rows, but for those where only the memory was too little: they say nothing of it."""
        return tuple(
            row
            for row in self.rows
            if (row.what, row.kernel) == (what, kernel) and row.problem != NO_ROOM
        )

    def milliseconds(self, what: What, kernels: Sequence[str], tokens: int) -> dict[str, float]:
        """Of each of ``kernels`` that is right wherever it was tried, at the shapes of so many
        tokens that all of them have: the test may have ended before the last ones."""
        shapes: dict[str, dict[str, float]] = {}
        for kernel in kernels:
            rows = self.of(what, kernel)
            if rows and all(row.right for row in rows):
                shapes[kernel] = {r.shape: r.milliseconds or 0 for r in rows if r.tokens == tokens}
        common = set.intersection(*map(set, shapes.values())) if shapes else set()
        if not common:
            return {}
        return {kernel: sum(ms[shape] for shape in common) for kernel, ms in shapes.items()}

    def wrong(self, what: What, kernel: str) -> KernelRow | None:
        """A row in which it computed something else, or couldn't be called."""
        return next((row for row in self.of(what, kernel) if not row.right), None)

    def sizes(self, what: What) -> list[int]:
        """The token counts that were tried, ascending."""
        return sorted({row.tokens for row in self.rows if row.what == what})


NONE = KernelTimes()


# ---- what follows from it ------------------------------------------------------------------


@dataclass(frozen=True)
class Winner:
    """The fastest right kernel, and how many times as fast as the next one it is."""

    kernel: str
    times: float
    than: str

    @property
    def reason(self) -> Text:
        return Text("kernels.faster_here", kernel=self.kernel, times=self.times, than=self.than)


def winner(times: KernelTimes, what: What, kernels: Sequence[str]) -> Winner | None:
    """Of ``kernels``, whose first one is what would be taken without a test: it stays so against
    what isn't ``CLEARLY`` faster. None where fewer than two were timed, or none is ahead."""
    at = times.sizes(what)
    timed = times.milliseconds(what, kernels, at[0]) if at else {}
    if len(timed) < 2:
        return None
    usual, best = next(iter(timed)), min(timed, key=lambda kernel: timed[kernel])
    if timed[usual] < CLEARLY * timed[best]:
        best = usual
    than = min((kernel for kernel in timed if kernel != best), key=lambda kernel: timed[kernel])
    ratio = timed[than] / timed[best]
    return Winner(best, ratio, than) if ratio >= 1 else None


def clip_seconds(
    times: KernelTimes, preset: ModelPreset, linear: str, attention: str
) -> float | None:
    """The least that the default clip of ``preset`` takes with these kernels: its products, its
    attention and its decoding. Norms, copies, text and file come on top.

    None where one of them wasn't timed.
    """
    shape = architecture_of(preset)
    size = Size(preset.default.height, preset.default.width, preset.default.frames)
    if shape is None:
        return None
    rates = [
        _rate(times, "linear", linear, shape),
        _rate(times, "attention", attention, shape),
    ]
    decode = _decode_seconds(times, preset, size)
    if None in rates or decode is None:
        return None
    work = step_work(shape, size)
    step = sum(
        work[part] / rate for part, rate in zip(("matrix", "attention"), rates, strict=True) if rate
    )
    return round(preset.steps * step + decode, 1)


def _rate(times: KernelTimes, what: What, kernel: str, shape: Architecture) -> float | None:
    """Operations a second, at the shapes nearest to the model's own size."""
    rows = times.of(what, kernel)
    at = min((row.tokens for row in rows), default=0)
    rows = tuple(row for row in rows if row.tokens == at)
    if not rows or not all(row.right for row in rows):
        return None
    work = sum(4.0 * at * at * shape.dim if what == "attention" else row.work for row in rows)
    return work * 1000 / sum(row.milliseconds or 0.0 for row in rows)


def _decode_seconds(times: KernelTimes, preset: ModelPreset, size: Size) -> float | None:
    """``tokens`` of a decode's row are pixels of all its frames."""
    rows = [row for row in times.rows if row.what == "decode" and row.milliseconds]
    if not rows:
        return None
    pixels = size.height * size.width * size.frames
    return min((row.milliseconds or 0.0) * pixels / row.tokens for row in rows) / 1000


# ---- the file ------------------------------------------------------------------------------


def kept(file: Path, key: str) -> KernelTimes | None:
    """What ``file`` holds for ``key``; None where it wasn't tested, or the file is damaged."""
    try:
        return KernelTimes(tuple(map(_row, held(file)[key])))
    except (LookupError, AttributeError, TypeError, ValueError):
        return None


def keep(file: Path, key: str, times: KernelTimes) -> None:
    """The few newest stay: a card is put in and taken out again, a package goes back."""
    keep_newest(file, key, [asdict(row) for row in times.rows], MOST_KEPT)


def _row(told: Mapping[str, Any]) -> KernelRow:
    if told["what"] not in ("linear", "attention", "decode"):
        raise ValueError(told["what"])
    numbers = {
        name: None if told[name] is None else float(told[name])
        for name in ("milliseconds", "cosine")
    }
    return KernelRow(
        told["what"],
        str(told["kernel"]),
        str(told["shape"]),
        int(told["tokens"]),
        problem=str(told["problem"]),
        **numbers,
    )
