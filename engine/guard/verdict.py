"""A prediction and a budget -> the verdict on a size, in words. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.guard.budget import Device
from engine.guard.predict import (
    Basis,
    PeakEstimate,
    Rules,
    by_size,
    covers,
    expected,
    fitted,
    margin,
    measured_below,
    supported,
)
from engine.measurements import Measurement
from engine.request import Size
from engine.units import gigabytes


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


def _too_small(guess: PeakEstimate | None, rules: Rules, device: Device) -> Verdict:
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


def _why_open(estimate: PeakEstimate, exact: bool) -> str:
    peak = gigabytes(estimate.peak)
    return {
        "measured": f"Measured on this machine: peak {peak}."
        if exact
        else f"A larger size was measured on this machine: peak up to {peak}.",
        "predicted": f"Predicted from this machine's own runs: peak {peak}.",
        "recipe": f"Within the model's baseline, not measured here yet: peak up to {peak}.",
        "none": "",
    }[estimate.basis]


def _busy(estimate: PeakEstimate, device: Device) -> Verdict:
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
    guess: PeakEstimate | None,
    rules: Rules,
    device: Device,
) -> Verdict:
    line = fitted(size, peaks, rules)
    known = line if line is not None else measured_below(size, peaks)
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
