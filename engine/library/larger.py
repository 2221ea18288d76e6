"""How large another version of a clip can be: sizes of its own shape, both sides even."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

# The shorter side and the longer one: 1440p, as screens and encoders name it.
MOST_SHORT, MOST_LONG = 1440, 2560
LEAST = Fraction(101, 100)  # times as high at least: less is no other size
SCALES = (Fraction(3, 2), Fraction(2))
NAMED = (1080, 1440)  # by the shorter side


class Shape(Protocol):
    """What is made larger: a video, or a clip's request. Pixels."""

    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...


@dataclass(frozen=True)
class Picture:
    """Pixels."""

    height: int
    width: int


def of_height(video: Shape, height: int) -> Picture:
    """``video`` at that height."""
    return Picture(height, max(2, 2 * round(Fraction(video.width * height, video.height * 2))))


def fits(video: Shape, picture: Picture) -> bool:
    """Whether ``video`` can be made just that large."""
    if picture.height % 2 or picture.height < video.height * LEAST:
        return False
    sides = sorted((picture.height, picture.width))
    return picture == of_height(video, picture.height) and (
        sides[0] <= MOST_SHORT and sides[1] <= MOST_LONG
    )


def by_scale(video: Shape, scale: Fraction) -> Picture:
    """``video`` so many times as large."""
    return of_height(video, 2 * round(video.height * scale / 2))


def by_name(video: Shape, side: int) -> Picture:
    """``video`` with a shorter side of so many pixels; a wide one with less, as long as may be."""
    high = side
    if video.height > video.width:
        high = 2 * round(Fraction(side * video.height, video.width * 2))
    picture = of_height(video, high)
    too_long = max(picture.height, picture.width) > MOST_LONG and side <= MOST_SHORT
    return (largest(video) or picture) if too_long else picture


def offered(video: Shape) -> list[Picture]:
    """The usual ones, from the smallest on."""
    usual = [by_scale(video, scale) for scale in SCALES] + [by_name(video, side) for side in NAMED]
    found = {picture.height: picture for picture in usual if fits(video, picture)}
    return [found[height] for height in sorted(found)]


def largest(video: Shape) -> Picture | None:
    """The most that it can be; None where it is that already."""
    short, long = sorted((video.height, video.width))
    most = min(Fraction(MOST_SHORT, short), Fraction(MOST_LONG, long))
    height = 2 * (int(video.height * most) // 2)
    while height > video.height:
        if fits(video, picture := of_height(video, height)):
            return picture
        height -= 2
    return None
