"""The stage: one frame that shows what this machine can make, then the preview of what it makes,
then the clip, with what can be made of it next.

stage.js draws it, from what the live stream and the library answer.
"""

import base64
import hashlib
import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from engine.default_model import default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.predict import covers
from engine.presets import ModelPreset, Presets
from engine.prompts.ideas import load_ideas
from engine.request import ClipRequest
from engine.text import Text
from ui.icons import icon
from ui.tabs.batch import embeds
from ui.tabs.choices import preset_of
from ui.tabs.dropped import usable
from ui.tabs.generate import Controls, Foot, brought_back, cancel_current, refusal_html
from ui.tabs.library_routes import asked_of, found
from ui.tabs.prompts import History
from ui.theme import ASSETS
from ui.wiring import QUIET
from ui.wording import say

EXAMPLES = 3
STAGE = """
<div class="live-panel stage" data-mode="wait">
  <div class="frame">
    <div class="idle">
      <p class="lead"></p>
      <ul class="examples" aria-label="Examples"></ul>
      <button type="button" class="lib-button" id="from-picture">{picture}<span
        >Start from a picture…</span></button>
    </div>
    <div class="canvas" style="--wide:{wide};--high:{high}">
      <div class="film" id="clip"></div>
      <img class="preview" data-live="preview" alt="Rough preview of the clip being made" hidden>
      <div class="over">
        <p class="title" data-live="title"></p><i hidden><i data-live="job"></i></i>
        <div class="line"><span aria-live="polite" data-live="stage"></span><span data-live="lane"
          hidden></span><span data-live="left"></span></div>
        <div class="progress" role="progressbar" aria-label="This clip" aria-valuemin="0"
          aria-valuemax="100" aria-valuenow="0" data-live="bar"><span></span></div>
        <button type="button" class="lib-button" id="cancel">{cancel}<span>Cancel</span></button>
      </div>
    </div>
    <div class="messages">
      <p class="message bad" role="alert" data-live="offline" hidden></p>
      <p class="message warn" data-live="waiting-for" hidden></p>
      <p class="message outcome" aria-live="polite" data-live="outcome" hidden></p>
    </div>
  </div>
  <div class="caption" hidden>
    <p class="prompt" translate="no"></p>
    <p class="facts"></p>
    <div class="versions" role="group" aria-label="Versions" hidden></div>
  </div>
  <div class="acts" id="next" hidden></div>
  <p class="told" role="status"></p>
  <p class="engine"><span class="dot" aria-hidden="true"></span><span data-live="engine"
    >Connecting…</span> <span class="label" data-live="label" hidden></span></p>
</div>
"""


def build_stage(engine: Engine) -> gr.HTML:
    """The stage. It fires ``change`` when a job has ended, ``tick`` and ``release`` as live.js
    says; ``select`` with the ``id`` of a clip whose settings are wanted, ``edit`` with that of one
    to be made larger, and ``input`` with the ``text`` of an example."""

    def cancel(asked: object = None) -> str:
        shown = asked.get("job") if isinstance(asked, dict) else None
        try:
            cancel_current(engine, shown)
        except HeadroomError as error:
            return say(error.text)
        return ""

    def examples(asked: object = None) -> list[dict[str, str]]:
        model = asked.get("model") if isinstance(asked, dict) else None
        preset = preset_of(engine.presets, model)
        return [{"text": t, "still": example_still(preset, t)} for t in example_prompts(preset)]

    tools = [read(f"library/library_{part}.js") for part in ("tools", "dialogs", "compare")]
    # Each in a block of its own: both have names like ``show``.
    scripts = [f"{{\n{read(part)}\n}}" for part in ("page/stage.js", "page/live.js")]
    first = default_model(engine).preset.default
    signs = {name: icon(name) for name in ("cancel", "picture")}
    return gr.HTML(
        STAGE.format(wide=first.width, high=first.height, **signs),
        elem_id="stage",
        js_on_load="\n".join([*tools, *scripts]),
        server_functions=[cancel, examples],
    )


def read(script: str) -> str:
    return (ASSETS / script).read_text(encoding="utf-8")


def example_prompts(preset: ModelPreset) -> list[str]:
    """One of each of the first themes that ``preset`` has."""
    themes = load_ideas().themes(preset)
    return [theme.prompts[0].text for theme in themes[:EXAMPLES]]


def example_file(preset: ModelPreset, prompt: str) -> Path:
    """Where the still of an example is, if it was made (tests/tools/stills.py). A prompt that is
    changed has none until it is made anew."""
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:12]
    return ASSETS / "stills" / f"{preset.id}-{digest}.jpg"


def example_still(preset: ModelPreset, prompt: str) -> str:
    """A picture of a clip that ``preset`` made of ``prompt``, as a data URL; "" without one."""
    file = example_file(preset, prompt)
    if not file.is_file():
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode()}"


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


def wire(engine: Engine, stage: gr.HTML, controls: Controls, foot: Foot) -> None:
    """Connect what the stage fires and the form takes."""
    everything = [*controls.whole(), *foot.judged(), foot.error]
    texts = load_ideas().texts

    def enlarge(event: gr.EventData) -> list[Any]:
        """Into the form, and into the queue where the guard lets it."""
        kept = [gr.skip()] * (len(everything) - 1)
        number = event._data.get("id") if isinstance(event._data, dict) else None
        try:
            clip = found(engine, number if isinstance(number, int) else 0)
            request = usable(engine, asked_of(engine, clip))
            above = larger(engine.presets, request)
            if above is None:
                said = html.escape(say(Text("stage.no_larger")))
                return [*kept, f"<div class='refusal' role='alert'><p>{said}</p></div>"]
            fields, verdict = brought_back(engine, above)
            kept = [*fields, *verdict]
            engine.submit_all([above], embeds(engine), may_wait=True)
        except HeadroomError as error:
            return [*kept, refusal_html(error)]
        return [*kept, ""]

    def put(event: gr.EventData, current: str, history: History) -> list[Any]:
        """An example of ours, and nothing else, becomes the prompt."""
        text = event._data.get("text") if isinstance(event._data, dict) else None
        if not isinstance(text, str) or text not in texts:
            return [gr.skip()] * 3
        return history.replaced(current, texts).updates(text)

    helped = controls.helped
    stage.edit(enlarge, None, everything, **QUIET)
    changed = [controls.prompt, helped.history, helped.back]
    put_in = stage.input(put, [controls.prompt, helped.history], changed, **QUIET)
    put_in.then(None, None, None, js=read("page/go.js"), **QUIET)
