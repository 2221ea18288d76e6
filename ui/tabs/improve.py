"""A language model improves the prompt, if somebody wants that: which one, asking it, its answer.

The answer is shown beside the prompt and never takes its place by itself.
"""

import asyncio
import html
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.pipelines import family_of
from engine.presets import ModelPreset
from engine.prompts.enhancer import SECONDS_MOST, Enhancer, ollama_base
from engine.prompts.openai_server import SECONDS, Endpoint, EnhancerError
from engine.text import Text, listed
from ui.tabs.choices import preset_of
from ui.wiring import QUIET, Chosen
from ui.wording import say

CALLS_AT_ONCE = 8  # of all tabs; a local server answers them one after the other anyway


# ---- calls that can be cancelled -----------------------------------------------------------


@dataclass
class Calls:
    """The running calls, one a tab. All of it happens in the page's event loop: a call that waits
    holds no thread, so the page answers as before."""

    running: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    async def run(self, tab: str, work: Coroutine[Any, Any, str]) -> str | None:
        """What ``work`` gives; None when it was cancelled."""
        self.cancel(tab)
        if len(self.running) >= CALLS_AT_ONCE:
            work.close()
            raise EnhancerError(
                Text("prompts.others_ask", count=CALLS_AT_ONCE), Text("prompts.wait")
            )
        task = self.running[tab] = asyncio.create_task(work)
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()  # where this call itself was ended
            if self.running.get(tab) is task:
                del self.running[tab]
        return None if task.cancelled() else task.result()

    def cancel(self, tab: str) -> None:
        task = self.running.pop(tab, None)
        if task is not None:
            task.cancel()


# ---- the parts -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Which:
    """The fields that say which language model is asked."""

    frame: gr.Accordion
    base: gr.Textbox
    model: gr.Dropdown
    key: gr.Textbox
    seconds: gr.Number
    save: gr.Button
    look: gr.Button
    off: gr.Button
    told: gr.HTML

    def filled(self) -> list[Any]:
        return [self.frame, self.base, self.model, self.key, self.seconds, self.off]


@dataclass(frozen=True)
class Panel:
    """What a button below the prompt opens. ``suggestion``: a prompt, and what was made of it."""

    frame: gr.Column
    status: gr.HTML
    ask: gr.Button
    stop: gr.Button
    result: gr.HTML
    use: gr.Button
    which: Which
    suggestion: gr.State
    opened: gr.State

    def looked(self) -> list[Any]:
        """What depends on which language model is set."""
        return [self.status, self.ask, *self.which.filled()]

    def answered(self) -> list[Any]:
        return [self.status, self.ask, self.stop, self.result, self.use, self.suggestion]


def build_panel() -> Panel:
    with gr.Column(visible=False, elem_id="improve") as frame:
        status = gr.HTML("", elem_id="improve-status", js_on_load=None)
        result = gr.HTML("", elem_id="improve-result", visible=False, js_on_load=None)
        with gr.Row(elem_id="improve-buttons"):
            use = gr.Button(
                "Use this", variant="primary", elem_id="improve-use", min_width=100, visible=False
            )
            ask = gr.Button("Improve my prompt", elem_id="improve-ask", min_width=150)
            stop = gr.Button("Cancel", elem_id="improve-stop", min_width=90, visible=False)
        which = _build_which()
    suggestion, opened = gr.State(("", "")), gr.State(False)
    return Panel(frame, status, ask, stop, result, use, which, suggestion, opened)


def _build_which() -> Which:
    with gr.Accordion("Language model", open=False, elem_id="improve-which") as frame:
        with gr.Row():
            base = gr.Textbox(
                label="Address (OpenAI-compatible)", max_lines=1, elem_id="llm-base", scale=3
            )
            model = gr.Dropdown(
                label="Model", allow_custom_value=True, elem_id="llm-model", min_width=140, scale=2
            )
        with gr.Row():
            key = gr.Textbox(
                label="API key, if needed",
                type="password",
                max_lines=1,
                elem_id="llm-key",
                scale=3,
                html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )
            seconds = gr.Number(
                label="Time limit (s)",
                precision=0,
                minimum=1,
                maximum=SECONDS_MOST,
                elem_id="llm-seconds",
                min_width=140,
                scale=2,
            )
        told = gr.HTML("", elem_id="llm-told", js_on_load=None)
        with gr.Row():
            save = gr.Button("Save", elem_id="llm-save", min_width=80)
            look = gr.Button("Find Ollama", elem_id="llm-look", min_width=130)
            off = gr.Button("Turn off", elem_id="llm-off", min_width=90, visible=False)
    return Which(frame, base, model, key, seconds, save, look, off, told)


