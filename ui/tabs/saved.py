"""Presets: a person's own settings of the form under a name, to be had again with one choice.

What is on show is what is set: as soon as the form is changed by hand, no preset is chosen.
"""

import functools
import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library.larger import NAMED
from engine.pipelines import is_here
from engine.prompts.batch import count
from engine.request import DIMENSIONS, RANDOM_SEED, ClipRequest, RequestError
from engine.saved import Saved, SavedSettings
from engine.text import Said, Text, joined
from engine.timing import RATES
from ui.tabs.batch import More, one_of
from ui.tabs.choices import known_model
from ui.tabs.generate import Controls, Form, brought_back, refusal_html
from ui.theme import ASSETS
from ui.wiring import QUIET, Chosen
from ui.wording import say

ANY = "x"  # settings are checked as a request is, and that has a prompt


@dataclass(frozen=True)
class Undo:
    """What takes the last change back: first ``remove``, then ``put``."""

    remove: str = ""
    put: Saved | None = None


@dataclass(frozen=True)
class SavedParts:
    """``listed`` is the list, ``panel`` what its button opens; ``mark``: what the form has to hold
    for the list's choice to be true; ``last``: what Undo takes back."""

    listed: gr.Dropdown
    opener: gr.Button
    panel: gr.Column
    name: gr.Textbox
    save: gr.Button
    rename: gr.Button
    delete: gr.Button
    undo: gr.Button
    said: gr.HTML
    mark: gr.Textbox
    opened: gr.State
    last: gr.State


def build_saved() -> SavedParts:
    """One list and its button, and a panel that is closed until somebody wants it."""
    with gr.Row(elem_id="saved-row"):
        listed = gr.Dropdown(
            [("Presets", "")],
            value="",
            label="Presets",
            show_label=False,
            container=False,
            filterable=False,
            elem_id="saved",
            elem_classes="notranslate",  # names are the user's words
            min_width=160,
        )
        opener = gr.Button("Edit presets", size="sm", elem_id="saved-open", min_width=110, scale=0)
    with gr.Column(visible=False, elem_id="saved-panel") as panel:
        name = gr.Textbox(
            label="Name of the preset", placeholder="Draft 480p", max_lines=1, elem_id="saved-name"
        )
        with gr.Row():
            save = gr.Button("Save settings", size="sm", elem_id="saved-save", min_width=110)
            rename = gr.Button("Rename", size="sm", elem_id="saved-rename", min_width=80)
            delete = gr.Button("Delete", size="sm", elem_id="saved-delete", min_width=80)
            undo = gr.Button("Undo", size="sm", elem_id="saved-undo", min_width=80, visible=False)
    said = gr.HTML("", elem_id="saved-said", js_on_load=None)
    mark = gr.Textbox("", visible="hidden", elem_id="saved-mark")
    acts = save, rename, delete, undo
    return SavedParts(listed, opener, panel, name, *acts, said, mark, gr.State(False), gr.State())


def listed(engine: Engine) -> gr.Dropdown:
    """What there is to choose when the page is opened; what is chosen meanwhile stays so."""
    return gr.Dropdown(**_choices(SavedSettings(engine.jobs.store)))


