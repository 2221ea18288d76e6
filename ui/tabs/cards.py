"""The sizes as cards: shape, what a clip of it takes here, and whether it is open.

They are the choices of a Gradio radio, whose labels are plain text; the lines of a label and the
shapes beside them are drawn by page.css and by the rules that ``style`` makes.
"""

import html
from collections.abc import Iterable

from engine.guard.duration import Duration
from engine.guard.verdict import Verdict
from engine.request import Size
from engine.text import Said, Text
from engine.units import gigabytes
from ui import wording
from ui.wording import say


def label(name: Said, best: bool, verdict: Verdict, duration: Duration | None) -> str:
    """Two lines: ``name``; and what it takes, or its verdict, and whether it is a best one."""
    about = takes(verdict, duration)
    if best:
        about = Text("cards.best", takes=about) if about else Text("cards.only_best")
    return "\n".join(say(line) for line in (name, about) if line)


def takes(verdict: Verdict, duration: Duration | None) -> Said:
    """Seconds and memory, as in "14 s, 6.0 GB", or the verdict's word where it isn't open."""
    if not verdict.open:
        return verdict.word.text
    memory: Said = "" if verdict.peak is None else gigabytes(verdict.peak)
    if memory and verdict.hedge == "up_to" and verdict.basis != "measured":
        memory = Text("cards.up_to", memory=memory)
    time = "" if duration is None else wording.seconds(duration.seconds)
    if time and memory:
        return Text("cards.takes", time=time, memory=memory)
    return time or memory


def style(cards: Iterable[tuple[str, Size, Verdict]]) -> str:
    """Rules for what CSS can't tell from the text: each card's shape and its verdict.

    Args:
        cards: the radio's value, what it stands for, and the verdict on that.
    """
    rules = []
    for value, size, verdict in cards:
        card = f'#size label:has(input[value="{html.escape(value, quote=True)}"])'
        longest = max(size.width, size.height)
        width, height = size.width / longest, size.height / longest
        rules.append(f"{card} {{ --wide: {width:.3f}; --high: {height:.3f}; }}")
        if not verdict.open:
            rules.append(f"{card} {{ border-style: dashed; }}")
    return f"<style>{' '.join(rules)}</style>"
