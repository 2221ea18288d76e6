"""The first page until the model that suits this machine is here: what it would make, and one
button that gets it. And the hand-over once it has come."""

import html
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import gradio as gr

from engine.default_model import can_run, default_model, with_files
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Word
from engine.machine.cards import card_name
from engine.pipelines import is_here, why_not_here
from engine.presets import ModelPreset
from engine.request import Size
from engine.text import NOTHING, FileSize, Memory, Said, Text, joined
from engine.units import GIB
from engine.weights.progress import WORKING, DownloadProgress
from engine.weights.state import Weights
from ui.tabs.generate import refusal_html
from ui.tabs.pulls import pull_html, ready_text, short_name
from ui.theme import ASSETS
from ui.wiring import QUIET
from ui.wording import say

Act = Literal["", "download", "pause", "resume"]


@dataclass(frozen=True)
class FirstRun:
    """What the first page says. ``model``: the one to get, "" where there is none; ``act``: what
    its one button does, "" where it has none; ``progress``: of its download."""

    said: Text = NOTHING
    model: str = ""
    act: Act = ""
    progress: DownloadProgress | None = None


@dataclass(frozen=True)
class FirstRunParts:
    """What ``refreshed`` sets, in its order; ``came`` holds the models that were ready when this
    page looked last; ``lead`` is pressed to see all models."""

    box: gr.Column
    text: gr.HTML
    act: gr.Button
    lead: gr.Button
    came: gr.State

    def as_list(self) -> list[Any]:
        return [self.box, self.text, self.act, self.lead]


@dataclass(frozen=True)
class HandOver:
    """``model``: the one that has come and can be used, "" where none has; ``said``: what to say
    of what has come; ``ready``: what is to be passed in the next time."""

    model: str
    said: Text
    ready: list[str]


# ---- what is said --------------------------------------------------------------------------


def first_run(engine: Engine) -> FirstRun:
    """What the first page says now; nothing once a large model is ready, or where there is none."""
    every = [c for c in with_files(engine) if not c.barred and c.preset.runs_on == "nvidia"]
    large = [candidate for candidate in every if not candidate.preset.changes_clips]
    able = [candidate.preset for candidate in large]
    if not able:
        return _without_gpu(engine)
    if default_model(engine).preset in able:
        return FirstRun()
    fetched = [preset for preset in able if preset.weights]
    on_its_way = (p for p in fetched if engine.downloads.progress(p.id).phase in WORKING)
    chosen = next(on_its_way, fetched[0] if fetched else None)
    least = {candidate.preset.id: candidate.least for candidate in large}
    return _to_get(engine, chosen, least[chosen.id]) if chosen is not None else FirstRun()


def _without_gpu(engine: Engine) -> FirstRun:
    """The demo model, and what real video takes; said until somebody has made a clip."""
    large = [preset for preset in engine.presets.makers if preset.runs_on == "nvidia"]
    here = is_here(engine.presets.default)
    if not large or not here or engine.library.newest(1):
        return FirstRun()
    least = min(large, key=lambda preset: (preset.memory.minimum_gib, _bytes(preset)))
    need = Memory(round(least.memory.minimum_gib * GIB))
    demo, model = engine.presets.default.name, short_name(least)
    return FirstRun(Text("first_run.demo", demo=demo, model=model, need=need))


def _bytes(preset: ModelPreset) -> int:
    return sum(file.bytes for file in preset.weights)


def _to_get(engine: Engine, preset: ModelPreset, least: float | None) -> FirstRun:
    weights = engine.downloads
    seen, progress = weights.look(preset.id), weights.progress(preset.id)
    if seen.state == "ready":
        return FirstRun()
    makes = _makes(engine, preset)
    if least is not None:
        makes = joined(makes, Text("first_run.least", seconds=least))
    if progress.phase in WORKING:
        return FirstRun(makes, preset.id, "pause", progress)
    if not seen.fits:
        room = Text(
            "setup.wont_fit",
            size=FileSize(seen.missing),
            free=FileSize(seen.free),
            folder=seen.folder,
        )
        return FirstRun(joined(makes, room), preset.id)
    act: Act = "resume" if seen.present else "download"
    return FirstRun(joined(makes, *_so_far(seen, progress)), preset.id, act, progress)


def _makes(engine: Engine, preset: ModelPreset) -> Text:
    """What the card found makes with ``preset``: no promise where it has to be tested first."""
    shape = preset.default
    size = Size(shape.height, shape.width, shape.frames)
    gpu = engine.look().gpu
    values = {"card": card_name(gpu.name if gpu else ""), "model": short_name(preset)}
    if engine.guard.verdict(preset.id, size).word not in (Word.OPEN, Word.BUSY):
        return Text("first_run.may_make", **values)
    seconds = preset.seconds(shape.frames)
    return Text(
        "first_run.makes", width=shape.width, height=shape.height, seconds=seconds, **values
    )


