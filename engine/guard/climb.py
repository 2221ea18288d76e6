"""Ways between sizes, as pure functions: a probe's steps, and the open size most like another."""

from collections.abc import Iterable, Mapping

from engine.guard.predict import STEP, covers
from engine.request import Size

PROBE_PROMPT = "a red ball moves left over green grass"  # memory doesn't depend on the words


def climb(target: Size, peaks: Iterable[Size], starts: Iterable[Size]) -> list[Size]:
    """The sizes to probe on the way to ``target``, itself last.

    From the largest measured size below it, else from the first of ``starts`` below it, by steps of
    at most STEP times the tokens, as far as the 16-pixel grid allows.
    """
    below = [size for size in peaks if covers(target, size)]
    if below:
        start = max(below, key=lambda s: (s.tokens, s.pixels))
        sizes: list[Size] = []
    else:
        start = next((s for s in starts if covers(target, s)), target)
        sizes = [start]
    for count in range(1, 40):
        path = [_between(start, target, part / count) for part in range(1, count + 1)]
        steps = [start, *path]
        if all(
            b.tokens <= STEP * a.tokens and b.pixels <= STEP * a.pixels
            for a, b in zip(steps, path, strict=False)
        ):
            break
    else:
        path = _gridwise(start, target)
    return list(dict.fromkeys([*sizes, *path]))


def _between(start: Size, end: Size, part: float) -> Size:
    """``part`` of the way on a logarithmic scale, on the grid, within the two."""

    def on_grid(a: int, b: int, step: int, offset: int) -> int:
        value: float = a * (b / a) ** part
        rounded = round((value - offset) / step) * step + offset
        return min(max(rounded, min(a, b)), max(a, b))

    if part == 1:
        return end
    return Size(
        on_grid(start.height, end.height, 16, 0),
        on_grid(start.width, end.width, 16, 0),
        on_grid(start.frames, end.frames, 4, 1),
    )


def _gridwise(start: Size, end: Size) -> list[Size]:
    """One grid step at a time: for tiny sizes, where 16 pixels are more than half as much again."""

    def toward(a: int, b: int, step: int) -> int:
        return min(a + step, b) if a < b else max(a - step, b)

    sizes, here = [], start
    while here != end:
        here = Size(
            toward(here.height, end.height, 16),
            toward(here.width, end.width, 16),
            toward(here.frames, end.frames, 4),
        )
        sizes.append(here)
    return sizes or [end]


def nearest_open(
    wanted: Size, candidates: Iterable[Size], is_open: Mapping[Size, bool]
) -> Size | None:
    """The open candidate that is most like ``wanted``: form first, then area, then length."""

    def distance(size: Size) -> tuple[float, float, float]:
        form = abs(_ratio(size.height * wanted.width, size.width * wanted.height))
        area = abs(_ratio(size.pixels, wanted.pixels))
        length = abs(_ratio(size.frames, wanted.frames))
        return (round(form, 1) + area + length, area, length)

    usable = [size for size in candidates if is_open.get(size)]
    return min(usable, key=distance, default=None)


def _ratio(a: float, b: float) -> float:
    """How many times one is the other, minus one, from either side."""
    return max(a, b) / min(a, b) - 1
