"""LoRAs in the form: which of the folder's fit the model, and how strongly each counts.

What is chosen is part of what the form holds (held.py); adapters.js draws it.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from engine.adapters.pull_state import Phase, PullState
from engine.adapters.pulling import Pulling
from engine.adapters.store import AdapterEntry
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.presets import ModelPreset
from engine.request import MOST_ADAPTERS, STRONGEST
from engine.text import NOTHING, FileSize, Text, joined, listed
from ui.tabs.choices import preset_of
from ui.tabs.held import adapters_of, fields_of, held_as
from ui.theme import ASSETS
from ui.wiring import QUIET
from ui.wording import say

LONGEST_PLACE = 500  # characters; nothing that long is a repository and a file in it
MOVES: tuple[Phase, ...] = ("working", "paused")
# What the button beside a download does next.
NEXT: Mapping[Phase, tuple[str, Text]] = {
    "found": ("pull", Text("adapters.pull_now")),
    "looking": ("pause", Text("adapters.pull_stop")),
    "working": ("pause", Text("adapters.pull_stop")),
    "paused": ("pull", Text("adapters.pull_on")),
    "failed": ("pull", Text("adapters.pull_again")),
}
ADAPTERS = """
<details class="adapters" data-most="{most}" data-strongest="{strongest}" hidden>
  <summary>LoRAs <span class="count"></span></summary>
  <ul class="chosen" aria-label="LoRAs that are used"></ul>
  <div class="pick"><select aria-label="Add a LoRA"></select></div>
  <p class="none">No LoRA here fits this model.</p>
  <form class="fetch">
    <label><span>From Hugging Face</span>
      <input type="text" placeholder="owner/repository/file.safetensors" autocomplete="off"
        spellcheck="false"></label>
    <button type="submit">Look it up</button>
  </form>
  <div class="pulling" hidden>
    <p class="said" role="status"></p>
    <div class="bar" role="progressbar" aria-label="Download" aria-valuemin="0"
      aria-valuemax="100"><span></span></div>
    <p class="count"></p>
    <button type="button"></button>
  </div>
  <p class="where">LoRAs (.safetensors) lie in <code translate="no"></code></p>
</details>
"""


def build_adapters(engine: Engine) -> gr.HTML:
    """It fires ``select`` with ``adapters``, as requests have them."""

    def offered(asked: object = None) -> dict[str, Any]:
        model = asked.get("model") if isinstance(asked, dict) else None
        preset = preset_of(engine.presets, model)
        return {
            "takes": preset.adapters,
            "folder": str(engine.adapters.folder),
            "entries": entries_for(engine, preset) if preset.adapters else [],
        }

    def pulling(asked: object = None) -> dict[str, Any]:
        return pull_told(engine.pulling, asked)

    return gr.HTML(
        ADAPTERS.format(most=MOST_ADAPTERS, strongest=STRONGEST),
        elem_id="adapters",
        js_on_load=(ASSETS / "page/adapters.js").read_text(encoding="utf-8"),
        server_functions=[offered, pulling],
    )


def entries_for(engine: Engine, preset: ModelPreset) -> list[dict[str, Any]]:
    """What lies in the folder, and whether it fits; why not where it doesn't."""
    return [_told(entry, preset) for entry in engine.adapters.entries()]


def _told(entry: AdapterEntry, preset: ModelPreset) -> dict[str, Any]:
    found = entry.fit(preset)
    return {
        "name": entry.name,
        "files": [file.sha256 for file in entry.files],
        "size": say(Text("adapters.size", size=FileSize(entry.bytes))) if entry.bytes else "",
        "triggers": list(entry.triggers[:12]),
        "fits": found.fits,
        "told": say(found.told),
    }


def pull_told(pulling: Pulling, asked: object) -> dict[str, Any]:
    """Do what a page asks of the download, and tell how far it is.

    Args:
        asked: ``{"do", "what"}`` from a browser; ``do`` is look, pull, pause or nothing.

    Returns:
        phase, words (``said``), ``share`` of 1 and ``count`` in words while it moves, and ``next``:
        what its button does, with its label; ``files``: SHA-256 of what is here now.
    """
    given = asked if isinstance(asked, dict) else {}
    what = str(given.get("what") or "").strip()[:LONGEST_PLACE]
    match given.get("do"):
        case "look" if what:
            pulling.look(what)
        case "pull" if what:
            pulling.pull(what)
        case "pause":
            pulling.pause()
    state = pulling.state
    act, label = NEXT.get(state.phase, ("", None))
    if state.phase in ("failed", "paused") and not state.files:
        act = "look"
    moves = state.total > 0 and state.phase in MOVES
    return {
        "what": state.what,
        "phase": state.phase,
        "said": say(_words(state)),
        "share": state.done / state.total if moves else None,
        "count": say(Text("adapters.pull_count", **_sizes(state))) if moves else "",
        "next": {"do": act, "label": say(label)} if label is not None else None,
        "files": list(state.sha256s),
    }


def _sizes(state: PullState) -> dict[str, FileSize]:
    return {"done": FileSize(state.done), "size": FileSize(state.total)}


def _words(state: PullState) -> Text:
    files = listed(*state.files)
    match state.phase:
        case "looking":
            return Text("adapters.pull_looking")
        case "found":
            size, free = FileSize(state.total), FileSize(state.free)
            return Text("adapters.pull_found", files=files, size=size, free=free)
        case "working":
            return Text("adapters.pull_working")
        case "paused":
            return Text("adapters.pull_paused")
        case "done":
            return Text("adapters.pull_done", files=files)
        case "failed":
            return joined(state.told, state.remedy)
    return NOTHING


def wire(engine: Engine, parts: gr.HTML, held: gr.Textbox) -> None:
    """Connect the list with what the form holds."""

    def choose(event: gr.EventData, before: str) -> str:
        return chosen(engine, event._data, before)

    parts.select(choose, held, held, **QUIET)


def chosen(engine: Engine, data: object, held: str) -> str:
    """What the form holds, with other LoRAs; those that aren't in the folder are left out.

    Args:
        data: ``{"adapters": [{"sha256", "strength"}]}``, from a browser.
    """
    given = data.get("adapters") if isinstance(data, dict) else None
    known = set()
    try:
        known = {file.sha256 for entry in engine.adapters.entries() for file in entry.files}
    except HeadroomError:
        return held
    fields = fields_of(held)
    fields["adapters"] = [one for one in adapters_of(given) if one["sha256"] in known]
    return held_as(fields)
