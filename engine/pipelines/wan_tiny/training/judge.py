"""Says from pixels alone what a clip shows: background, colours, shapes, motions.

The judge never sees the prompt. On true renderings it must be right nearly always, else its word
on the model's clips is worth nothing: evaluate.py reports both.
"""

import itertools
import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from engine.pipelines.wan_tiny.training.shapes import distance
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject
from engine.pipelines.wan_tiny.words import COLOURS, DIRECTIONS, RGB, SHAPES

CROP = 32  # side of the square to which each mask is cut and scaled
REACH = 2.0  # half of that square, in radii of the circle that has the mask's area
TURNS = 24  # rotations of each template
LOOKS = 5  # frames that are looked at for the shape
_EDGE = 0.16  # distance from the background (RGB, 0 to 1) from which a pixel is something


@dataclass(frozen=True)
class Seen:
    """One subject as it was seen; x, y are its mean place in shares of the frame."""

    shape: str
    colour: str
    motion: str
    x: float
    y: float


@dataclass(frozen=True)
class Judgement:
    """What one clip shows. subjects: at most two, the one with more pixels first."""

    background: tuple[str, str]
    subjects: tuple[Seen, ...]


@torch.no_grad()
def judge(clips: torch.Tensor) -> list[Judgement]:
    """Look at clips [N, 3, F, H, W] in [-1, 1], one after the other; any device."""
    pixels = (clips.float().clamp(-1, 1) + 1) / 2
    templates = _templates(pixels.device)
    return [_judge_one(clip, templates) for clip in pixels]


