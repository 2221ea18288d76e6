"""What crosses between two machines: plain values (numbers, strings, bytes, lists, mappings), which
any version can read as far as ``PROTOCOL``."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from engine.errors import HeadroomError
from engine.guard.duration import Duration
from engine.guard.predict import Rules
from engine.guard.verdict import Verdict, Word
from engine.request import Size
from engine.text import from_row, to_row

PROTOCOL = 1  # both machines have to speak the same
PIECE = 4 * 2**20  # bytes of a file in one call


class Unheard(HeadroomError):
    """The other machine doesn't answer, or has gone."""


class Declined(HeadroomError):
    """It answers, and won't do it; its own sentence."""


def size_key(size: Size) -> str:
    return f"{size.height}x{size.width}x{size.frames}"


def sizes_to_json(sizes: Iterable[Size]) -> list[list[int]]:
    return [[size.height, size.width, size.frames] for size in sizes]


def sizes_from_json(told: Iterable[Iterable[int]]) -> list[Size]:
    return [Size(*map(int, size)) for size in told]


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "word": verdict.word.value,
        "reason": to_row(verdict.reason),
        "basis": verdict.basis,
        "peak": verdict.peak,
        "budget": verdict.budget,
        "remedy": to_row(verdict.remedy),
        "hedge": verdict.hedge,
    }


def verdict_from_json(told: Mapping[str, Any]) -> Verdict:
    return Verdict(
        Word(told["word"]),
        from_row(told["reason"]),
        told["basis"],
        told["peak"],
        told["budget"],
        from_row(told["remedy"]),
        told["hedge"],
    )


def duration_to_json(took: Duration | None) -> dict[str, Any] | None:
    return None if took is None else asdict(took)


def duration_from_json(told: Mapping[str, Any] | None) -> Duration | None:
    return None if told is None else Duration(told["seconds"], told["basis"])


def rules_to_json(rules: Rules) -> dict[str, Any]:
    told = asdict(rules)
    told["baseline"] = sizes_to_json([rules.baseline])[0]
    told["reference"] = [list(pair) for pair in rules.reference]
    told["impossible_reason"] = to_row(rules.impossible_reason)
    return told


def rules_from_json(told: Mapping[str, Any]) -> Rules:
    pairs = tuple((int(tokens), int(peak)) for tokens, peak in told["reference"])
    known = {
        "baseline": Size(*told["baseline"]),
        "reference": pairs,
        "impossible_reason": from_row(told["impossible_reason"]),
    }
    return Rules(**{**told, **known})
