"""The Models tab: what is here of each model, how to get the rest, and what this machine is."""

import html
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from engine.doctor.doctor import Line, examine, usable
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Word
from engine.pipelines import is_here, why_not_here
from engine.presets import ModelPreset
from engine.text import FileSize, Said, Text, joined, of_preset
from engine.weights.download import What
from engine.weights.progress import WORKING, DownloadProgress
from engine.weights.state import Weights, weights_text
from ui.tabs.generate import refusal_html
from ui.tabs.pulls import pull_state
from ui.tabs.report import build_report
from ui.wiring import QUIET
from ui.wording import say

log = logging.getLogger("headroom.page")

# A mark beside the colour, as in the headroom tab.
STATES = {"ready": "✓", "partial": "◐", "missing": "–", "damaged": "✕", "working": "↓"}
LINES = {
    "good": ("✓", Text("setup.line_good")),
    "warn": ("!", Text("setup.line_look")),
    "bad": ("✕", Text("setup.line_bad")),
}


@dataclass(frozen=True)
class ModelCard:
    """One model: its text, and its buttons in the order in which ``refreshed`` sets them."""

    text: gr.HTML
    fetch: gr.Button
    pause: gr.Button
    verify: gr.Button
    found: gr.Button

    def as_list(self) -> list[Any]:
        return [self.text, self.fetch, self.pause, self.verify, self.found]


@dataclass(frozen=True)
class SetupParts:
    """What has to be refreshed: the cards, of models to fetch and of those that come with the
    program (what makes their clips may still be on its way), and the machine's lines."""

    cards: dict[str, ModelCard]
    shipped: dict[str, gr.HTML]
    machine: gr.HTML

    def as_list(self) -> list[Any]:
        fetched = [part for card in self.cards.values() for part in card.as_list()]
        return [*fetched, *self.shipped.values()]


def build_setup(engine: Engine) -> SetupParts:
    """All models, the ones to fetch with their buttons, and the doctor's lines below."""
    gr.HTML("<h2>Models</h2>", js_on_load=None)
    cards: dict[str, ModelCard] = {}
    shipped: dict[str, gr.HTML] = {}
    for preset in engine.presets.models.values():
        if not preset.weights:
            with gr.Column(elem_classes="model-card"):
                shipped[preset.id] = gr.HTML(shipped_html(preset), js_on_load=None)
    for preset in sorted(engine.downloads.models, key=lambda p: sum(f.bytes for f in p.weights)):
        cards[preset.id] = _build_card(engine, preset)
    gr.HTML("<h2>This machine</h2>", js_on_load=None)
    machine = gr.HTML("<p>Looking …</p>", elem_id="machine", js_on_load=None)
    build_report(engine)
    return SetupParts(cards, shipped, machine)


def _build_card(engine: Engine, preset: ModelPreset) -> ModelCard:
    model = preset.id
    slug = model.replace(".", "-")  # a dot would begin a class in a selector
    with gr.Column(elem_id=f"card-{slug}", elem_classes="model-card"):
        # Whole from the start: Gradio would show an empty card for a moment.
        text = gr.HTML(elem_id=f"card-text-{slug}", js_on_load=None)
        with gr.Row(elem_classes="card-buttons"):
            fetch = gr.Button("Download", variant="primary", elem_id=f"fetch-{slug}", min_width=120)
            pause = gr.Button("Pause", elem_id=f"pause-{slug}", min_width=90, visible=False)
            verify = gr.Button("Verify", elem_id=f"verify-{slug}", min_width=90, visible=False)
            found = gr.Button("Use what was found", elem_id=f"found-{slug}", visible=False)
        told = gr.HTML("", elem_id=f"told-{slug}", elem_classes="card-told", js_on_load=None)
        with gr.Accordion("Use a folder that you have", open=False):
            with gr.Row(elem_classes="plan-row"):
                place = gr.Textbox(
                    label="Folder, on the computer where Headroom runs",
                    elem_id=f"folder-{slug}",
                    max_lines=1,
                    scale=4,
                )
                use = gr.Button("Use", elem_id=f"use-folder-{slug}", scale=1, min_width=70)
    card = ModelCard(text, fetch, pause, verify, found)
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
    outputs = [told, *card.as_list()]
    card.fetch.click(lambda: act(engine, model, "pull"), None, outputs, **QUIET)
    card.verify.click(lambda: act(engine, model, "verify"), None, outputs, **QUIET)
    card.pause.click(lambda: act(engine, model, None), None, outputs, **QUIET)
    card.found.click(
        lambda: use_folders(engine, model, [str(f) for f in engine.downloads.offers(model)]),
        None,
        outputs,
        **QUIET,
    )
    for pressed in (use.click, place.submit):
        pressed(partial(_use_folder, engine, model), place, outputs, **QUIET)


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


def _use_folder(engine: Engine, model: str, folder: str) -> list[Any]:
    return use_folders(engine, model, [folder])


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
    fetched = [value for model in parts.cards for value in refreshed_card(engine, model)]
    models = engine.presets.models
    return [*fetched, *(shipped_html(models[model]) for model in parts.shipped)]


