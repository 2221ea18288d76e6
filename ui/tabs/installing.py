"""The card of what makes clips: while it is installed, and after that failed."""

import html
from typing import Any

import gradio as gr

from engine.install.background import BackgroundInstall, InstallState
from ui.wiring import QUIET


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
        mark, word = "↓", "being installed"
        body = (
            "<p>PyTorch and what belongs to it, once. The page works meanwhile: look around, or "
            "download a model. Clips can be made as soon as it is here.</p>"
            f"<p class='told' data-live='arriving'>{html.escape(state.doing)}</p>"
        )
    else:
        mark, word = "✕", "not installed"
        body = (
            f"<div class='refusal' role='alert'><p>{html.escape(state.told)}</p>"
            f"<p>{html.escape(state.remedy)}</p></div>"
        )
    kind = "working" if state.phase == "working" else "damaged"
    return (
        "<div class='model'><div class='model-head'><b>What makes clips</b>"
        f"<span class='state {kind}'><span aria-hidden='true'>{mark}</span> {word}</span></div>"
        f"{body}</div>"
    )
