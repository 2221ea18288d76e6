"""The Share tab: opens the visitors' page, shows its address and password once, and closes it."""

import html
from typing import Any

import gradio as gr
import segno

from engine.default_model import default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.presets import Presets
from engine.text import NOTHING, Text
from ui.share.session import Opened, Sharing
from ui.share.visitors import DEFAULT_HOURS, HOURS
from ui.tabs.choices import model_choices
from ui.tabs.generate import refusal_html
from ui.theme import ASSETS
from ui.wiring import QUIET, Chosen
from ui.wording import say

# What the page is built with has no values in it: the browser swaps whole texts (ui/texts/zh).
LENGTHS = {1: "1 hour", 2: "2 hours", 4: "4 hours", 8: "8 hours"}
ABOUT = """
<p>Let others make clips on this computer, with nothing to install. They get a page of their own
and see only their clips: not your library, prompts, settings or files.</p>
<ul>
<li>Your clips come first. Theirs are no larger than the model's usual size, and at most 2 at a time
are unfinished, per visitor and per address.</li>
<li>Nobody gets in without the password, which is new each time.</li>
<li>Sharing ends by itself, or at once when you stop it; visitors' unfinished clips are then
cancelled.</li>
<li>Their clips are saved in your library.</li>
</ul>
"""
LIVE = """
<div class="share-live" aria-live="polite">
  <p data-live="share-text" hidden></p>
  <p class="notice" role="alert" data-live="share-trouble" hidden></p>
  <ul data-live="share-visitors"></ul>
</div>
"""


def build_share(engine: Engine, sharing: Sharing) -> list[Any]:
    """Returns what ``refreshed`` sets: the tab is renewed when it is opened."""
    gr.HTML(ABOUT, elem_id="share-about", js_on_load=None)
    with gr.Column(elem_id="share-form") as form:
        choices = [
            ("Over the internet, with a Gradio link", "link"),
            ("In your own network only", "network"),
        ]
        where = gr.Radio(choices, value="link", label="Access", elem_id="share-where")
        hours = gr.Radio(
            [(said, n) for n, said in LENGTHS.items()],
            value=DEFAULT_HOURS,
            label="For how long",
            elem_id="share-hours",
        )
        model = gr.Dropdown(
            model_choices(engine),
            value=default_model(engine).preset.id,
            label="Model",
            elem_id="share-model",
        )
        start = gr.Button("Share", variant="primary", elem_id="share-start", scale=0)
    told = gr.HTML("", elem_id="share-told", js_on_load=None)
    script = (ASSETS / "share/share.js").read_text(encoding="utf-8")
    live = gr.HTML(LIVE, elem_id="share-live", js_on_load=script)
    stop = gr.Button("Stop sharing", variant="stop", elem_id="share-stop", visible=False, scale=0)
    parts = [form, model, told, stop]

    def begin(place: Chosen, length: Chosen, chosen: Chosen) -> list[Any]:
        try:
            opened = sharing.start(*_checked(engine.presets, place, length, chosen))
        except HeadroomError as error:
            return [gr.skip(), gr.skip(), refusal_html(error), gr.skip()]
        return [gr.Column(visible=False), gr.skip(), opened_html(opened), gr.Button(visible=True)]

    def end() -> list[Any]:
        sharing.stop()
        return ended()

    def ended() -> list[Any]:
        """Also once its time is over. A share that was begun since keeps its password on show."""
        if sharing.open:
            return [gr.skip()] * len(parts)
        return refreshed(engine, sharing, Text("share.ended"))

    # Opening a tunnel takes seconds, so this button shows that it works.
    start.click(begin, [where, hours, model], parts, **{**QUIET, "show_progress": "minimal"})
    stop.click(end, None, parts, **QUIET)
    live.change(ended, None, parts, **QUIET)
    return parts


def _checked(
    presets: Presets, place: Chosen, length: Chosen, chosen: Chosen
) -> tuple[Any, float, str]:
    """What the form sent, or its defaults: a browser may send anything."""
    hours = length if isinstance(length, int | float) and length in HOURS else DEFAULT_HOURS
    preset = presets.maker(chosen) or presets.default
    return ("network" if place == "network" else "link"), float(hours), preset.id


def refreshed(engine: Engine, sharing: Sharing, told: Text = NOTHING) -> list[Any]:
    """What the tab shows when it is opened: the password is never shown again."""
    is_open = sharing.open
    shown = Text("share.is_open") if is_open else told
    return [
        gr.Column(visible=not is_open),
        gr.Dropdown(model_choices(engine)),
        f"<p>{html.escape(say(shown))}</p>" if shown else "",
        gr.Button(visible=is_open),
    ]


def opened_html(opened: Opened) -> str:
    """Address and password, in words and as a QR code that holds both."""
    code = segno.make(opened.invitation, error="m").svg_inline(scale=4, border=3, light="#fff")
    picture, once = say(Text("share.qr_code")), say(Text("share.pass_on"))
    address, password = say(Text("share.address")), say(Text("share.password"))
    return (
        "<div class='opened' role='status'>"
        f"<div class='qr' role='img' aria-label='{html.escape(picture)}'>"
        f"{code}</div><div><p>{once}</p>"
        f"<p>{address}<br><code id='share-address'>{html.escape(opened.address)}</code></p>"
        f"<p>{password}<br><code id='share-password'>{html.escape(opened.password)}</code></p>"
        "</div></div>"
    )


def share_state(sharing: Sharing | None) -> dict[str, Any]:
    """The live stream's part: how long it is open, and who is there."""
    state: dict[str, Any] = sharing.state() if sharing is not None else {}
    if not state.get("open"):
        told = dict.fromkeys(("share-text", "share-short", "share-trouble"), NOTHING)
        return {**told, "share-visitors": []}
    minutes = max(1, -(-int(state["left"]) // 60))
    left, people = _left(minutes), _people(len(state["visitors"]))
    address = state["address"]
    return {
        "share-text": Text("share.shared_at", address=address, left=left, people=people),
        "share-short": Text("share.shared", left=left, people=people),
        "share-trouble": state["trouble"],
        "share-visitors": [_visitor(**visitor) for visitor in state["visitors"]],
    }


def _visitor(name: str, done: int, unfinished: int) -> Text:
    who = name or Text("share.somebody")
    return Text("share.visitor_made", name=who, done=done, unfinished=unfinished)


def _left(minutes: int) -> Text:
    if minutes < 60:
        return Text("share.minutes", minutes=minutes)
    return Text("share.hours_minutes", hours=minutes // 60, minutes=minutes % 60)


def _people(count: int) -> Text:
    if count == 0:
        return Text("share.nobody_yet")
    return Text("share.visitors", count=count) if count > 1 else Text("share.one_visitor")


def invitation_lines(opened: Opened) -> list[str]:
    """The same for a terminal, in English."""
    import io

    picture = io.StringIO()
    segno.make(opened.invitation, error="m").terminal(picture, compact=True)
    return [
        f"Shared at {opened.address}",
        f"Password  {opened.password}  (shown once)",
        *picture.getvalue().splitlines(),
    ]