def refreshed_card(engine: Engine, model: str) -> list[Any]:
    """A card's text and buttons as things are now; one that fails takes no other with it."""
    try:
        return _card(engine, model)
    except (HeadroomError, OSError) as error:
        log.exception("the card of %s failed", model)
        if isinstance(error, HeadroomError):
            why = error.text
        else:
            why = Text("setup.cant_look", why=error.strerror or str(error))
        name, state = engine.presets.models[model].name, Text("setup.state_cant_look")
        said = _frame(name, "damaged", state, _problem(why))
        return [said, *(gr.Button(visible=False) for _ in range(4))]


def _card(engine: Engine, model: str) -> list[Any]:
    weights = engine.downloads
    seen, progress = weights.look(model), weights.progress(model)
    working, ready = progress.phase in WORKING, seen.state == "ready"
    found = [] if working or ready else weights.offers(model)
    useful = usable(engine, model).word is not Word.IMPOSSIBLE
    return [
        card_html(engine, model, seen, progress, found),
        gr.Button(
            say(_fetch_text(seen)),
            visible=not working and not ready,
            variant="primary" if useful else "secondary",
        ),
        gr.Button(visible=working),
        gr.Button(visible=not working and seen.present > 0),
        gr.Button(visible=bool(found)),
    ]


def shipped_html(preset: ModelPreset) -> str:
    """A model whose weights come with the program."""
    text = _words(Text("setup.comes_with_the_program", summary=of_preset(preset.summary)))
    if is_here(preset):
        return _frame(preset.name, "ready", Text("setup.state_ready"), f"<p>{text}</p>")
    why = _words(joined(*why_not_here(preset)))
    return _frame(preset.name, "missing", Text("setup.state_waits"), f"<p>{text}</p><p>{why}</p>")


def _fetch_text(seen: Weights) -> Text:
    size = FileSize(seen.missing)
    match seen.state:
        case "damaged":
            return Text("setup.fetch_damaged", size=size)
        case "partial":
            return Text("setup.resume", size=size)
    return Text("setup.download", size=size)


def card_html(
    engine: Engine, model: str, seen: Weights, progress: DownloadProgress, found: list[Path]
) -> str:
    """Everything about a model's weights, in the order in which somebody would ask.

    Args:
        found: folders of the hub's cache that hold some of them.
    """
    preset, working = engine.presets.models[model], progress.phase in WORKING
    lines: list[Said] = [of_preset(preset.summary)]
    verdict = usable(engine, model)
    if verdict.word is Word.IMPOSSIBLE:
        lines.append(Text("setup.cant_use_it", reason=verdict.reason))
    elif not is_here(preset):
        lines.append(joined(*why_not_here(preset)))
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
    body = "".join(f"<p>{_words(line)}</p>" for line in lines)
    if not working:
        body += _ended_html(progress, seen)
    body += _pull_html(model, progress)
    if working:
        verifying = progress.what == "verify"
        doing = Text("setup.state_verifying" if verifying else "setup.state_fetching")
        return _frame(preset.name, "working", doing, body)
    return _frame(preset.name, seen.state, weights_text(seen), body)


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


def _frame(name: str, state: str, said: Said, body: str) -> str:
    return (
        f"<div class='model'><div class='model-head'><b>{html.escape(name)}</b>"
        f"<span class='state {state}'><span aria-hidden='true'>{STATES[state]}</span> "
        f"{_words(said)}</span></div>{body}</div>"
    )


def _pull_html(model: str, progress: DownloadProgress) -> str:
    """The progress, drawn as it is now; live.js goes on with it."""
    working = progress.phase in WORKING
    pull = pull_state(progress)
    percent = round(100 * pull["fraction"], 1) if working else 0
    files = "".join(f"<li>{_words(told)}</li>" for told in pull["files"]) if working else ""
    return (
        f"<div class='pull' data-pull='{html.escape(model, quote=True)}'"
        f"{'' if working else ' hidden'}><div class='progress' role='progressbar' "
        f"aria-label='{_words(Text('setup.this_download'))}' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent:.0f}'><span style='width:{percent}%'></span></div>"
        f"<p class='told' aria-live='off'>{_words(pull['text']) if working else ''}</p>"
        f"<ul class='files'>{files}</ul></div>"
    )


def machine_html(engine: Engine) -> str:
    """The doctor's lines as a table."""
    return f"<table class='receipt machine'>{''.join(map(_line, examine(engine)))}</table>"


def _line(line: Line) -> str:
    mark, word = LINES[line.state]
    remedy = f"<div class='why'>{_words(line.remedy)}</div>" if line.remedy else ""
    return (
        f"<tr class='{line.state}'><th scope='row'><span class='mark' title='{_words(word)}'>"
        f"{mark}</span> {_words(line.subject)}</th>"
        f"<td>{_words(line.meaning)}{remedy}</td></tr>"
    )


def first_run_html(engine: Engine) -> str:
    """What the first page says while nothing but the CPU default is here; "" after that."""
    models = engine.downloads.models
    ready = [preset for preset in models if engine.downloads.look(preset.id).state == "ready"]
    if ready or not models:
        return ""
    text = _words(Text("setup.first_run", model=engine.presets.default.name))
    return f"<p class='first-run'>{text}</p>"