def _so_far(seen: Weights, progress: DownloadProgress) -> list[Said]:
    """What is left to download, and why it isn't done."""
    lines: list[Said] = []
    if progress.phase == "failed":
        lines += [progress.told, progress.remedy]
    elif seen.present:
        lines.append(Text("first_run.paused", percent=seen.percent))
    return [*lines, Text("first_run.to_download", size=FileSize(seen.missing))]


# ---- the page's part -----------------------------------------------------------------------


def build_card(engine: Engine) -> FirstRunParts:
    """Its button works by itself; where the card stands, and when it is renewed, is the page's."""
    script = (ASSETS / "page/came.js").read_text(encoding="utf-8")
    # Its place is there from the start where it will be: what appears later moves the stage.
    shown = first_run(engine)
    with gr.Column(visible=bool(shown.said), elem_id="first-run") as box:
        # Its words come in the reader's language when the page is opened; their room is kept.
        room = f"<div class='reserved' translate='no'>{_told(shown)}</div>"
        text = gr.HTML(room if shown.said else "", elem_id="first-run-text", js_on_load=None)
        with gr.Row(elem_classes="card-buttons"):
            act = gr.Button(
                "Download",
                visible=bool(shown.act),
                variant="primary",
                elem_id="first-run-act",
                min_width=140,
                scale=0,
            )
            led = bool(shown.said) and not shown.act
            lead = gr.Button("Models", visible=led, elem_id="to-setup", min_width=90, scale=0)
    gr.HTML("", elem_id="came", js_on_load=script)
    parts = FirstRunParts(box, text, act, lead, gr.State(None))
    act.click(partial(pressed, engine), None, parts.as_list(), **QUIET)
    return parts


def pressed(engine: Engine) -> list[Any]:
    """Download, pause or go on: what the button said."""
    shown = first_run(engine)
    try:
        if shown.act == "pause":
            engine.downloads.pause(shown.model)
        elif shown.act:
            engine.downloads.start(shown.model)
    except HeadroomError as error:
        return refreshed(engine, problem=refusal_html(error))
    except OSError as error:
        why = Text("setup.cant_begin", why=error.strerror or str(error))
        return refreshed(engine, problem=f"<p role='alert'>{html.escape(say(why))}</p>")
    return refreshed(engine)


def refreshed(engine: Engine, came: Text = NOTHING, problem: str = "") -> list[Any]:
    """The values of ``FirstRunParts.as_list``.

    Args:
        came: said of a model that has just come.
        problem: markup of what went wrong with the button.
    """
    shown = first_run(engine)
    label = Text(f"first_run.act_{shown.act or 'download'}")
    return [
        gr.Column(visible=bool(came or shown.said)),
        _told(shown, came, problem),
        gr.Button(
            say(label),
            visible=bool(shown.act),
            variant="secondary" if shown.act == "pause" else "primary",
        ),
        gr.Button(visible=bool(shown.said) and not shown.act),
    ]


def _told(shown: FirstRun, came: Text = NOTHING, problem: str = "") -> str:
    lines = "".join(f"<p>{html.escape(say(line))}</p>" for line in (came, shown.said) if line)
    bar = pull_html(shown.model, shown.progress) if shown.progress else ""
    return f"<div class='first-run' role='status'>{lines}</div>{bar}{problem}" if lines else ""


# ---- the hand-over -------------------------------------------------------------------------


def hand_over(engine: Engine, known: list[str] | None) -> HandOver:
    """Whether a model has come since this page looked last.

    Args:
        known: ``ready`` of the last time; None when the page is opened.
    """
    order = [candidate.preset for candidate in with_files(engine) if candidate.preset.weights]
    ready = [preset.id for preset in order if _is_ready(engine, preset.id, known or [])]
    came = [p for p in order if known is not None and p.id in ready and p.id not in known]
    if not came:
        return HandOver("", NOTHING, ready)
    makers = [preset for preset in came if not preset.changes_clips]
    if not makers:
        return HandOver("", ready_text(came[0]), ready)
    came = makers
    usable = next((preset for preset in came if can_run(engine, preset)), None)
    if usable is not None:
        said = joined(ready_text(usable), Text("first_run.chosen"))
        return HandOver(usable.id, said, ready)
    why = NOTHING if is_here(came[0]) else joined(*why_not_here(came[0]))
    return HandOver("", joined(ready_text(came[0]), why), ready)


def _is_ready(engine: Engine, model: str, known: list[str]) -> bool:
    try:
        return engine.downloads.look(model).state == "ready"
    except (HeadroomError, OSError):
        return model in known  # its drive doesn't answer: no news either way
