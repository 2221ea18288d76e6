"""The Models tab: which models suit this machine, how to get them, and what this machine is.

The recommended one comes first. What can't run here is only named, with the reason: nothing of it
is offered.
"""

import html
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from engine.default_model import Candidate, with_files
from engine.doctor.doctor import Line, examine
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.pipelines import is_here, why_not_here
from engine.presets import ModelPreset
from engine.text import NOTHING, FileSize, Said, Text, as_text, joined, of_preset
from engine.weights.download import What
from engine.weights.progress import WORKING, DownloadProgress
from engine.weights.state import Weights, weights_text
from ui.tabs.generate import refusal_html
from ui.tabs.pulls import pull_html
from ui.tabs.report import build_report
from ui.wiring import QUIET, pressed_id
from ui.wording import say

log = logging.getLogger("headroom.page")

# A mark beside the colour, as in the headroom tab.
STATES = {"ready": "✓", "partial": "◐", "missing": "–", "damaged": "✕", "working": "↓"}
LINES = {
    "good": ("✓", Text("setup.line_good")),
    "note": ("–", Text("setup.line_note")),
    "warn": ("!", Text("setup.line_look")),
    "bad": ("✕", Text("setup.line_bad")),
}


@dataclass(frozen=True)
class ModelCard:
    """One model: its box, which is hidden where it can't run here, its text, and its buttons, in
    the order in which ``refreshed`` sets them."""

    box: gr.Column
    text: gr.HTML
    fetch: gr.Button
    pause: gr.Button
    verify: gr.Button
    found: gr.Button

    def as_list(self) -> list[Any]:
        return [self.box, self.text, self.fetch, self.pause, self.verify, self.found]


@dataclass(frozen=True)
class ShippedCard:
    """A model that comes with the program; what makes its clips may still be on its way."""

    box: gr.Column
    text: gr.HTML


@dataclass(frozen=True)
class SetupParts:
    """What has to be refreshed: the cards, of models to fetch and of those that come with the
    program, what can't run here, and the machine's lines."""

    cards: dict[str, ModelCard]
    shipped: dict[str, ShippedCard]
    barred: gr.HTML
    machine: gr.HTML

    def as_list(self) -> list[Any]:
        fetched = [part for card in self.cards.values() for part in card.as_list()]
        shipped = [part for card in self.shipped.values() for part in (card.box, card.text)]
        return [*fetched, *shipped, self.barred]


def build_setup(engine: Engine) -> SetupParts:
    """All models, the one recommended for this machine first, and the doctor's lines below."""
    gr.HTML("<h2>Models</h2>", js_on_load=None)
    cards: dict[str, ModelCard] = {}
    shipped: dict[str, ShippedCard] = {}
    for candidate in with_files(engine):
        preset = candidate.preset
        if preset.weights:
            cards[preset.id] = _build_card(engine, candidate)
            continue
        with gr.Column(elem_classes="model-card", visible=not candidate.barred) as box:
            shipped[preset.id] = ShippedCard(box, gr.HTML(js_on_load=None))
    barred = gr.HTML("", elem_id="cant-run", js_on_load=None)
    gr.HTML("<h2>This machine</h2>", js_on_load=None)
    machine = gr.HTML("<p>Looking …</p>", elem_id="machine", js_on_load=None)
    build_report(engine)
    return SetupParts(cards, shipped, barred, machine)