# ---- asking --------------------------------------------------------------------------------


def wire_panel(
    engine: Engine,
    panel: Panel,
    opener: gr.Button,
    prompt: gr.Textbox,
    model: gr.Dropdown,
) -> None:
    """Connect the panel to its button, the prompt and the chosen model."""
    enhancer = Enhancer(engine.settings, engine.home.database)
    _wire_which(enhancer, panel, opener)
    presets, calls = engine.presets, Calls()

    def begin() -> list[Any]:
        endpoint = enhancer.endpoint
        said = waiting_html(endpoint) if endpoint else status_html(endpoint)
        return [said, gr.Button(visible=False), gr.Button(visible=True)]

    async def ask(text: str, name: Chosen, request: gr.Request) -> list[Any]:
        preset = preset_of(presets, name)
        try:
            made = await calls.run(request.session_hash or "", enhancer.improve(text, preset))
            said = status_html(enhancer.endpoint)
        except HeadroomError as error:  # the store's, too: it holds the address and the key
            return [problem_html(error), *_NO_RESULT]
        if made is None:
            return [told_html(Text("improve.cancelled")), *_NO_RESULT]
        return [
            said,
            gr.Button(say(Text("improve.once_more")), visible=True),
            gr.Button(visible=False),
            gr.HTML(versions_html(text, made, preset), visible=True),
            gr.Button(visible=True),
            (text, made),
        ]

    async def stop(request: gr.Request) -> None:
        calls.cancel(request.session_hash or "")

    shown = [panel.status, panel.ask, panel.stop]
    panel.ask.click(begin, None, shown, **QUIET).then(
        ask, [prompt, model], panel.answered(), **QUIET
    )
    panel.stop.click(stop, None, None, **QUIET)


# Behind the status: what was suggested before stays, as far as it is there.
_NO_RESULT: list[Any] = [
    gr.Button(visible=True),
    gr.Button(visible=False),
    gr.skip(),
    gr.skip(),
    gr.skip(),
]


def _wire_which(enhancer: Enhancer, panel: Panel, opener: gr.Button) -> None:
    which = panel.which

    def undecided() -> bool:
        return enhancer.endpoint is None and not enhancer.turned_off

    def toggle(is_open: bool) -> list[Any]:
        values = looked(enhancer, None)
        if undecided():
            values[0] = told_html(Text("improve.looking"), status=True)
        return [not is_open, gr.Column(visible=not is_open), *values]

    async def look_first(is_open: bool) -> list[Any]:
        """Only the opening of the panel looks, only where nothing was decided yet."""
        if not is_open or not undecided():
            return [gr.skip()] * len(panel.looked())
        try:
            values = looked(enhancer, await enhancer.look())
            values[2] = gr.Accordion(open=undecided())
        except HeadroomError as error:
            return [problem_html(error), *([gr.skip()] * (len(panel.looked()) - 1))]
        return values

    async def look() -> list[Any]:
        found = await enhancer.look()
        kept = enhancer.endpoint
        if found and kept is None:  # turned off: whoever looks wants it again
            enhancer.set(ollama_base(), found[0])
        values = looked(enhancer, found)
        if not found or kept is None or (kept.base == ollama_base() and kept.model in found):
            return [found_html(found), *values]
        # Another one is set, perhaps with a key that would be lost: it is for its owner to replace.
        offered = gr.Dropdown(list(found), value=found[0], allow_custom_value=True)
        values[3:6] = [ollama_base(), offered, gr.Textbox(value="", placeholder="")]
        return [found_html(found) + told_html(Text("improve.press_save")), *values]

    def save(base: str, model: Chosen, key: str, seconds: float | None) -> list[Any]:
        try:
            enhancer.set(base, str(model or ""), key, seconds or SECONDS)
        except EnhancerError as error:
            return [problem_html(error), *([gr.skip()] * len(panel.looked()))]
        return [told_html(Text("improve.saved")), *looked(enhancer, None)]

    def off() -> list[Any]:
        enhancer.turn_off()
        return [told_html(Text("improve.off")), *looked(enhancer, None)]

    outputs = [which.told, *panel.looked()]
    fields = [which.base, which.model, which.key, which.seconds]
    opener.click(toggle, panel.opened, [panel.opened, panel.frame, *panel.looked()], **QUIET).then(
        look_first, panel.opened, panel.looked(), **QUIET
    )
    which.look.click(look, None, outputs, **QUIET)
    which.save.click(save, fields, outputs, **QUIET)
    which.off.click(off, None, outputs, **QUIET)


