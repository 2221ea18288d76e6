"""Measurements -> a peak: what a size will probably take here. Pure functions.

Everything is monotone in two numbers, a size's tokens and its height*width: denoising grows with
the first, decoding with the second and weakly with the first. A size *covers* another when it is
at least as large in both. Peaks, budgets and margins are bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.guard.budget import Device
from engine.measurements import Measurement
from engine.request import Size
from engine.stages import CHANGES
from engine.text import Said

STEP = 1.5  # neither a prediction nor a probe goes further than this beyond what was measured
RECENT = 5  # runs of one size that count: an old outlier must not speak for ever

Basis = Literal["recipe", "measured", "predicted", "none"]


@dataclass(frozen=True)
class Rules:
    """What a model's preset and the reference measurements say before anything ran here.

    ``reference``: (tokens, peak) of published runs; they refuse or warn, they never open anything
    but the baseline. ``token_pixels``: how many pixels one token weighs in decoding.
    ``window_tokens``: the most tokens that are enlarged at once, where they aren't frame by frame.
    ``impossible_below``: on a device with less memory nothing is even measured. ``fps``: frames a
    second, by which people are told a length.
    """

    baseline: Size
    baseline_peak: int
    minimum_total: int
    token_pixels: float
    reference: tuple[tuple[int, int], ...] = ()
    impossible_below: int = 0
    impossible_reason: Said = ""
    fps: int = 16
    window_tokens: int | None = None


@dataclass(frozen=True)
class PeakEstimate:
    """A peak and what it rests on."""

    peak: int
    basis: Basis


def covers(large: Size, small: Size) -> bool:
    return large.tokens >= small.tokens and large.pixels >= small.pixels


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
    return max([round(max(lines, default=0.0)), measured_below(size, peaks)])


def _load(stage: str, size: Size, rules: Rules) -> float:
    """What a stage's memory is proportional to, beside a constant."""
    if stage == "denoise":
        return float(size.tokens)
    if stage in CHANGES and rules.window_tokens is not None:
        return float(min(size.tokens, rules.window_tokens))
    if stage in CHANGES:  # a few frames at a time, however many there are
        return float(size.pixels)
    if stage in ("picture", "decode"):  # the VAE, there and back
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


def measured_below(size: Size, peaks: Mapping[Size, Mapping[str, int]]) -> int:
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
) -> PeakEstimate | None:
    """The peak by which ``size`` may be opened; None where nothing was measured that allows it."""
    floor = measured_below(size, peaks)
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
    return PeakEstimate(peak, basis)


def expected(
    size: Size, peaks: Mapping[Size, Mapping[str, int]], rules: Rules
) -> PeakEstimate | None:
    """The best guess at a peak, for people and for refusing; opens nothing."""
    line = fitted(size, peaks, rules)
    if line is not None:
        return PeakEstimate(line, "predicted")
    if len(rules.reference) >= 2:
        low, high = min(rules.reference), max(rules.reference)
        slope = (high[1] - low[1]) / (high[0] - low[0])
        tokens, peak = low
        if peaks:  # one own run: the published slope through our own point
            own = max(peaks, key=lambda s: s.tokens)
            tokens, peak = own.tokens, _top(peaks[own])
        guess = round(peak + slope * (size.tokens - tokens))
        return PeakEstimate(max(guess, measured_below(size, peaks)), "none")
    floor = measured_below(size, peaks)
    return PeakEstimate(floor, "none") if floor else None