def _build_card(engine: Engine, candidate: Candidate) -> ModelCard:
    model = candidate.preset.id
    slug = model.replace(".", "-")  # a dot would begin a class in a selector
    with gr.Column(
        elem_id=f"card-{slug}", elem_classes="model-card", visible=not candidate.barred
    ) as box:
        # Whole from the start: Gradio would show an empty card for a moment.
        text = gr.HTML(elem_id=f"card-text-{slug}", js_on_load=None)
        with gr.Row(elem_classes="card-buttons"):
            fetch = gr.Button("Download", variant="primary", elem_id=f"fetch-{slug}", min_width=120)
            pause = gr.Button("Pause", elem_id=f"pause-{slug}", min_width=90, visible=False)
            verify = gr.Button("Verify", elem_id=f"verify-{slug}", min_width=90, visible=False)
            found = gr.Button("Use what was found", elem_id=f"found-{slug}", visible=False)
        told = gr.HTML("", elem_id=f"told-{slug}", elem_classes="card-told", js_on_load=None)
        with gr.Accordion("Use a folder you have", open=False):
            with gr.Row(elem_classes="plan-row"):
                place = gr.Textbox(
                    label="Folder on the computer that runs Headroom",
                    elem_id=f"folder-{slug}",
                    max_lines=1,
                    scale=4,
                )
                use = gr.Button("Use", elem_id=f"use-folder-{slug}", scale=1, min_width=70)
    card = ModelCard(box, text, fetch, pause, verify, found)
    _wire_card(engine, model, card, told, place, use)
    return card


def _wire_card(
    engine: Engine,
    model: str,
    card: ModelCard,
    told: gr.HTML,
    place: gr.Textbox,
    use: gr.Button,
) -> None:
    """One event for all of them: a browser holds each against everything on the page."""
    acts: dict[str | None, Callable[[str], list[Any]]] = {
        card.fetch.elem_id: lambda _: act(engine, model, "pull"),
        card.verify.elem_id: lambda _: act(engine, model, "verify"),
        card.pause.elem_id: lambda _: act(engine, model, None),
        card.found.elem_id: lambda _: use_folders(engine, model, offered(engine, model)),
        use.elem_id: lambda folder: use_folders(engine, model, [folder]),
        place.elem_id: lambda folder: use_folders(engine, model, [folder]),
    }

    def press(event: gr.EventData, folder: str | None) -> list[Any]:  # none: not opened yet
        chosen = acts.get(pressed_id(event))
        return chosen(folder or "") if chosen else ["", *refreshed_card(engine, model)]

    pressed = [card.fetch.click, card.verify.click, card.pause.click, card.found.click, use.click]
    outputs = [told, *card.as_list()]
    gr.on([*pressed, place.submit], press, place, outputs, **QUIET)


# ---- what the buttons do -------------------------------------------------------------------


def act(engine: Engine, model: str, what: What | None) -> list[Any]:
    """Fetch, verify, or (None) pause; the work itself belongs to the engine."""
    said = ""
    try:
        if what is None:
            engine.downloads.pause(model)
        else:
            engine.downloads.start(model, what)
    except HeadroomError as error:
        said = refusal_html(error)
    except OSError as error:
        said = _problem(Text("setup.cant_begin", why=error.strerror or str(error)))
    return [said, *refreshed_card(engine, model)]


def offered(engine: Engine, model: str) -> list[str]:
    """Folders of the hub's cache that hold some of its weights."""
    return [str(folder) for folder in engine.downloads.offers(model)]


def use_folders(engine: Engine, model: str, folders: list[str]) -> list[Any]:
    """Link ``folders``; returns what to say and the card as it is then."""
    said = ""
    for folder in folders:
        if not folder.strip():
            continue
        try:
            linked = engine.downloads.use(model, folder.strip())
        except HeadroomError as error:
            said = refusal_html(error)
            break
        except (OSError, ValueError, RuntimeError) as error:  # no path at all, or ~ of nobody
            why = getattr(error, "strerror", None) or Text("setup.no_folders_name")
            said = _problem(Text("setup.cant_use_folder", why=why))
            break
        named = "".join(f"<br>{html.escape(str(place))}" for place in linked)
        used = _words(Text("setup.used_not_copied"))
        said = f"<p>{used}<span translate='no'>{named}</span></p>"
    return [said, *refreshed_card(engine, model)]


# ---- what is shown -------------------------------------------------------------------------


def refreshed(engine: Engine, parts: SetupParts) -> list[Any]:
    """The values of ``SetupParts.as_list``."""
    every = with_files(engine)
    found = {candidate.preset.id: candidate for candidate in every}
    fetched = [v for model in parts.cards for v in refreshed_card(engine, model, found[model])]
    shipped = [v for model in parts.shipped for v in _shipped(found[model])]
    return [*fetched, *shipped, barred_html(engine, every)]


