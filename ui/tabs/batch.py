"""What is asked for less often: many clips at once, clips without a receipt inside, and a smoother
version of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.library.larger import NAMED
from engine.prompts.batch import MOST
from engine.text import Text
from engine.timing import RATES
from ui.wiring import QUIET
from ui.wording import say

EMBED = "embed_receipts"
SMOOTH, SIDE = "smooth_after", "enlarge_after"


@dataclass(frozen=True)
class More:
    """The inputs behind the form's own, in the order in which ``submit`` takes them, and the
    ``box`` that shows them."""

    box: gr.Accordion
    lines: gr.Checkbox
    seeds: gr.Number
    embed: gr.Checkbox
    smooth: gr.Dropdown
    side: gr.Dropdown

    def as_list(self) -> list[Any]:
        return [self.lines, self.seeds, self.embed, self.smooth, self.side]

    def kept(self) -> list[Any]:
        """Those whose value is remembered, as ``remembered`` answers."""
        return [self.embed, self.smooth, self.side]


def embeds(engine: Engine) -> bool:
    """Whether clips that no form asked for shall hold their receipt."""
    return bool(engine.settings.get(EMBED, True))


def one_of(value: int | None, among: Sequence[int]) -> int:
    """``value`` where it is ``among`` what can be chosen; 0 for none of it."""
    return value if value is not None and value in among else 0


def remembered(engine: Engine) -> list[Any]:
    """What ``More.kept`` shows as the page opens, in the reader's language."""
    return [
        embeds(engine),
        gr.Dropdown(_choices(RATES), value=one_of(engine.settings.get(SMOOTH, 0), RATES)),
        gr.Dropdown(_choices(NAMED, "p"), value=one_of(engine.settings.get(SIDE, 0), NAMED)),
    ]


def _choices(among: Sequence[int], unit: str = "") -> list[tuple[str, int]]:
    nothing = say(Text("choices.nothing_follows"))
    return [(nothing, 0), *((f"{number}{unit}", number) for number in among)]


def build_more(engine: Engine) -> More:
    title = "Batch and receipt"
    with gr.Accordion(title, open=False, elem_id="more") as box:
        lines = gr.Checkbox(False, label="One clip per line of the prompt", elem_id="lines")
        seeds = gr.Number(
            1,
            label="Seeds per prompt",
            info="The first is the seed above; the others count up from it, or are random too.",
            precision=0,
            minimum=1,
            maximum=MOST,
            elem_id="seeds",
        )
        embed = gr.Checkbox(
            True,
            label="Save prompt, settings and seed in the MP4",
            info="Drop such a clip on this page to reuse its settings. Turn off to keep your "
            "prompt out of shared files.",
            elem_id="embed",
        )

        smooth = gr.Dropdown(
            _choices(RATES),
            value=0,
            label="Then make a smoother version",
            info="Each clip is followed by one with so many frames a second. Both stay.",
            elem_id="smooth-after",
        )
        side = gr.Dropdown(
            _choices(NAMED, "p"),
            value=0,
            label="Then make a larger version",
            info="With both, one version follows that is smoother and larger.",
            elem_id="enlarge-after",
        )

    def remember(on: bool) -> None:
        engine.settings.set(EMBED, on)

    def remember_rate(rate: int | None) -> None:
        engine.settings.set(SMOOTH, rate or 0)

    def remember_side(pixels: int | None) -> None:
        engine.settings.set(SIDE, pixels or 0)

    embed.input(remember, embed, None, **QUIET)
    smooth.input(remember_rate, smooth, None, **QUIET)
    side.input(remember_side, side, None, **QUIET)
    return More(box, lines, seeds, embed, smooth, side)
