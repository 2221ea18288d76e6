"""The library's tab, and a clip's receipt as a table.

The list is drawn by library.js from what ui/tabs/library_routes.py answers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import gradio as gr

from engine.engine import Engine
from engine.library.library import Clip
from engine.stages import STAGES
from engine.text import NOTHING, Said, Text, listed, of_preset
from engine.units import gigabytes
from ui import wording
from ui.theme import ASSETS
from ui.wording import say

# What a receipt's plan may hold that has words of its own; files from elsewhere hold others, too.
CHOICES = (
    "attention",
    "between",
    "compile",
    "decode",
    "device",
    "dtype",
    "fp16_accumulation",
    "matmul",
    "modulation",
    "offload",
    "precision",
    "rope_chunk",
    "sampler",
    "text_encoder",
    "threads",
)
VALUES = (
    "none",
    "whole",
    "tiled",
    "tiny",
    "block",
    "block-exact",
    "lazy",
    "resident",
    "on",
    "off",
)
# The lists' frames; what is in them comes from the program and is only ever set as text.
TAB = """
<section class="library" aria-label="Library">
  <form class="lib-bar" role="search">
    <label class="lib-search"><span>Search the prompts</span>
      <input type="search" name="words" placeholder="all of these words" autocomplete="off"></label>
    <label><span>Model</span><select name="model"><option value="">all</option></select></label>
    <label><span>Size</span><select name="size"><option value="">all</option></select></label>
    <label class="lib-check"><input type="checkbox" name="favourites"> Favourites only</label>
    <label class="lib-check"><input type="checkbox" name="trash"> Trash</label>
    <span class="lib-count" role="status"></span>
  </form>
  <details class="lib-refused" hidden><summary></summary><ul></ul></details>
  <div class="lib-pages"></div>
  <div class="lib-end"></div>
  <div class="lib-foot"><div class="lib-told" role="status"></div>
    <div class="lib-choice" role="toolbar" aria-label="Selected clips" hidden></div></div>
</section>
"""
# One scope, in this order: the last begins, when all that it calls is there.
SCRIPTS = (
    "library_root",
    "library_tools",
    "library_dialogs",
    "library_compare",
    "library_preview",
    "library_select",
    "library_keys",
    "library_cards",
    "library_rows",
    "library",
)


def build_tab() -> gr.HTML:
    """The whole library; fires ``select`` with the ``id`` of a clip whose settings are wanted."""
    return gr.HTML(TAB, elem_id="library", js_on_load=_script())


def _script() -> str:
    return "\n".join((ASSETS / "library" / f"{part}.js").read_text("utf-8") for part in SCRIPTS)


class Row(NamedTuple):
    """What a receipt says of one thing and, where there is something to say, why."""

    name: Text
    value: Said
    why: Said = NOTHING


def receipt_rows(clip: Clip, engine: Engine) -> list[tuple[str, str, str]]:
    """Each row's name, value and reason in words of the present request's language."""
    return [(say(row.name), say(row.value), say(row.why)) for row in rows(clip, engine)]


def rows(clip: Clip, engine: Engine) -> list[Row]:
    """What the receipt says; its own words are English, and those that aren't known stay so. A
    row of which it says nothing, as a visitor's file doesn't of the computer, isn't there."""
    receipt = clip.receipt
    size = Text(
        "receipt_table.size_and_frames",
        size=wording.shape_of(engine.presets, clip.request),
        frames=clip.frames,
    )
    by_hand = NOTHING if clip.job else Text("receipt_table.by_hand")
    seconds, peaks = receipt["stages"], receipt["peaks"]
    made_on = receipt.get("machine", "")
    machine = [Row(Text("receipt_table.machine"), made_on)] if made_on else []
    source = (receipt.get("source") or {}).get("name", "")
    made_of = [Row(Text("receipt_table.source"), source)] if source else []
    maker = engine.presets.models.get(receipt.get("between", ""))
    between = []
    if receipt.get("between"):
        why = of_preset(maker.summary) if maker else NOTHING
        between = [Row(Text("receipt_table.between"), receipt["between"], why)]
    found = [
        Row(Text("receipt_table.prompt"), clip.request.prompt),
        Row(Text("receipt_table.size"), size),
        *made_of,
        Row(Text("receipt_table.seed"), str(receipt["seed"]), Text("receipt_table.same_seed")),
        Row(Text("receipt_table.model"), receipt["model"], of_preset(receipt["label"])),
        *between,
        Row(Text("receipt_table.seconds"), _by_stage(seconds, wording.seconds)),
        Row(
            Text("receipt_table.peaks"),
            _by_stage(peaks, gigabytes),
            Text("receipt_table.of_the_process"),
        ),
        Row(Text("receipt_table.device"), receipt["device"]),
        *machine,
        *(
            Row(
                Text("receipt_table.plan", choice=_choice(name)),
                _value(choice["value"]),
                choice["reason"],
            )
            for name, choice in receipt["plan"].items()
        ),
        Row(
            Text("receipt_table.versions"),
            ", ".join(f"{name} {version}" for name, version in receipt["versions"].items()),
        ),
        Row(Text("receipt_table.file"), clip.file, by_hand),
    ]
    return [row for row in found if str(row.value)]


def size_of(clip: Clip, engine: Engine) -> str:
    return say(wording.shape_of(engine.presets, clip.request))


def _by_stage(values: Mapping[str, Any], write: Callable[[Any], Said]) -> Text:
    """What each stage took; a file from elsewhere may name others."""
    return listed(
        *(
            Text(
                "receipt_table.of_stage",
                stage=Text(f"receipt_table.stage_{name}") if name in STAGES else name,
                amount=write(value),
            )
            for name, value in values.items()
        )
    )


def _choice(name: str) -> Said:
    return Text(f"receipt_table.plan_{name}") if name in CHOICES else name


def _value(value: object) -> Said:
    """What was chosen: kernels, devices and numbers are called the same in every language."""
    said = str(value)
    return Text(f"receipt_table.value_{said.replace('-', '_')}") if said in VALUES else said