def wire(
    engine: Engine,
    parts: SavedParts,
    controls: Controls,
    more: More,
    judged_parts: list[Any],
) -> None:
    """Connect the list and its buttons to the form.

    Args:
        more: how many clips of each prompt, and what follows each.
        judged_parts: what ``brought_back`` sets besides the form: the verdict and its button.
    """
    kept = SavedSettings(engine.jobs.store)
    form = [*controls.as_list()[1:], more.seeds, more.smooth, more.side]  # all but the prompt

    def pick(name: Chosen, model: Chosen, size: Chosen, frames: Chosen) -> list[Any]:
        untouched = [gr.skip()] * (1 + len(form) + len(judged_parts))
        if not name:  # what is told stays as long as it is true, or may be newer than this
            return [gr.skip(), gr.skip(), gr.skip(), *untouched]
        try:
            saved = kept.get(str(name))
            now = Form(ANY, known_model(engine.presets, model), size, frames, "").raw()
            request, missing = usable(engine, saved, now)
            fields, verdict = brought_back(engine, request)
        except HeadroomError as error:
            return [_list(kept), refusal_html(error), "", *untouched]
        said = _said(joined(Text("presets.set", name=saved.name), missing))
        mark = _mark(request, saved)
        rest = saved.count, one_of(saved.smooth, RATES), one_of(saved.side, NAMED)
        return [gr.skip(), said, mark, saved.name, *fields[1:-1], *rest, *verdict]

    def save(
        name: str,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        seed: Chosen,
        n: Chosen,
        smooth: int | None,
        side: int | None,
    ) -> list[Any]:
        raw = Form(ANY, model, size, frames, seed).raw()
        request = ClipRequest.check(raw, engine.presets, probe=True)
        each = count({"prompt": ANY}, lines=False, seeds=n)
        sides = request.height, request.width, request.frames
        then = one_of(smooth, RATES), one_of(side, NAMED)
        before = kept.save(Saved(name, request.model, *sides, request.seed, each, *then))
        made = kept.get(name)
        told = Text("presets.saved" if before is None else "presets.replaced", name=made.name)
        last = Undo(made.name, before)
        return [_list(kept, made.name), _said(told), _mark(request, made), *_undo(last)]

    def rename(chosen: Chosen, name: str) -> list[Any]:
        before = kept.get(str(chosen or ""))
        made = kept.rename(before.name, name)
        told = _said(Text("presets.renamed", name=made.name))
        return [_list(kept, made.name), told, gr.skip(), *_undo(Undo(made.name, before))]

    def delete(chosen: Chosen) -> list[Any]:
        gone = kept.delete(str(chosen or ""))
        return [
            _list(kept),
            _said(Text("presets.deleted", name=gone.name)),
            "",
            *_undo(Undo("", gone)),
        ]

    def undo(last: Undo | None) -> list[Any]:
        if last is not None and last.remove:
            kept.delete(last.remove)
        if last is not None and last.put is not None:
            kept.save(last.put)
        return [_list(kept), _said(Text("presets.undone")), "", *_undo(None)]

    def toggle(is_open: bool, chosen: Chosen) -> list[Any]:
        return [not is_open, gr.Column(visible=not is_open), chosen or gr.skip()]

    here = [controls.model, controls.size, controls.frames]
    told = [parts.listed, parts.said, parts.mark]
    changed = [*told, parts.last, parts.undo]
    filled = [*told, parts.name, *form, *judged_parts]
    parts.listed.input(pick, [parts.listed, *here], filled, **QUIET)
    opened = [parts.opened, parts.panel, parts.name]
    parts.opener.click(toggle, [parts.opened, parts.listed], opened, **QUIET).then(
        None, None, None, js="() => document.querySelector('#saved-name input')?.focus()", **QUIET
    )
    saving = [parts.save.click, parts.name.submit]
    gr.on(saving, _telling(save), [parts.name, *form], changed, **QUIET)
    parts.rename.click(_telling(rename), [parts.listed, parts.name], changed, **QUIET)
    parts.delete.click(_telling(delete), parts.listed, changed, **QUIET)
    parts.undo.click(_telling(undo), parts.last, changed, **QUIET)
    # Chosen as long as it is true: the browser compares, so that no choice asks us.
    still = (ASSETS / "page/saved.js").read_text(encoding="utf-8")
    changes = [control.change for control in form]
    gr.on(changes, None, [parts.mark, *form], told, js=still, trigger_mode="always_last", **QUIET)


def usable(engine: Engine, saved: Saved, now: Mapping[str, object]) -> tuple[ClipRequest, Text]:
    """The request of ``saved``, and what of it can't be had here: that stays as the form has it, or
    is the model's usual one where the form has another model's.

    Args:
        now: what the form holds, as ``Form.raw``.

    Raises:
        RequestError: what the form holds can't be had either.
    """
    presets = engine.presets
    missing: list[Text] = []
    preset = presets.models.get(saved.model)
    if preset is None or not (is_here(preset) or preset == presets.default):
        named = saved.model if preset is None else preset.name
        missing.append(Text("presets.no_model", model=named))
        preset = presets.models[str(now["model"])]
    usual = {side: getattr(preset.default, side) for side in DIMENSIONS}
    others = now if now["model"] == preset.id else usual
    raw: dict[str, object] = {"prompt": ANY, "model": preset.id, "seed": saved.seed}
    raw |= {side: getattr(saved, side) for side in DIMENSIONS}
    try:
        return ClipRequest.check(raw, presets, probe=True), joined(*missing)
    except RequestError as error:
        refused = {problem.field for problem in error.problems}
    if refused & {"height", "width"}:
        told = Text("presets.no_size", model=preset.name, width=saved.width, height=saved.height)
        missing.append(told)
        raw |= {side: others[side] for side in ("height", "width")}
    if "frames" in refused:
        missing.append(Text("presets.no_length", model=preset.name, frames=saved.frames))
        raw["frames"] = others["frames"]
    return ClipRequest.check(raw, presets, probe=True), joined(*missing)


def _telling(act: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """``act``, whose refusal is said below the list; the rest stays as it is."""

    @functools.wraps(act)
    def told(*values: Any) -> list[Any]:
        try:
            return act(*values)
        except HeadroomError as error:
            return [gr.skip(), refusal_html(error), *([gr.skip()] * 3)]

    return told


def _list(kept: SavedSettings, chosen: str = "") -> gr.Dropdown:
    return gr.Dropdown(**_choices(kept), value=chosen)


def _choices(kept: SavedSettings) -> dict[str, Any]:
    """In the reader's language but for the names, which nothing translates."""
    label = say(Text("presets.presets"))
    names = [saved.name for saved in kept.all()]
    return {"choices": [(label, ""), *((name, name) for name in names)], "label": label}


def _undo(last: Undo | None) -> list[Any]:
    return [last, gr.Button(visible=last is not None)]


def _said(told: Said) -> str:
    return f"<p class='hint' role='status'>{html.escape(say(told))}</p>"


def _mark(request: ClipRequest, saved: Saved) -> str:
    """What the form holds while the chosen preset is what it says; null is whatever it holds."""
    seed = "" if request.seed == RANDOM_SEED else str(request.seed)
    size = f"{request.height}×{request.width}"
    each = saved.count, one_of(saved.smooth, RATES), one_of(saved.side, NAMED)
    return json.dumps([request.model, size, request.frames, seed, *each])
