"""The newest clips, the library's own tab, and a clip's receipt as a table.

Both lists are drawn by library.js from what ui/tabs/library_routes.py answers.
"""

import html
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.library.library import Clip
from engine.units import gigabytes
from ui import wording
from ui.theme import ASSETS

EMPTY = "<p>No clip yet. Write what it should show, press Generate, and it appears here.</p>"
# What a receipt says in the words of people and machines; library_tools.js has the same list.
THEIRS = ("Prompt", "Model", "Device", "Versions", "File")
# The lists' frames; what is in them comes from the program and is only ever set as text.
STRIP = """
<section class="library" data-show="strip" aria-label="Newest clips">
  <div class="lib-head"><h2>Newest clips</h2><span class="lib-count" role="status"></span>
    <button type="button" class="lib-button" data-do="all">All clips</button></div>
  <div class="lib-told" role="status"></div>
  <div class="lib-pages"></div>
</section>
"""
TAB = """
<section class="library" data-show="all" aria-label="Library">
  <form class="lib-bar" role="search">
    <label class="lib-search"><span>Search the prompts</span>
      <input type="search" name="words" placeholder="all of these words" autocomplete="off"
        maxlength="200"></label>
    <label><span>Model</span><select name="model"><option value="">all</option></select></label>
    <label><span>Size</span><select name="size"><option value="">all</option></select></label>
    <label class="lib-check"><input type="checkbox" name="favourites"> Favourites only</label>
    <label class="lib-check"><input type="checkbox" name="trash"> Trash</label>
    <span class="lib-count" role="status"></span>
  </form>
  <div class="lib-told" role="status"></div>
  <details class="lib-refused" hidden><summary></summary><ul></ul></details>
  <div class="lib-pages"></div>
  <div class="lib-end"></div>
  <div class="lib-choice" role="status" hidden></div>
</section>
"""


def build_strip() -> gr.HTML:
    """The newest clips in one row. Fires as ``build_tab``'s does, and ``expand`` for all clips."""
    return gr.HTML(STRIP, elem_id="gallery", js_on_load=_script())


def build_tab() -> gr.HTML:
    """The whole library; fires ``select`` with the ``id`` of a clip whose settings are wanted."""
    return gr.HTML(TAB, elem_id="library", js_on_load=_script())


def _script() -> str:
    parts = ("library_tools.js", "library_dialogs.js", "library.js")
    return "\n".join((ASSETS / "library" / part).read_text(encoding="utf-8") for part in parts)


def receipt_html(clip: Clip, engine: Engine) -> str:
    """A table; every automatic choice stands with its reason."""
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th><td>"
        f"<span{' translate=no' if name in THEIRS else ''}>{html.escape(value)}</span>"
        f"<div class='why'>{html.escape(why)}</div></td></tr>"
        for name, value, why in receipt_rows(clip, engine)
    )
    return f"<table class='receipt'>{cells}</table>"


def receipt_rows(clip: Clip, engine: Engine) -> list[tuple[str, str, str]]:
    """Name, value and, where there is something to say, the reason; all of it plain text."""
    receipt = clip.receipt
    made = "" if clip.job else "It came by hand: into the clips folder, from elsewhere."
    rows = [
        ("Prompt", clip.request.prompt, ""),
        ("Size", f"{size_of(clip, engine)} ({clip.request.frames} frames)", ""),
        ("Seed", str(receipt["seed"]), "The same seed makes the same clip again."),
        ("Model", receipt["model"], receipt["label"]),
        ("Seconds", _pairs(receipt["stages"], wording.seconds), ""),
        ("Peak memory", _pairs(receipt["peaks"], gigabytes), "Of the engine's process."),
        ("Device", receipt["device"], ""),
    ]
    rows += [
        (f"Plan: {name}", str(choice["value"]), choice["reason"])
        for name, choice in receipt["plan"].items()
    ]
    rows += [
        ("Versions", ", ".join(f"{k} {v}" for k, v in receipt["versions"].items()), ""),
        ("File", clip.file, made),
    ]
    return rows


def size_of(clip: Clip, engine: Engine) -> str:
    return wording.size_of(engine.presets, clip.request.model, clip.request.size)


def _pairs(values: dict[str, Any], write: Any) -> str:
    return ", ".join(f"{name} {write(value)}" for name, value in values.items())