def _judge_one(clip: torch.Tensor, templates: torch.Tensor) -> Judgement:
    palette = torch.tensor([RGB[c] for c in COLOURS], device=clip.device) / 255.0
    names = list(COLOURS)
    height = clip.shape[2]
    band = max(2, height // 16)
    ends = torch.stack([_median(clip[:, :, :band]), _median(clip[:, :, -band:])])
    background = [names[i] for i in torch.cdist(ends, palette).argmin(1).tolist()]
    at = ((torch.arange(height, device=clip.device) + 0.5) / height)[:, None]
    inset = band / 2 / height
    mix = ((at - inset) / (1 - 2 * inset)).clamp(0, 1)
    ground = (ends[0] + (ends[1] - ends[0]) * mix).T[:, None, :, None]
    colours = _subject_colours(clip, ground, palette)
    masks = _masks(clip, ground, [colour for _, colour in colours])
    subjects = [
        seen
        for (index, _), mask in zip(colours, masks, strict=True)
        if (seen := _follow(mask, names[index], templates)) is not None
    ]
    return Judgement((background[0], background[1]), tuple(subjects))


def _median(area: torch.Tensor) -> torch.Tensor:
    return area.flatten(1).median(dim=1).values


def _subject_colours(
    clip: torch.Tensor, ground: torch.Tensor, palette: torch.Tensor
) -> list[tuple[int, torch.Tensor]]:
    """The one or two palette colours of the pixels that aren't background, and their medians."""
    something = (clip - ground).norm(dim=0) > _EDGE
    inner = -functional.max_pool2d(-something.float(), 3, 1, 1) > 0.5
    core = inner if int(inner.sum()) >= 4 * clip.shape[1] else something
    pixels = clip[:, core].T
    if len(pixels) < 2 * clip.shape[1]:
        return []
    nearest = torch.cdist(pixels, palette).argmin(1)
    counts: list[int] = torch.bincount(nearest, minlength=len(palette)).tolist()
    order = sorted(range(len(counts)), key=lambda i: -counts[i])[:2]
    kept = [i for i in order if counts[i] >= max(0.06 * counts[order[0]], clip.shape[1])]
    return [(i, pixels[nearest == i].median(dim=0).values) for i in kept]


def _masks(
    clip: torch.Tensor, ground: torch.Tensor, colours: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Soft masks [F, H, W]: how far each pixel is from the background towards a colour."""
    shares, misses = [], []
    for colour in colours:
        way = colour[:, None, None, None] - ground
        share = (((clip - ground) * way).sum(0) / (way**2).sum(0).clamp(min=1e-3)).clamp(0, 1)
        shares.append(share)
        misses.append((clip - ground - share * way).norm(dim=0))
    if len(colours) < 2:
        return shares
    first = misses[0] <= misses[1]
    return [shares[0] * first, shares[1] * ~first]


def _follow(mask: torch.Tensor, colour: str, templates: torch.Tensor) -> Seen | None:
    """Shape and motion of one subject from its soft mask [F, H, W]."""
    frames, height, width = mask.shape
    solid = mask * (mask > 0.35)
    area = solid.sum((1, 2))
    seen = (area > 0.0015 * height * width).nonzero().flatten()
    if len(seen) < max(2, frames // 2):
        return None
    columns = (torch.arange(width, device=mask.device) + 0.5) / width
    rows = (torch.arange(height, device=mask.device) + 0.5) / height
    x = (solid.sum(1) * columns).sum(1) / area.clamp(min=1e-6)
    y = (solid.sum(2) * rows).sum(1) / area.clamp(min=1e-6)
    crops = _crops(solid[seen], x[seen], y[seen], area[seen])
    motion = _motion(x[seen].tolist(), y[seen].tolist(), area[seen].tolist(), crops)
    scores = _shape_scores(solid[seen], crops, templates)
    shape = list(SHAPES)[int(scores.argmax())]
    return Seen(shape, colour, motion, float(x[seen].mean()), float(y[seen].mean()))


def _crops(
    solid: torch.Tensor, x: torch.Tensor, y: torch.Tensor, area: torch.Tensor
) -> torch.Tensor:
    """Masks [K, H, W] cut out around their centres at the same area: [K, CROP, CROP]."""
    _, height, width = solid.shape
    reach = REACH * torch.sqrt(area / math.pi)
    line = torch.linspace(-1, 1, CROP, device=solid.device)
    across = (x[:, None] + line * (reach / width)[:, None]) * 2 - 1
    down = (y[:, None] + line * (reach / height)[:, None]) * 2 - 1
    grid = torch.stack(
        [
            across[:, None, :].expand(-1, CROP, -1),
            down[:, :, None].expand(-1, -1, CROP),
        ],
        dim=-1,
    )
    cut = functional.grid_sample(solid[:, None], grid, align_corners=False)
    return cut[:, 0]


def _templates(device: torch.device) -> torch.Tensor:
    """Every shape at every turn, cut as masks are: [shapes * TURNS, CROP * CROP], length 1."""
    side = 96
    line = (torch.arange(side, device=device) + 0.5) / side * 4 - 2
    turn = torch.arange(TURNS, device=device)[:, None, None] * (2 * math.pi / TURNS)
    x, y = line[None, None, :], line[None, :, None]
    px = x * torch.cos(turn) + y * torch.sin(turn)
    py = y * torch.cos(turn) - x * torch.sin(turn)
    out = []
    for index in range(len(SHAPES)):
        away = distance(torch.full((TURNS,), index, device=device), px, py)
        mask = (0.5 - away * side / 4).clamp(0, 1)
        area = mask.sum((1, 2))
        centre_x = (mask.sum(1) * (line / 4 + 0.5)).sum(1) / area
        centre_y = (mask.sum(2) * (line / 4 + 0.5)).sum(1) / area
        out.append(_crops(mask, centre_x, centre_y, area))
    return functional.normalize(torch.cat(out).flatten(1), dim=1)


def _shape_scores(
    solid: torch.Tensor, crops: torch.Tensor, templates: torch.Tensor
) -> torch.Tensor:
    """How well each shape fits, over the largest masks that don't touch the frame's edge."""
    rim = torch.cat([solid[:, 0], solid[:, -1], solid[:, :, 0], solid[:, :, -1]], dim=1)
    whole = (rim.amax(1) < 0.35).float() + 1e-3
    pick = (solid.sum((1, 2)) * whole).argsort(descending=True)[:LOOKS]
    flat = functional.normalize(crops[pick].flatten(1), dim=1)
    fits = (flat @ templates.T).reshape(-1, len(SHAPES), TURNS).amax(2)
    return torch.mean(fits, dim=0)


def _motion(x: list[float], y: list[float], area: list[float], crops: torch.Tensor) -> str:
    across, down = _heading(x), _heading(y)
    for name, step in DIRECTIONS.items():
        if step == (across, down):
            return name
    if max(y) - min(y) > 0.17:
        return "bounce"
    growth = sum(area[-2:]) / sum(area[:2])
    if growth > 1.9:
        return "grow"
    if growth < 1 / 1.9:
        return "shrink"
    first = crops[:1]
    overlap = torch.minimum(crops, first).sum((1, 2)) / torch.maximum(crops, first).sum((1, 2))
    return "spin" if float(overlap.min()) < 0.72 else "still"


def _heading(places: list[float]) -> int:
    """-1, 0 or 1: does this coordinate move steadily one way, by a fifth of the frame or more?"""
    way = places[-1] - places[0]
    if abs(way) < 0.2:
        return 0
    steps = [b - a for a, b in itertools.pairwise(places)]
    against = sum(-s * math.copysign(1, way) for s in steps if s * way < 0)
    return 0 if against > 0.35 * abs(way) else int(math.copysign(1, way))


@dataclass(frozen=True)
class Score:
    """What of one scene a clip got right."""

    background: bool
    colours: tuple[bool, ...]
    shapes: tuple[bool, ...]
    motions: tuple[bool, ...]
    all: bool


def score(scene: Scene, verdict: Judgement) -> Score:
    """Compare a verdict with what was asked for. Subjects are matched by colour, then by rank."""
    ranked = list(verdict.subjects)
    found: list[Seen | None] = []
    for rank, asked in enumerate(scene.subjects):
        same = [s for s in ranked if s.colour == asked.colour]
        spare = ranked[rank] if len(scene.subjects) == 1 and ranked else None
        found.append(same[0] if same and len(scene.subjects) > 1 else spare)
    pairs: list[tuple[Subject, Seen | None]] = list(zip(scene.subjects, found, strict=True))
    background = verdict.background == scene.background
    colours = tuple(s is not None and s.colour == a.colour for a, s in pairs)
    shapes = tuple(s is not None and s.shape == a.shape for a, s in pairs)
    motions = tuple(s is not None and s.motion == a.motion for a, s in pairs)
    placed = True
    if len(found) == 2 and found[0] is not None and found[1] is not None:
        if scene.layout == "stacked":
            placed = found[0].y < found[1].y
        else:
            placed = found[0].x < found[1].x
    every = background and all(colours) and all(shapes) and all(motions) and placed
    return Score(background, colours, shapes, motions, every)
