"""Which of Wan 2.2's two experts a file is for, by its name, and which two files are a pair.

Wan 2.2 has a transformer for the noisy steps and one for the others, and trainers publish a LoRA of
each, called alike but for "high" and "low". A file that says neither counts for both.
"""

import re
from collections.abc import Sequence
from typing import Literal

Noise = Literal["high", "low"]

_SAID = re.compile(r"(?<![a-z])(high|low)(?:[ _.-]*noise)?(?![a-z])", re.IGNORECASE)
# Trainers' short forms, which mean something only where the other file is there, too.
_SHORT = re.compile(r"(?<![a-z0-9])(hn|ln|h|l)(?![a-z0-9])", re.IGNORECASE)
_PLACE = "\0"  # in no file's name


def noise_of(stem: str) -> Noise | None:
    """The expert that a file called ``stem`` is for by itself; None for both."""
    said = {found.lower() for found in _SAID.findall(stem)}
    if said == {"high"}:
        return "high"
    return "low" if said == {"low"} else None


def pairs(stems: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Of files called ``stems`` those that belong together: the pair's name, then the file for high
    noise and that for low noise."""
    found: dict[str, tuple[str, str]] = {}
    taken: set[str] = set()
    for pattern in (_SAID, _SHORT):
        by_rest: dict[str, dict[Noise, str]] = {}
        for stem in stems:
            if stem in taken:
                continue
            sides = {_side(said) for said in pattern.findall(stem)}
            if len(sides) == 1:
                rest = pattern.sub(_PLACE, stem)
                by_rest.setdefault(rest.lower(), {})[sides.pop()] = stem
        for sides_of in by_rest.values():
            if len(sides_of) == 2:
                high, low = sides_of["high"], sides_of["low"]
                found[_name(pattern.sub(_PLACE, high))] = high, low
                taken |= {high, low}
    return found


def _side(said: str) -> Noise:
    return "high" if said.lower().startswith("h") else "low"


def _name(rest: str) -> str:
    """What is left of both names, without the gap between its separators."""
    joined = re.sub(rf"[ _.-]*{_PLACE}[ _.-]*", "_", rest)
    return joined.strip(" _.-") or rest.replace(_PLACE, "")
