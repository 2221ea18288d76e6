"""A card to share: a model's numbers on this device, as a picture and as JSON."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.units import GIB

WIDTH, HEIGHT, EDGE = 1200, 630, 60
BARS, BAR = 730, 310  # where the stages' bars begin, and the longest one
PAPER, INK, QUIET, ACCENT = "#0f172a", "#f8fafc", "#94a3b8", "#5eead4"
Facts = Mapping[str, Any]


class CardError(HeadroomError):
    """The card can't be written."""

    exit_code = ExitCode.BAD_INPUT


def write(facts: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """``bench-<device>-<model>.png`` and ``.json`` in ``folder``; returns both.

    Raises:
        CardError: the folder can't be written to.
    """
    named = f"{facts['device']} {facts['model']}".lower()
    name = re.sub(r"[^a-z0-9.]+", "-", named).strip("-.")
    picture, numbers = folder / f"bench-{name}.png", folder / f"bench-{name}.json"
    try:
        draw(facts).save(picture)
        numbers.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    except OSError as error:
        raise CardError(
            f"The card can't be written to {folder}: {error.strerror or error}.",
            "Choose another folder with --out FOLDER.",
        ) from error
    return picture, numbers


def draw(facts: Facts) -> Any:
    """The card as a picture of Pillow's, in the font that it brings along."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(image)

    def text(x: float, y: float, words: str, size: float, colour: str = INK) -> None:
        """At most as wide as the card, in smaller letters where it would be wider."""
        words = words.replace("×", "x")  # the font hasn't got it
        font = ImageFont.load_default(size)
        while font.getlength(words) > WIDTH - EDGE - x and size > 10:
            size -= 1
            font = ImageFont.load_default(size)
        pen.text((x, y), words, colour, font)

    text(EDGE, 44, str(facts["device"]).removeprefix("NVIDIA "), 46)
    text(EDGE, 106, what_ran(facts), 24, QUIET)
    seconds = facts["seconds"]
    text(EDGE - 8, 160, _short(seconds["warm"]), 132, ACCENT)
    text(EDGE, 310, "a warm clip, from the order to the written MP4", 24, QUIET)
    longest = max(seconds["stages"].values())
    for line, (stage, took) in enumerate(seconds["stages"].items()):
        y = 178 + 32 * line
        text(BARS - 110, y, stage, 20, QUIET)
        end = BARS + BAR * took / longest
        pen.rectangle([(BARS, y + 4), (max(end, BARS + 2), y + 20)], ACCENT)
        text(end + 10, y, _short(took), 20)
    for place, (value, meaning) in enumerate(tiles(facts)):
        x, y = EDGE + 275 * (place % 4), 368 + 82 * (place // 4)
        text(x, y, value, 32)
        text(x, y + 38, meaning, 18, QUIET)
    pen.line([(EDGE, 540), (WIDTH - EDGE, 540)], QUIET, 1)
    for line, words in enumerate(basis(facts)):
        text(EDGE, 550 + 22 * line, words, 17, QUIET)
    return image


def what_ran(facts: Facts) -> str:
    length = facts["frames"] / facts["fps"]
    return (
        f"{facts['model_name']}: {facts['width']} × {facts['height']}, {facts['frames']} frames "
        f"({length:.1f} s), {facts['steps']} steps"
    )


def tiles(facts: Facts) -> list[tuple[str, str]]:
    """Value and meaning, at most eight; what wasn't measured isn't there."""
    seconds, least = facts["seconds"], facts["floor"]
    found = [
        (_short(seconds["cold"]), "the first clip"),
        (_short(seconds["step"]), "a denoise step"),
        (f"{facts['peak_bytes'] / GIB:.2f} GiB", f"peak, of {facts['memory_bytes'] / GIB:.1f}"),
    ]
    if seconds["block"]:
        found.insert(2, (_short(seconds["block"]), "a transformer block"))
    if least is not None:
        found.append((f"{100 * least['share']:.0f} %", "of the step is the floor"))
    if facts["gpu_busy_share"] is not None:
        found.append((f"{100 * facts['gpu_busy_share']:.0f} %", "GPU busy in a step"))
    if facts["copies_hidden_share"] is not None:
        found.append((f"{100 * facts['copies_hidden_share']:.0f} %", "of copies hidden"))
    theirs = seconds["lightx2v_new_prompt"]
    if theirs and seconds["new_prompt"]:
        found.append((f"{seconds['new_prompt'] / theirs:.2f} ×", "LightX2V's own time"))
    return found


def basis(facts: Facts) -> list[str]:
    """How it came about, in three lines."""
    versions, plan = facts["versions"], facts["plan"]
    told = [f"{name} {versions[name]}" for name in ("headroom", "torch") if name in versions]
    for name in ("lightx2v", "diffusers", "triton"):
        if versions.get(name) not in (None, "unknown"):
            told.append(f"{name} {versions[name]}")
    if facts["driver"]:
        told.append(f"driver {facts['driver']}")
    names = ("matmul", "attention", "offload", "decode")
    ran = ", ".join(f"{name} {plan[name]}" for name in names if name in plan)
    count = facts["seconds"]["warm_clips"]
    warm = "one warm clip" if count == 1 else f"the median of {count} warm clips"
    least = f"Floor: {facts['floor']['basis']}." if facts["floor"] else ""
    return [
        f"Measured {facts['date']} by Headroom's bench: {warm}, one cold; {ran}.",
        least,
        ", ".join(told),
    ]


def _short(seconds: float) -> str:
    """Three figures, and what they count."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"