def refreshed_card(engine: Engine, model: str, candidate: Candidate | None = None) -> list[Any]:
    """A card's parts as things are now; one that fails takes no other with it.

    Args:
        candidate: how this machine sees the model, where that is known already.
    """
    try:
        found = candidate or next(c for c in with_files(engine) if c.preset.id == model)
        return _card(engine, found)
    except (HeadroomError, OSError) as error:
        log.exception("the card of %s failed", model)
        if isinstance(error, HeadroomError):
            why = error.text
        else:
            why = Text("setup.cant_look", why=error.strerror or str(error))
        name, state = engine.presets.models[model].name, Text("setup.state_cant_look")
        said = _frame(name, "damaged", state, _problem(why))
        return [gr.skip(), said, *(gr.Button(visible=False) for _ in range(4))]


def _card(engine: Engine, candidate: Candidate) -> list[Any]:
    """A model that can't run here has a card only while something works on its weights."""
    model, weights = candidate.preset.id, engine.downloads
    seen, progress = weights.look(model), weights.progress(model)
    working, ready = progress.phase in WORKING, seen.state == "ready"
    offered = not working and not candidate.barred
    lacking = bool(seen.lacking) and ready
    found = weights.offers(model) if offered and not ready else []
    return [
        gr.Column(visible=working or not candidate.barred),
        card_html(candidate, seen, progress, found),
        gr.Button(
            say(_fetch_text(seen)),
            visible=offered and (lacking or not ready),
            variant="primary" if candidate.recommended and not ready else "secondary",
        ),
        gr.Button(visible=working),
        gr.Button(visible=offered and seen.present > 0),
        gr.Button(visible=bool(found)),
    ]


def _shipped(candidate: Candidate) -> list[Any]:
    return [gr.Column(visible=not candidate.barred), shipped_html(candidate)]


def shipped_html(candidate: Candidate) -> str:
    """A model whose weights come with the program."""
    preset = candidate.preset
    text = _words(Text("setup.comes_with_the_program", summary=of_preset(preset.summary)))
    body = f"{_reason_html(candidate)}<p>{text}</p>"
    badge = candidate.recommended
    if is_here(preset):
        return _frame(preset.name, "ready", Text("setup.state_ready"), body, badge)
    why = _words(joined(*why_not_here(preset)))
    waits = Text("setup.state_waits")
    return _frame(preset.name, "missing", waits, f"{body}<p>{why}</p>", badge)


def barred_html(engine: Engine, every: list[Candidate]) -> str:
    """What can't run here, folded, with the reason; what lies here of it all the same."""
    barred = [candidate for candidate in every if candidate.barred]
    if not barred:
        return ""
    body = ""
    for candidate in barred:
        preset = candidate.preset
        state = _words(_lies_here(engine, preset)) if preset.weights else ""
        kept = f"<p>{state}</p>" if state else ""
        body += (
            f"<div class='model'><b>{html.escape(preset.name)}</b>"
            f"<p>{_words(of_preset(preset.summary))}</p>"
            f"<p>{_words(candidate.barred)}</p>{kept}</div>"
        )
    head = _words(Text("setup.cant_run", count=len(barred)))
    return f"<details><summary>{head}</summary>{body}</details>"


def _lies_here(engine: Engine, preset: ModelPreset) -> Text:
    """Gigabytes that are of no use here; NOTHING where there are none."""
    try:
        seen = engine.downloads.look(preset.id)
    except (HeadroomError, OSError):
        return NOTHING
    if not seen.present:
        return NOTHING
    return Text("setup.lies_here", size=FileSize(seen.present), folder=seen.folder)


def _reason_html(candidate: Candidate) -> str:
    """Why it is the recommended one."""
    return f"<p class='suits'>{_words(candidate.reason)}</p>" if candidate.recommended else ""


def _fetch_text(seen: Weights) -> Text:
    if seen.state == "ready":
        lacking = sum(part.total - part.present for part in seen.lacking)
        return Text("setup.fetch_extras", size=FileSize(lacking))
    size = FileSize(seen.missing)
    match seen.state:
        case "damaged":
            return Text("setup.fetch_damaged", size=size)
        case "partial":
            return Text("setup.resume", size=size)
    return Text("setup.download", size=size)


