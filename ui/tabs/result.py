"""The clip on show: large, with what can be made of it next, and its receipt."""

import html
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from engine.default_model import default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.predict import covers
from engine.library.library import Clip
from engine.library.receipt import asked_again
from engine.presets import ModelPreset, Presets
from engine.prompts.ideas import load_ideas
from engine.request import ClipRequest
from engine.text import Text
from ui.tabs.batch import embeds
from ui.tabs.dropped import usable
from ui.tabs.generate import Controls, brought_back, refusal_html
from ui.tabs.library import EMPTY, receipt_html
from ui.tabs.library_routes import found, queue_again
from ui.tabs.prompts import put_into
from ui.wiring import QUIET
from ui.wording import say

EXAMPLES = 3
BEGIN = """
<div class="begin">
  <p><b>No clip yet.</b> Write what it should show and press Generate (Ctrl+Enter). It appears here,
    with a receipt that says how it was made.</p>
  <p>Or begin with one of these:</p>
</div>
"""


@dataclass(frozen=True)
class ResultParts:
    """The parts that ``newest`` fills, in its order, and the ``examples`` of an empty page."""

    begin: gr.Column
    video: gr.Video
    acts: gr.Row
    larger: gr.Button
    receipt: gr.HTML
    shown: gr.State
    same: gr.Button
    new: gr.Button
    told: gr.HTML
    examples: tuple[tuple[gr.Button, str], ...]

    def as_list(self) -> list[Any]:
        return [self.begin, self.video, self.acts, self.larger, self.receipt, self.shown]


def build_result(engine: Engine) -> ResultParts:
    with gr.Column(visible=False, elem_id="begin") as begin:
        gr.HTML(BEGIN, js_on_load=None)
        with gr.Row(elem_id="examples"):
            examples = tuple(
                (gr.Button(text, size="sm", min_width=120, elem_classes="notranslate"), text)
                for text in example_prompts(default_model(engine).preset)
            )
    video = gr.Video(
        label="Clip",
        elem_id="clip",
        autoplay=True,
        loop=True,
        interactive=False,
        buttons=["download"],
        visible=False,
    )
    with gr.Row(visible=False, elem_id="next") as acts:
        same = gr.Button("Same again", elem_id="same-again", min_width=100)
        new = gr.Button("New seed", elem_id="new-seed", min_width=100)
        larger = gr.Button("Larger", elem_id="larger", min_width=100)
    told = gr.HTML("", elem_id="result-told", js_on_load=None)
    with gr.Accordion("Receipt: how this clip was made", open=False):
        receipt = gr.HTML(EMPTY, elem_id="receipt", js_on_load=None)
    shown = gr.State(None)
    return ResultParts(begin, video, acts, larger, receipt, shown, same, new, told, examples)


def example_prompts(preset: ModelPreset) -> list[str]:
    """One of each of the first themes that ``preset`` has."""
    themes = load_ideas().themes(preset)
    return [theme.prompts[0].text for theme in themes[:EXAMPLES]]


def newest(engine: Engine) -> list[Any]:
    """Values for ``ResultParts.as_list()``, once a job has ended or the page was opened."""
    clip = _newest(engine)
    none = clip is None
    path = place(engine, clip) if clip is not None else None
    known = clip is not None and clip.request.model in engine.presets.models
    more = known and clip is not None and larger(engine.presets, clip.request) is not None
    return [
        gr.Column(visible=none),
        gr.Video(path, visible=path is not None),
        gr.Row(visible=known),
        gr.Button(visible=more),
        _receipt(engine, clip, path),
        None if clip is None else clip.id,
    ]


def _receipt(engine: Engine, clip: Clip | None, path: str | None) -> str:
    if clip is None:
        return EMPTY
    if path is None:
        return f"<p>{html.escape(say(Text('result.gone', file=clip.file)))}</p>"
    return receipt_html(clip, engine)


def place(engine: Engine, clip: Clip) -> str | None:
    """Where the file lies; None where it was taken away by hand."""
    return str(engine.library.place(clip)) if engine.library.lies_here(clip) else None


def larger(presets: Presets, request: ClipRequest) -> ClipRequest | None:
    """The same at the next larger picture of the same form on offer; None where there is none."""

    def form(width: int, height: int) -> int:
        return (width > height) - (width < height)

    wanted = form(request.width, request.height)
    on_offer = [
        replace(request, height=size.height, width=size.width)
        for size in presets.sizes_for(request.model)
        if form(size.width, size.height) == wanted
    ]
    above = [r for r in on_offer if not covers(request.size, r.size)]
    return min(above, key=lambda r: r.size.pixels, default=None)


def wire(engine: Engine, parts: ResultParts, controls: Controls, judged_parts: list[Any]) -> None:
    """Connect the buttons below the clip, and the examples.

    Args:
        judged_parts: what ``brought_back`` sets besides the form: the verdict and its button.
    """

    def again(fresh: bool, number: int | None) -> str:
        try:
            queue_again(engine, _number(engine, number), fresh)
        except HeadroomError as error:
            return refusal_html(error)
        return ""

    everything = [*controls.as_list(), *judged_parts, parts.told]

    def enlarge(number: int | None) -> list[Any]:
        """Into the form, and into the queue where the guard lets it."""
        kept = [gr.skip()] * (len(everything) - 1)
        try:
            request = usable(engine, asked_again(found(engine, _number(engine, number)).receipt))
            above = larger(engine.presets, request)
            if above is None:
                return [*kept, f"<p>{html.escape(say(Text('result.no_larger')))}</p>"]
            fields, verdict = brought_back(engine, above)
            kept = [*fields, *verdict]
            engine.submit(above, embed=embeds(engine))
        except HeadroomError as error:
            return [*kept, refusal_html(error)]
        return [*kept, ""]

    parts.same.click(partial(again, False), parts.shown, parts.told, **QUIET)
    parts.new.click(partial(again, True), parts.shown, parts.told, **QUIET)
    parts.larger.click(enlarge, parts.shown, everything, **QUIET)
    put_into(controls.prompt, controls.helped, parts.examples)


def _number(engine: Engine, shown: int | None) -> int:
    """Of the clip on show; the newest where Gradio has forgotten the tab, as it does in time."""
    if shown is not None:
        return shown
    clip = _newest(engine)
    return 0 if clip is None else clip.id


def _newest(engine: Engine) -> Clip | None:
    library = engine.library
    return library.last_made() or next(iter(library.newest(1)), None)
