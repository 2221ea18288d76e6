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
from ui import wording
from ui.wording import say


def label(name: Said, verdict: Verdict, duration: Duration | None, peak: Text) -> str:
    """Two lines: ``name``; and what it takes, or its verdict."""
    about = takes(verdict, duration, peak)
    return "\n".join(say(line) for line in (name, about) if line)


def takes(verdict: Verdict, duration: Duration | None, peak: Text) -> Said:
    """Seconds and memory, as in "14 s, 6.0 GB", or the verdict's word where it isn't open."""
    if not verdict.open:
        return verdict.word.text
    time = "" if duration is None else wording.seconds(duration.seconds)
    if time and peak:
        return Text("cards.takes", time=time, memory=peak)
    return time or peak


def style(cards: Iterable[tuple[str, Size, Verdict, bool]]) -> str:
    """Rules for what CSS can't tell from the text: each card's shape, its verdict and its mark.

    Args:
        cards: the radio's value, what it stands for, the verdict on that, and whether it is a best
            one for quality.
    """
    rules = []
    for value, size, verdict, best in cards:
        card = f'#size label:has(input[value="{html.escape(value, quote=True)}"])'
        longest = max(size.width, size.height)
        width, height = size.width / longest, size.height / longest
        rules.append(f"{card} {{ --wide: {width:.3f}; --high: {height:.3f}; }}")
        if best:
            mark = html.escape(say(Text("cards.best")), quote=True)
            rules.append(f"{card} {{ --mark: '{mark}'; }}")
        if not verdict.open:
            rules.append(f"{card} {{ border-style: dashed; }}")
    return f"<style>{' '.join(rules)}</style>"
