"""Measurements -> prediction -> verdict. Pure functions: the guard's whole judgement is here.

Everything is monotone in two numbers, a size's tokens and its height*width: denoising grows with
the first, decoding with the second and weakly with the first. A size *covers* another when it is
at least as large in both. Peaks, budgets and margins are bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.request import Size

MIB, GIB = 2**20, 2**30
STEP = 1.5  # neither a prediction nor a probe goes further than this beyond what was measured
MARGIN_SHARE, MARGIN_LEAST = 0.05, 256 * MIB
RECENT = 5  # runs of one size that count: an old outlier must not speak for ever

Basis = Literal["recipe", "measured", "predicted", "none"]
Outcome = Literal["ok", "out_of_memory", "over_budget", "failed"]


class Word(StrEnum):
    """The four verdicts, best first."""

    OPEN = "open"
    BUSY = "busy"
    LOCKED = "locked"
    IMPOSSIBLE = "impossible"

    @property
    def rank(self) -> int:
        return list(Word).index(self)


@dataclass(frozen=True)
class Measurement:
    """One run's peaks by stage. ``over_budget`` ran to its end, but left less than the margin."""

    size: Size
    outcome: Outcome
    peaks: Mapping[str, int]

    @property
    def ran(self) -> bool:
        return self.outcome in ("ok", "over_budget") and bool(self.peaks)

    @property
    def peak(self) -> int:
        return max(self.peaks.values(), default=0)


@dataclass(frozen=True)
class Device:
    """The memory that a model runs in, as it is now. ``holders``: who else holds how much.

    ``total`` is what the program may use of it; ``physical`` is what there is, where that is more.
    """

    name: str
    total: int
    others: int
    reserve: int
    holders: tuple[tuple[str, int], ...] = ()
    physical: int | None = None

    @property
    def budget(self) -> int:
        return self._given(self.others + self.reserve)

    @property
    def budget_alone(self) -> int:
        """What the budget would be if nobody else held anything."""
        return self._given(self.reserve)

    def _given(self, taken: int) -> int:
        there = self.total if self.physical is None else self.physical
        return max(0, min(self.total, there - taken))


@dataclass(frozen=True)
class Rules:
    """What a model's preset and the reference measurements say before anything ran here.

    ``reference``: (tokens, peak) of published runs; they refuse or warn, they never open anything
    but the baseline. ``token_pixels``: how many pixels one token weighs in decoding.
    ``impossible_below``: on a device with less memory nothing is even measured.
    """

    baseline: Size
    baseline_peak: int
    minimum_total: int
    token_pixels: float
    reference: tuple[tuple[int, int], ...] = ()
    impossible_below: int = 0
    impossible_reason: str = ""


@dataclass(frozen=True)
class Estimate:
    """A peak and what it rests on."""

    peak: int
    basis: Basis


@dataclass(frozen=True)
class Verdict:
    """Whether a size may run now; ``reason`` is one sentence, ``remedy`` what to do about it.

    ``hedge`` is how ``peak`` is to be read: "about", "up to" where a larger size was measured or
    stated, "at least" where only a smaller one was.
    """

    word: Word
    reason: str
    basis: Basis
    peak: int | None
    budget: int
    remedy: str = ""
    hedge: str = "about"

    @property
    def open(self) -> bool:
        return self.word is Word.OPEN


def covers(large: Size, small: Size) -> bool:
    return large.tokens >= small.tokens and large.pixels >= small.pixels


def margin(peak: int) -> int:
    """What must stay free above a peak: the predictor's own error, and never next to nothing."""
    return max(MARGIN_LEAST, round(peak * MARGIN_SHARE))


# ---- prediction ----------------------------------------------------------------------------


def by_size(measurements: Iterable[Measurement]) -> dict[Size, dict[str, int]]:
    """The largest peaks by stage of each size's recent runs; ``measurements`` oldest first."""
    runs: dict[Size, list[Mapping[str, int]]] = {}
    for measurement in measurements:
        if measurement.ran:
            runs.setdefault(measurement.size, []).append(measurement.peaks)
    return {
        size: {
            stage: max(peaks.get(stage, 0) for peaks in recent[-RECENT:])
            for stage in {name for peaks in recent[-RECENT:] for name in peaks}
        }
        for size, recent in runs.items()
    }


