"""The clip on show with its receipt, and the clips made earlier."""

import html
from typing import Any

import gradio as gr

from engine.headroom import gigabytes
from engine.library import Clip
from engine.request import Size
from engine.supervisor import Supervisor
from ui import words

SHOWN = 60
EMPTY = "<p>No clip yet. Write what it should show, press Generate, and it appears here.</p>"


def build_result(supervisor: Supervisor) -> tuple[gr.Video, gr.HTML]:
    video = gr.Video(
        label="Clip",
        elem_id="clip",
        autoplay=True,
        loop=True,
        interactive=False,
        buttons=["download"],
    )
    with gr.Accordion("Receipt: how this clip was made", open=False):
        receipt = gr.HTML(EMPTY, elem_id="receipt", js_on_load=None)
    return video, receipt


def build_gallery() -> gr.Gallery:
    return gr.Gallery(
        label="Earlier clips",
        elem_id="gallery",
        columns=6,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
    )


def show_newest(supervisor: Supervisor) -> tuple[Any, Any, Any]:
    """Values for video, receipt and gallery once a job has ended or the page was opened."""
    found = supervisor.library.newest(SHOWN)
    video, receipt = show(supervisor, found[0]) if found else (None, EMPTY)
    return video, receipt, [entry(supervisor, clip) for clip in found]


def show_chosen(supervisor: Supervisor, event: gr.SelectData) -> tuple[Any, Any]:
    """The clip whose picture was clicked: found by its file name, not by its place, which moves."""
    name = event.value["caption"].rpartition("#")[2]
    clip = supervisor.library.get(int(name)) if name.isdecimal() else None
    return show(supervisor, clip) if clip else (gr.skip(), gr.skip())


def show(supervisor: Supervisor, clip: Clip) -> tuple[Any, str]:
    path = supervisor.home.clips / clip.file
    if not path.exists():
        return None, f"<p>{html.escape(clip.file)} is no longer in the clips folder.</p>"
    return str(path), receipt_html(clip, supervisor)


def entry(supervisor: Supervisor, clip: Clip) -> tuple[str | None, str]:
    poster = (supervisor.home.clips / clip.file).with_suffix(".jpg")
    caption = f"{clip.request.prompt[:60]} #{clip.id}"
    return (str(poster) if poster.exists() else None), caption


def receipt_html(clip: Clip, supervisor: Supervisor) -> str:
    """A table; every automatic choice stands with its reason."""
    receipt = clip.receipt
    request = clip.request
    fps = supervisor.presets.models[request.model].fps if _known(clip, supervisor) else 16
    shape = Size(request.height, request.width, request.frames)
    rows = [
        ("Prompt", request.prompt, ""),
        ("Size", f"{words.size(shape, fps)} ({request.frames} frames)", ""),
        ("Seed", str(receipt["seed"]), "The same seed makes the same clip again."),
        ("Model", receipt["model"], receipt["label"]),
        ("Seconds", _pairs(receipt["stages"], words.seconds), ""),
        ("Peak memory", _pairs(receipt["peaks"], gigabytes), "Of the engine's process."),
        ("Device", receipt["device"], ""),
    ]
    rows += [
        (f"Plan: {name}", str(choice["value"]), choice["reason"])
        for name, choice in receipt["plan"].items()
    ]
    rows += [
        ("Versions", ", ".join(f"{k} {v}" for k, v in receipt["versions"].items()), ""),
        ("File", clip.file, ""),
    ]
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>{html.escape(value)}"
        f"<div class='why'>{html.escape(why)}</div></td></tr>"
        for name, value, why in rows
    )
    return f"<table class='receipt'>{cells}</table>"


def _known(clip: Clip, supervisor: Supervisor) -> bool:
    return clip.request.model in supervisor.presets.models


def _pairs(values: dict[str, Any], write: Any) -> str:
    return ", ".join(f"{name} {write(value)}" for name, value in values.items())
