"""LoRAs in the form: which of the folder's fit the model, and how strongly each counts.

What is chosen is part of what the form holds (held.py); adapters.js draws it.
"""

from typing import Any

import gradio as gr

from engine.adapters.store import AdapterEntry
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.presets import ModelPreset
from engine.request import MOST_ADAPTERS, STRONGEST
from engine.text import FileSize, Text
from ui.tabs.choices import preset_of
from ui.tabs.held import adapters_of, fields_of, held_as
from ui.theme import ASSETS
from ui.wiring import QUIET
from ui.wording import say

ADAPTERS = """
<details class="adapters" data-most="{most}" data-strongest="{strongest}" hidden>
  <summary>LoRAs <span class="count"></span></summary>
  <ul class="chosen" aria-label="LoRAs that are used"></ul>
  <div class="pick"><select aria-label="Add a LoRA"></select></div>
  <p class="none">No LoRA here fits this model.</p>
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

    return gr.HTML(
        ADAPTERS.format(most=MOST_ADAPTERS, strongest=STRONGEST),
        elem_id="adapters",
        js_on_load=(ASSETS / "page/adapters.js").read_text(encoding="utf-8"),
        server_functions=[offered],
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