def card_html(
    candidate: Candidate, seen: Weights, progress: DownloadProgress, found: list[Path]
) -> str:
    """Everything about a model's weights, in the order in which somebody would ask.

    Args:
        found: folders of the hub's cache that hold some of them.
    """
    preset, working = candidate.preset, progress.phase in WORKING
    lines: list[Said] = [of_preset(preset.summary)]
    if candidate.barred:
        lines.append(Text("setup.cant_use_it", reason=as_text(candidate.barred)))
    elif not is_here(preset):
        lines.append(joined(*why_not_here(preset)))
    if candidate.least is not None and not candidate.barred:
        lines.append(Text("setup.least", seconds=candidate.least))
    if seen.missing and not working:
        lines.append(
            Text(
                "setup.to_fetch" if seen.fits else "setup.wont_fit",
                size=FileSize(seen.missing),
                free=FileSize(seen.free),
                folder=seen.folder,
            )
        )
    lines += [Text("setup.damaged", file=file) for file in seen.damaged]
    lines += [seen.told] if seen.told else []
    lines += [Text("setup.linked_but_gone", folder=folder) for folder in seen.gone]
    lines += [Text("setup.found_in_cache", folder=folder) for folder in found]
    if seen.state == "ready":
        lines += [Text("setup.used_where_it_lies", folder=folder) for folder in seen.linked]
        lines += [Text(f"setup.{part.role}_brings") for part in seen.lacking]
    body = _reason_html(candidate) + "".join(f"<p>{_words(line)}</p>" for line in lines)
    if not working:
        body += _ended_html(progress, seen)
    body += pull_html(preset.id, progress)
    badge = candidate.recommended
    if working:
        verifying = progress.what == "verify"
        doing = Text("setup.state_verifying" if verifying else "setup.state_fetching")
        return _frame(preset.name, "working", doing, body, badge)
    return _frame(preset.name, seen.state, weights_text(seen), body, badge)


def _ended_html(progress: DownloadProgress, seen: Weights) -> str:
    """How the last work ended, where that isn't plain from the state."""
    if progress.phase == "failed":
        return _problem(joined(progress.told, progress.remedy))
    if progress.phase == "paused" and seen.state != "ready":
        return f"<p>{_words(Text('setup.paused', told=progress.told))}</p>"
    if progress.phase == "done" and progress.what == "verify" and not seen.damaged:
        unknown = Text("setup.no_checksum") if progress.unknown else ""
        return f"<p>{_words(joined(Text('setup.verified'), unknown))}</p>"
    return ""


def _words(said: Said) -> str:
    """``said`` in the reader's language, as HTML."""
    return html.escape(say(said))


def _problem(said: Said) -> str:
    return f"<div class='refusal' role='alert'><p>{_words(said)}</p></div>"


def _frame(name: str, state: str, said: Said, body: str, recommended: bool = False) -> str:
    badge = f" <span class='badge'>{_words(Text('setup.recommended'))}</span>"
    return (
        f"<div class='model'><div class='model-head'><span><b>{html.escape(name)}</b>"
        f"{badge if recommended else ''}</span>"
        f"<span class='state {state}'><span aria-hidden='true'>{STATES[state]}</span> "
        f"{_words(said)}</span></div>{body}</div>"
    )


def machine_html(engine: Engine) -> str:
    """The doctor's lines as a table."""
    return f"<table class='receipt machine'>{''.join(map(_line, examine(engine)))}</table>"


def _line(line: Line) -> str:
    mark, word = LINES[line.state]
    remedy = f"<div class='why'>{_words(line.remedy)}</div>" if line.remedy else ""
    return (
        f"<tr class='{line.state}'><th scope='row'><span class='mark' role='img' "
        f"title='{_words(word)}' aria-label='{_words(word)}'>{mark}</span> "
        f"{_words(line.subject)}</th>"
        f"<td>{_words(line.meaning)}{remedy}</td></tr>"
    )
