"""What a clip's parts are to whoever waits: one stage."""

from typing import Any

from engine.pipelines.seedvr.pipeline import SHARES, Telling


class Meter:
    def __init__(self) -> None:
        self.peaks = iter([5, 9, 7, 6, 9, 8])

    def peak(self) -> int:
        return next(self.peaks)


class Run:
    def __init__(self) -> None:
        self.shares: list[float] = []
        self.looks = 0

    def advance(self, fraction: float, step: int = 0) -> None:
        self.shares.append(fraction)

    def check(self) -> None:
        self.looks += 1


def test_parts_add_up_and_the_largest_peak_counts() -> None:
    run: Any = Run()
    meter: Any = Meter()
    telling = Telling(run, meter)
    for number in range(2):
        telling.part(number / 2, 0.5)
        for part in ("encode", "denoise", "decode"):
            telling.stage(part)
            telling.advance(0.0)
            telling.advance(1.0)
            telling.check()
    parts = telling.ended()
    assert [part["peak"] for part in parts.values()] == [6, 9, 8]
    assert list(parts) == list(SHARES)
    shares = [round(share, 6) for share in run.shares]
    assert shares == sorted(shares), "the bar never goes back"
    assert (run.shares[0], run.shares[-1], run.looks) == (0.0, 1.0, 6)
    assert telling.ended() == parts
