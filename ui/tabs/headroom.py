"""The headroom tab: which sizes are open on this machine, on what grounds, and how to find out."""

import html
from collections.abc import Mapping
from functools import partial
from statistics import median
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import PROBE_PROMPT
from engine.guard.verdict import Verdict, Word
from engine.measurements import MeasurementRow
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Text, joined
from ui import wording
from ui.tabs.card_choice import guard_of_card, known_card
from ui.tabs.choices import known_model
from ui.tabs.generate import refusal_html
from ui.tabs.peaks import peak_text, shown_peaks
from ui.wiring import QUIET, Chosen
from ui.wording import say

# A mark beside the colour: nobody has to tell green from red.
LOOKS = {
    "measured": "✓",
    "predicted": "≈",
    "recipe": "●",
    "busy": "…",
    "locked": "–",
    "impossible": "✕",
}


def look_of(verdict: Verdict) -> str:
    return verdict.basis if verdict.open else verdict.word.value


def look_text(look: str) -> Text:
    """The word beside the mark."""
    return Text(f"headroom.look_{look}")


def build_tab(
    engine: Engine, model: gr.Dropdown, card: gr.Dropdown
) -> tuple[gr.HTML, gr.Dropdown, gr.State]:
    """The picture and the choice of what to measure; returns what has to be refreshed, and what
    somebody chose."""
    picture = gr.HTML(elem_id="picture", js_on_load=None)
    with gr.Row():
        which = gr.Dropdown(
            [],
            label="A size to test",
            elem_id="measure-size",
            interactive=True,
            filterable=False,
            scale=3,
        )
        button = gr.Button("Test", elem_id="measure", variant="primary", scale=1)
    told = gr.HTML("", elem_id="measure-told", js_on_load=None)

    button.click(
        partial(measure_size, engine),
        [model, which, card],
        told,
        **QUIET,
    )
    # Not the dropdown itself: what it shows without anybody's choice gives way to a locked size.
    chosen = gr.State(None)
    which.input(_chosen, which, chosen, **QUIET)
    return picture, which, chosen


def _chosen(size: Chosen) -> Chosen:
    return size


def measure_size(engine: Engine, model: Chosen, chosen: Chosen, card: Chosen = "") -> str:
    """Queue a probe; returns what to say about it."""
    if not chosen:
        return f"<p>{html.escape(say(Text('headroom.nothing_to_measure')))}</p>"
    height, width, frames = (*str(chosen).split("×"), "", "")[:3]
    raw = {
        "prompt": PROBE_PROMPT,
        "model": model,
        "height": height,
        "width": width,
        "frames": frames,
    }
    try:
        request = ClipRequest.check(raw, engine.presets, probe=True)
        engine.measure(request, known_card(engine, card))
    except HeadroomError as error:
        return refusal_html(error)
    size = wording.shape_of(engine.presets, request)
    return f"<p>{html.escape(say(Text('headroom.measuring', size=size)))}</p>"


def refreshed(
    engine: Engine, model: Chosen, chosen: Chosen = None, card: Chosen = ""
) -> tuple[str, Any]:
    """The picture, and the sizes that a measurement could open.

    Args:
        chosen: what somebody chose of these; it stays chosen while it is among them.
        card: of several cards the one whose sizes are shown; "" shows what any of them can make.
    """
    model = known_model(engine.presets, model)
    guard = guard_of_card(engine, card)
    offered = guard.offered(model)
    verdicts = guard.verdicts(model, offered)
    rows = guard.rows(model)
    fps, measured = engine.presets.models[model].fps, _measured(rows)
    sizes = [
        size
        for size in sorted(offered, key=lambda s: (s.pixels, s.frames))
        if verdicts[size].word is not Word.IMPOSSIBLE and size not in measured
    ]
    choices = [(say(_choice(size, fps, verdicts[size])), str(size)) for size in sizes]
    kept = [size for size in sizes if str(size) == chosen]
    locked = [size for size in sizes if verdicts[size].word is Word.LOCKED]
    value = next((str(size) for size in [*kept, *locked, *sizes]), None)
    return picture_html(engine, model, verdicts, rows), gr.Dropdown(choices, value=value)


