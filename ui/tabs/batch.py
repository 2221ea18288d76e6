"""What is asked for less often: many clips at once, and clips without a receipt inside."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.prompts.batch import MOST
from ui.wiring import QUIET

EMBED = "embed_receipts"


@dataclass(frozen=True)
class More:
    """The inputs behind the form's own, in the order in which ``submit`` takes them, and the
    ``box`` that shows them."""

    box: gr.Accordion
    lines: gr.Checkbox
    seeds: gr.Number
    embed: gr.Checkbox

    def as_list(self) -> list[Any]:
        return [self.lines, self.seeds, self.embed]


def embeds(engine: Engine) -> bool:
    """Whether clips that no form asked for shall hold their receipt."""
    return bool(engine.settings.get(EMBED, True))


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

    def remember(on: bool) -> None:
        engine.settings.set(EMBED, on)

    embed.input(remember, embed, None, **QUIET)
    return More(box, lines, seeds, embed)