def looked(enhancer: Enhancer, found: tuple[str, ...] | None) -> list[Any]:
    """The values of ``Panel.looked``.

    Args:
        found: the models of an Ollama, where one was looked for.
    """
    endpoint = enhancer.endpoint
    keep = say(Text("improve.key_is_kept")) if endpoint and endpoint.has_key else ""
    choices = {"choices": list(found)} if found else {}
    return [
        status_html(endpoint),
        gr.Button(visible=endpoint is not None),
        gr.skip(),  # what somebody opened stays open
        endpoint.base if endpoint else ollama_base(),
        gr.Dropdown(value=endpoint.model if endpoint else None, allow_custom_value=True, **choices),
        gr.Textbox(value="", placeholder=keep),
        endpoint.seconds if endpoint else SECONDS,
        gr.Button(visible=endpoint is not None),
    ]


# ---- what is shown -------------------------------------------------------------------------


def status_html(endpoint: Endpoint | None) -> str:
    """Who is asked, and where the prompt goes then."""
    if endpoint is None:
        return told_html(Text("improve.none_set"))
    # The values are escaped and not the whole, because one of them is set in bold.
    name, host = f"<b translate='no'>{html.escape(endpoint.model)}</b>", html.escape(endpoint.host)
    if endpoint.here:
        return f"<p>{say(Text('improve.asks_here', model=name, host=host))}</p>"
    sent = Text(
        "improve.sends_to" if endpoint.encrypted else "improve.sends_openly_to",
        model=name,
        host=host,
    )
    return f"<p>{say(sent)}</p>"


def told_html(said: Text, status: bool = False) -> str:
    """A paragraph; with ``status``, one that is read aloud as it comes."""
    role = " role='status'" if status else ""
    return f"<p{role}>{html.escape(say(said))}</p>"


def waiting_html(endpoint: Endpoint) -> str:
    asked = Text(
        "improve.is_asked", model=endpoint.model, host=endpoint.host, seconds=endpoint.seconds
    )
    return told_html(asked, status=True)


def found_html(found: tuple[str, ...] | None) -> str:
    if found is None:
        return told_html(Text("improve.no_ollama"), status=True)
    if not found:
        return told_html(Text("improve.no_models"), status=True)
    return told_html(Text("improve.ollama_has", models=listed(*found[:8])), status=True)


def problem_html(error: HeadroomError) -> str:
    return f"<div class='refusal' role='alert'><p>{html.escape(say(error.text))}</p></div>"


def versions_html(mine: str, suggested: str, preset: ModelPreset) -> str:
    """Both beside each other; what the tiny model can't follow is said."""
    known = family_of(preset).vocabulary
    strange = known.unknown_words(suggested)[:6] if known is not None else ()
    note = ""
    if strange:
        said = Text("improve.model_lacks", model=preset.name, words=listed(*strange))
        note = f"<p class='why'>{html.escape(say(said))}</p>"
    yours, theirs = say(Text("improve.yours")), say(Text("improve.suggested"))
    return (
        "<div class='versions' role='status' tabindex='0'>"
        f"<div><b>{yours}</b><p translate='no'>{html.escape(mine)}</p></div>"
        f"<div><b>{theirs}</b><p translate='no'>{html.escape(suggested)}</p>{note}</div></div>"
    )