def fitted(size: Size, peaks: Mapping[Size, Mapping[str, int]], rules: Rules) -> int | None:
    """The peak at ``size`` from a line through this machine's own runs, stage by stage.

    None before two sizes with different loads were measured. Never below a peak that was measured
    at a size that ``size`` covers.
    """
    if len({(s.tokens, s.pixels) for s in peaks}) < 2:
        return None
    stages = {stage for by_stage in peaks.values() for stage in by_stage}
    lines = [
        _line(
            [(_load(stage, s, rules), by_stage[stage]) for s, by_stage in peaks.items()],
            _load(stage, size, rules),
        )
        for stage in stages
        if all(stage in by_stage for by_stage in peaks.values())
    ]
    return max([round(max(lines, default=0.0)), _floor(size, peaks)])


def _load(stage: str, size: Size, rules: Rules) -> float:
    """What a stage's memory is proportional to, beside a constant."""
    if stage == "denoise":
        return float(size.tokens)
    if stage == "decode":
        return size.pixels + rules.token_pixels * size.tokens
    return 0.0  # encoding the prompt knows nothing of the size


def _line(points: list[tuple[float, int]], at: float) -> float:
    """Least squares with a slope that is never negative; a constant is its largest value."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        return float(max(y for _, y in points))
    slope = max(0.0, sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)
    return mean_y + slope * (at - mean_x)


def _floor(size: Size, peaks: Mapping[Size, Mapping[str, int]]) -> int:
    """The largest peak measured at a size that ``size`` covers."""
    return max((_top(p) for measured, p in peaks.items() if covers(size, measured)), default=0)


def _ceiling(size: Size, peaks: Mapping[Size, Mapping[str, int]]) -> int | None:
    """The smallest peak measured at a size that covers ``size``."""
    return min((_top(p) for measured, p in peaks.items() if covers(measured, size)), default=None)


def _top(by_stage: Mapping[str, int]) -> int:
    return max(by_stage.values(), default=0)


def _in_reach(size: Size, peaks: Mapping[Size, Mapping[str, int]]) -> bool:
    """At most STEP times the largest measured tokens, and the largest measured height*width."""
    return bool(peaks) and (
        size.tokens <= STEP * max(s.tokens for s in peaks)
        and size.pixels <= STEP * max(s.pixels for s in peaks)
    )


def supported(
    size: Size, peaks: Mapping[Size, Mapping[str, int]], rules: Rules, device: Device
) -> Estimate | None:
    """The peak by which ``size`` may be opened; None where nothing was measured that allows it."""
    floor = _floor(size, peaks)
    found: list[tuple[int, Basis]] = []
    ceiling = _ceiling(size, peaks)
    if ceiling is not None:
        found.append((max(ceiling, floor), "measured"))
    line = fitted(size, peaks, rules)
    if line is not None and _in_reach(size, peaks):
        found.append((line, "predicted"))
    if covers(rules.baseline, size) and device.total >= rules.minimum_total:
        found.append((max(rules.baseline_peak, floor), "recipe"))
    if not found:
        return None
    peak = min(peak for peak, _ in found)
    exact = size in peaks
    order: dict[Basis, int] = {"measured": 0, "predicted": 1, "recipe": 2}
    basis: Basis = (
        "measured" if exact else min((b for p, b in found if p == peak), key=order.__getitem__)
    )
    return Estimate(peak, basis)


def expected(size: Size, peaks: Mapping[Size, Mapping[str, int]], rules: Rules) -> Estimate | None:
    """The best guess at a peak, for people and for refusing; opens nothing."""
    line = fitted(size, peaks, rules)
    if line is not None:
        return Estimate(line, "predicted")
    if len(rules.reference) >= 2:
        low, high = min(rules.reference), max(rules.reference)
        slope = (high[1] - low[1]) / (high[0] - low[0])
        tokens, peak = low
        if peaks:  # one own run: the published slope through our own point
            own = max(peaks, key=lambda s: s.tokens)
            tokens, peak = own.tokens, _top(peaks[own])
        guess = round(peak + slope * (size.tokens - tokens))
        return Estimate(max(guess, _floor(size, peaks)), "none")
    floor = _floor(size, peaks)
    return Estimate(floor, "none") if floor else None


# ---- verdict -------------------------------------------------------------------------------


def judge(size: Size, measurements: Iterable[Measurement], rules: Rules, device: Device) -> Verdict:
    """The verdict on ``size`` now.

    Args:
        measurements: this machine's runs with the present fingerprint, oldest first.
    """
    history = list(measurements)
    peaks = by_size(history)
    budget = device.budget
    failed = [m.size for m in history if m.outcome == "out_of_memory" and covers(size, m.size)]
    guess = expected(size, peaks, rules)
    if device.total < rules.impossible_below:
        return _too_small(guess, rules, device)
    if failed:
        smallest = min(failed, key=lambda s: (s.tokens, s.pixels))
        return Verdict(
            Word.IMPOSSIBLE,
            f"Memory ran out at {smallest} on this machine, and {size} is at least as large.",
            "measured",
            guess.peak if guess else None,
            budget,
            "Choose a smaller size or fewer seconds.",
        )
    estimate = supported(size, peaks, rules, device)
    if estimate is not None:
        need = estimate.peak + margin(estimate.peak)
        if need <= budget:
            hedge = "about" if estimate.basis == "predicted" else "up to"
            reason = _why_open(estimate, size in peaks)
            basis, peak = estimate.basis, estimate.peak
            return Verdict(Word.OPEN, reason, basis, peak, budget, hedge=hedge)
        if need <= device.budget_alone:
            return _busy(estimate, device)
    return _closed(size, peaks, guess, rules, device)


def _too_small(guess: Estimate | None, rules: Rules, device: Device) -> Verdict:
    least = gigabytes(rules.impossible_below)
    return Verdict(
        Word.IMPOSSIBLE,
        f"{rules.impossible_reason} {device.name} has {gigabytes(device.total)}, and it takes "
        f"{least}.".strip(),
        "recipe",
        guess.peak if guess else None,
        device.budget,
        "Choose a model with smaller weights.",
    )


def _why_open(estimate: Estimate, exact: bool) -> str:
    peak = gigabytes(estimate.peak)
    return {
        "measured": f"Measured on this machine: peak {peak}."
        if exact
        else f"A larger size was measured on this machine: peak up to {peak}.",
        "predicted": f"Predicted from this machine's own runs: peak {peak}.",
        "recipe": f"Within the model's baseline, not measured here yet: peak up to {peak}.",
        "none": "",
    }[estimate.basis]


def _busy(estimate: Estimate, device: Device) -> Verdict:
    who = ", ".join(f"{name} {gigabytes(used)}" for name, used in device.holders[:3])
    named = f" ({who})" if who else ""
    return Verdict(
        Word.BUSY,
        f"Others hold {gigabytes(device.others)} of {device.name} now{named}; this size needs "
        f"{gigabytes(estimate.peak)} and a margin, and {gigabytes(device.budget)} are left.",
        estimate.basis,
        estimate.peak,
        device.budget,
        "Close what you don't need, then generate again.",
    )


def _closed(
    size: Size,
    peaks: Mapping[Size, Mapping[str, int]],
    guess: Estimate | None,
    rules: Rules,
    device: Device,
) -> Verdict:
    line = fitted(size, peaks, rules)
    known = line if line is not None else _floor(size, peaks)
    if known + margin(known) > device.budget_alone:
        return Verdict(
            Word.IMPOSSIBLE,
            f"It needs about {gigabytes(known)} and a margin; {device.name} has "
            f"{gigabytes(device.budget_alone)} to give.",
            "predicted" if line is not None else "measured",
            known,
            device.budget,
            "Choose a smaller size or fewer seconds.",
        )
    told = ""
    hedge = "about" if line is not None or rules.reference else "at least"
    if guess:
        told = f" Expected peak: {hedge} {gigabytes(guess.peak)} of {gigabytes(device.budget)}."
    why = "Nothing as large was measured on this machine yet."
    if covers(rules.baseline, size) and device.total < rules.minimum_total:
        why = (
            f"{device.name} has {gigabytes(device.total)}; below "
            f"{gigabytes(rules.minimum_total)} every size has to be measured first."
        )
    elif covers(rules.baseline, size):
        why = "It doesn't fit the budget unmeasured."
    return Verdict(
        Word.LOCKED,
        why + told,
        "none",
        guess.peak if guess else None,
        device.budget,
        "Measure it: a short real run that finds out.",
        hedge,
    )


def gigabytes(count: int) -> str:
    """Bytes as people read them: one decimal, GiB as memory is sold."""
    return f"{count / GIB:.1f} GB" if count >= GIB else f"{count / MIB:.0f} MB"
