"""A prediction and a budget -> the verdict on a size, in words. Pure functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.guard.budget import Device, margin
from engine.guard.predict import (
    Basis,
    PeakEstimate,
    Rules,
    by_size,
    covers,
    expected,
    fitted,
    measured_below,
    supported,
)
from engine.measurements import Measurement
from engine.request import Size
from engine.text import NOTHING, Memory, Said, Text, joined, listed


class Word(StrEnum):
    """The four verdicts, best first."""

    OPEN = "open"
    BUSY = "busy"
    LOCKED = "locked"
    IMPOSSIBLE = "impossible"

    @property
    def text(self) -> Text:
        """As people read it."""
        return Text(f"guard.word_{self.value}")

    @property
    def rank(self) -> int:
        return list(Word).index(self)


Hedge = Literal["exact", "about", "up_to", "at_least"]
SMALLER = Text("guard.choose_smaller")


@dataclass(frozen=True)
class Verdict:
    """Whether a size may run now; ``reason`` is one sentence, ``remedy`` what to do about it.

    ``hedge`` is how ``peak`` is to be read: "exact" where this very size was measured, "up_to"
    where a larger size was measured or stated, "at_least" where only a smaller one was.
    """

    word: Word
    reason: Said
    basis: Basis
    peak: int | None
    budget: int
    remedy: Said = ""
    hedge: Hedge = "about"

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
            Text("guard.ran_out_at", smallest=smallest, size=size),
            "measured",
            guess.peak if guess else None,
            budget,
            SMALLER,
            "about" if rules.reference or (guess and guess.basis == "predicted") else "at_least",
        )
    estimate = supported(size, peaks, rules, device)
    if estimate is not None:
        need = estimate.peak + margin(estimate.peak)
        hedge: Hedge = "about" if estimate.basis == "predicted" else "up_to"
        if size in peaks:
            hedge = "exact"
        if need <= budget:
            reason = _why_open(estimate, size in peaks)
            basis, peak = estimate.basis, estimate.peak
            return Verdict(Word.OPEN, reason, basis, peak, budget, hedge=hedge)
        if need <= device.budget_alone:
            return _busy(estimate, device, hedge)
    return _closed(size, peaks, guess, rules, device)


def _too_small(guess: PeakEstimate | None, rules: Rules, device: Device) -> Verdict:
    return Verdict(
        Word.IMPOSSIBLE,
        joined(
            rules.impossible_reason,
            Text(
                "guard.device_too_small",
                device=device.name,
                total=Memory(device.total),
                least=Memory(rules.impossible_below),
            ),
        ),
        "recipe",
        guess.peak if guess else None,
        device.budget,
        Text("guard.choose_smaller_model"),
    )


def _why_open(estimate: PeakEstimate, exact: bool) -> Text:
    basis = "covered" if estimate.basis == "measured" and not exact else estimate.basis
    return Text(f"guard.open_{basis}", peak=Memory(estimate.peak))


def _busy(estimate: PeakEstimate, device: Device, hedge: Hedge) -> Verdict:
    holders = [
        Text("guard.holder", name=name, used=Memory(used)) for name, used in device.holders[:3]
    ]
    return Verdict(
        Word.BUSY,
        Text(
            "guard.others_hold",
            others=Memory(device.others),
            device=device.name,
            holders=Text("guard.holders", names=listed(*holders)) if holders else NOTHING,
            need=Memory(estimate.peak),
            left=Memory(device.budget),
        ),
        estimate.basis,
        estimate.peak,
        device.budget,
        Text("guard.close_others"),
        hedge,
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
    if not known and margin(known) > device.budget_alone:
        nothing = Text("guard.too_little", device=device.name, has=Memory(device.budget_alone))
        return Verdict(
            Word.IMPOSSIBLE,
            nothing,
            "none",
            guess.peak if guess else None,
            device.budget,
            Text("guard.choose_smaller_model"),
        )
    if known + margin(known) > device.budget_alone:
        return Verdict(
            Word.IMPOSSIBLE,
            Text(
                "guard.too_large",
                need=Memory(known),
                device=device.name,
                has=Memory(device.budget_alone),
            ),
            "predicted" if line is not None else "measured",
            known,
            device.budget,
            SMALLER,
            "about" if line is not None else "at_least",
        )
    hedge: Hedge = "about" if line is not None or rules.reference else "at_least"
    peak = NOTHING
    if guess:
        budget = Memory(device.budget)
        peak = Text(f"guard.expected_{hedge}", peak=Memory(guess.peak), budget=budget)
    why = Text("guard.nothing_as_large")
    if covers(rules.baseline, size) and device.total < rules.minimum_total:
        why = Text(
            "guard.below_minimum",
            device=device.name,
            total=Memory(device.total),
            least=Memory(rules.minimum_total),
        )
    elif covers(rules.baseline, size):
        why = Text("guard.unmeasured_over_budget")
    return Verdict(
        Word.LOCKED,
        joined(why, peak),
        "none",
        guess.peak if guess else None,
        device.budget,
        Text("guard.measure_it"),
        hedge,
    )
