"""Machines that joined, on the page: what each has, does and could make, and what can be done about
it from here."""

import html
from functools import partial
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.joined.machine import CLOCK_SECONDS, Machine
from engine.joined.machines import Machines
from engine.joined.remote_lane import RemoteLane
from engine.request import Size
from engine.text import Memory, Said, Text, from_row, listed
from ui import wording
from ui.tabs.gauge import doing
from ui.tabs.generate import refusal_html
from ui.wiring import QUIET, Chosen
from ui.wording import say

LOOK_SECONDS = 2.0


def build_machines(engine: Engine, machines: Machines | None) -> None:
    """A section of the Memory tab; nothing where no machine may join."""
    if machines is None:
        return
    table = gr.HTML(machines_html(engine, machines), elem_id="machines", js_on_load=None)
    with gr.Row(elem_id="machines-tools", elem_classes="plan-row"):
        which = gr.Dropdown(
            _names(machines), label="Machine", elem_id="machines-which", filterable=False, scale=2
        )
        title = gr.Textbox(label="Name", elem_id="machines-name", scale=2)
        rename = gr.Button("Rename", elem_id="machines-rename", scale=0, min_width=110)
        out = gr.Button("Take out", elem_id="machines-out", scale=0, min_width=110)
    with gr.Row(elem_id="machines-models", elem_classes="plan-row"):
        model = gr.Dropdown(
            [(preset.name, preset.id) for preset in engine.presets.with_files if preset.weights],
            label="Model",
            elem_id="machines-model",
            filterable=False,
            scale=4,
        )
        fetch = gr.Button("Download there", elem_id="machines-fetch", scale=0, min_width=180)
        pause = gr.Button("Pause download", elem_id="machines-pause", scale=0, min_width=180)
    told = gr.HTML("", elem_id="machines-told", js_on_load=None)
    look = partial(refreshed, engine, machines), [which], [table, which]
    gr.Timer(LOOK_SECONDS).tick(*look, **QUIET)
    acts: list[tuple[gr.Button, Any, list[Any]]] = [
        (rename, partial(rename_it, machines), [which, title]),
        (out, partial(take_out, machines), [which]),
        (fetch, partial(fetch_there, machines, True), [which, model]),
        (pause, partial(fetch_there, machines, False), [which, model]),
    ]
    for button, act, given in acts:
        button.click(act, given, told, **QUIET).then(*look, **QUIET)


def refreshed(engine: Engine, machines: Machines, which: Chosen) -> tuple[str, Any]:
    """The table, and the machines to choose from; the chosen one stays while it is here."""
    names = _names(machines)
    ids = [id for _, id in names]
    kept = which if which in ids else next(iter(ids), None)
    return machines_html(engine, machines), gr.Dropdown(names, value=kept)


def _names(machines: Machines) -> list[tuple[str, str]]:
    return [(machine.called, machine.id) for machine in machines.all]


# ---- what the buttons do -----------------------------------------------------------------------


def rename_it(machines: Machines, which: Chosen, title: str) -> str:
    return _done(lambda: machines.rename(str(which or ""), title))


def take_out(machines: Machines, which: Chosen) -> str:
    return _done(lambda: machines.take_out(str(which or "")))


def fetch_there(machines: Machines, on: bool, which: Chosen, model: Chosen) -> str:
    return _done(lambda: machines.fetch(str(which or ""), str(model or ""), on))


def _done(act: Any) -> str:
    try:
        act()
    except HeadroomError as error:
        return refusal_html(error)
    return ""


# ---- what it shows -----------------------------------------------------------------------------


def machines_html(engine: Engine, machines: Machines) -> str:
    """A row a lane; why one that wanted to join may not, or has gone."""
    heading = f"<h2>{_said(Text('machines.heading'))}</h2>"
    lines: list[Said] = [
        Text("machines.gone", machine=gone.title, why=gone.why) for gone in machines.gone.values()
    ]
    lines += machines.refused.values()
    for machine in machines.all:
        lines += _remarks(machine)
    notes = "".join(f"<p>{_said(line)}</p>" for line in lines)
    if not machines.all:
        return f"{heading}<p>{_said(Text('machines.none'))}</p>{notes}"
    head = "".join(
        f"<th scope='col'>{_said(Text(f'machines.column_{column}'))}</th>"
        for column in ("machine", "card", "memory", "doing", "models")
    )
    rows = "".join(
        _row(engine, machine, lane) for machine in machines.all for lane in machine.lanes
    )
    return (
        f"{heading}<table class='receipt plan'><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>{notes}"
    )


def _row(engine: Engine, machine: Machine, lane: RemoteLane) -> str:
    does: Said = doing(lane.status.state, engine.presets.called(lane.status.model))
    if (job := lane.running()) is not None:
        does = job.request.prompt if job.kind == "clip" else does
    memory = Text("machines.free", free=Memory(lane.free), total=Memory(lane.total))
    return (
        f"<tr><th scope='row'>{_said(lane.seat.title)}</th><td translate='no'>"
        f"{html.escape(lane.device)}</td><td>{_said(memory)}</td><td>{_said(does)}</td>"
        f"<td>{_said(_models(engine, machine, lane))}</td></tr>"
    )


def _models(engine: Engine, machine: Machine, lane: RemoteLane) -> Text:
    """What it can make, and how fast; what it is fetching."""
    told: list[Said] = []
    for preset in engine.presets.with_files:
        fetching = machine.seen.get("downloads", {}).get(preset.id)
        if lane.suits(preset.id):
            shape = preset.default
            size = Size(shape.height, shape.width, shape.frames)
            took = lane.guard.durations(preset.id, [size])[size]
            time = Text("machines.untimed")
            if took is not None:
                time = Text("machines.seconds", seconds=f"{took.seconds:.1f}")
            told.append(Text("machines.model", model=preset.name, time=time))
        elif fetching and fetching["working"]:
            percent = round(100 * fetching["share"])
            told.append(Text("machines.fetching", model=preset.name, percent=percent))
    return listed(*told) if told else Text("machines.no_model")


def _remarks(machine: Machine) -> list[Said]:
    name = machine.called
    told: list[Said] = [from_row(text) for text in machine.left_out]
    if abs(machine.clock_off) > CLOCK_SECONDS:
        values = {"machine": name, "time": wording.roughly(abs(machine.clock_off))}
        ahead = machine.clock_off > 0
        told.append(
            Text("machines.clock_ahead", **values)
            if ahead
            else Text("machines.clock_behind", **values)
        )
    for fetching in machine.seen.get("downloads", {}).values():
        if not fetching["working"] and fetching["told"]:
            told.append(Text("machines.fetch_ended", machine=name, why=from_row(fetching["told"])))
    return told


def _said(said: Said) -> str:
    return html.escape(say(said))
