"""The card of what makes clips: while it is installed, and after that failed."""

import html
from typing import Any

import gradio as gr

from engine.install.background import BackgroundInstall, InstallState
from engine.text import Text
from ui.wiring import QUIET
from ui.wording import say


def build_card(installer: BackgroundInstall) -> list[Any]:
    """The card, its text and its button, in the order in which ``refreshed`` sets them."""
    with gr.Column(elem_id="card-engine", elem_classes="model-card", visible=False) as card:
        text = gr.HTML("", elem_id="card-text-engine", js_on_load=None)
        with gr.Row(elem_classes="card-buttons"):
            again = gr.Button("Try again", variant="primary", elem_id="try-again", min_width=110)
    parts = [card, text, again]

    def try_again() -> list[Any]:
        installer.again()
        return refreshed(installer)

    again.click(try_again, None, parts, **QUIET)
    return parts


def refreshed(installer: BackgroundInstall) -> list[Any]:
    state = installer.look()
    return [
        gr.Column(visible=state.phase != "here"),
        card_html(state),
        gr.Button(visible=state.phase == "failed"),
    ]


def card_html(state: InstallState) -> str:
    """What is installed now, or why it couldn't be."""
    if state.phase == "here":
        return ""
    if state.phase == "working":
        mark, word = "↓", Text("installing.being_installed")
        body = (
            f"<p>{html.escape(say(Text('installing.meanwhile')))}</p>"
            f"<p class='told' data-live='arriving'>{html.escape(say(state.doing))}</p>"
        )
    else:
        mark, word = "✕", Text("installing.not_installed")
        body = (
            f"<div class='refusal' role='alert'><p>{html.escape(say(state.told))}</p>"
            f"<p>{html.escape(say(state.remedy))}</p></div>"
        )
    kind = "working" if state.phase == "working" else "damaged"
    title = html.escape(say(Text("installing.title")))
    word_html = html.escape(say(word))
    return (
        f"<div class='model'><div class='model-head'><b>{title}</b>"
        f"<span class='state {kind}'><span aria-hidden='true'>{mark}</span> {word_html}</span>"
        f"</div>{body}</div>"
    )