def _choice(size: Size, fps: int, verdict: Verdict) -> Text:
    said = wording.size(size, fps)
    return Text("headroom.choice", size=said, verdict=verdict.word.text)


def _measured(rows: list[MeasurementRow]) -> dict[Size, list[MeasurementRow]]:
    found: dict[Size, list[MeasurementRow]] = {}
    for row in rows:
        if row.measurement.ran:
            found.setdefault(row.measurement.size, []).append(row)
    return found


def picture_html(
    engine: Engine, model: str, verdicts: Mapping[Size, Verdict], rows: list[MeasurementRow]
) -> str:
    """Area down, seconds across; a cell's colour, mark and words say the same."""
    preset = engine.presets.models[model]
    measured, peaks = _measured(rows), shown_peaks(verdicts)
    frames = sorted({size.frames for size in verdicts})
    shapes = sorted({(s.pixels, s.height, s.width) for s in verdicts})
    lengths = [say(Text("headroom.seconds", seconds=n / preset.fps)) for n in frames]
    head = "".join(f"<th scope='col'>{length}</th>" for length in lengths)
    body = ""
    for _, height, width in shapes:
        cells = "".join(
            _cell(size, preset.fps, verdicts[size], peaks[size], measured.get(size, []))
            if (size := Size(height, width, count)) in verdicts
            else "<td></td>"
            for count in frames
        )
        body += f"<tr><th scope='row'>{width} × {height}</th>{cells}</tr>"
    legend = "".join(
        f"<li class='{look}'><b aria-hidden='true'>{mark}</b> {say(look_text(look))}</li>"
        for look, mark in LOOKS.items()
    )
    about, picture = Text("headroom.about", model=preset.name), Text("headroom.picture")
    return (
        f"<p>{html.escape(say(about))}</p>"
        f"<table class='picture'><thead><tr><th scope='col'>{say(picture)}</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table><ul class='legend'>{legend}</ul>"
    )


def warm_seconds(row: MeasurementRow) -> float:
    """How long a clip took; only the first of a session waits for the model."""
    return sum(taken for stage, taken in row.seconds.items() if stage != "load")


def _cell(size: Size, fps: int, verdict: Verdict, peak: Text, rows: list[MeasurementRow]) -> str:
    look = look_of(verdict)
    lines = [f"<b><span aria-hidden='true'>{LOOKS[look]}</span> {say(look_text(look))}</b>"]
    if rows:
        lines.append(html.escape(say(_ran(rows, peak if verdict.hedge == "exact" else NOTHING))))
    elif peak:
        lines.append(html.escape(say(peak)))
    why = html.escape(say(joined(verdict.reason, verdict.remedy)))
    # The reason opens for fingers and the keyboard, too; a title is for the mouse alone.
    return (
        f"<td class='{look}'><details><summary title='{say(wording.size(size, fps))}'>"
        f"{'<br>'.join(lines)}</summary><p>{why}</p></details></td>"
    )


def _ran(rows: list[MeasurementRow], peak: Text) -> Text:
    """What runs of one size have taken, and how many there were.

    Args:
        peak: as it is shown beside those of other sizes; NOTHING where no verdict has it.
    """
    whole = [warm_seconds(row) for row in rows if row.kind == "clip"]
    count = sum({row.measurement.outcome: row.runs for row in rows}.values())
    return Text(
        "headroom.ran",
        peak=peak or peak_text(max(row.measurement.peak for row in rows), "exact"),
        time=Text("headroom.ran_time", time=wording.seconds(median(whole))) if whole else NOTHING,
        runs=Text("headroom.runs", count=count) if count > 1 else Text("headroom.run"),
    )
