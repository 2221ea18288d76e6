"""The kernel test on the page: what was timed on this card, what the plans take of it, and a button
that tests again."""

import html
from functools import partial

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.kernels.tasks import own_model
from engine.kernels.told import alike, seconds, taken
from engine.plan.kernel_rows import KernelRow
from engine.presets import ModelPreset
from engine.text import Said, Text, listed
from ui.tabs.card_choice import lane_of_card
from ui.tabs.generate import refusal_html
from ui.wiring import QUIET, Chosen
from ui.wording import say


def build_kernels(engine: Engine, card: gr.Dropdown) -> gr.HTML:
    """A section of the Memory tab; returns its table, which has to be refreshed."""
    table = gr.HTML("", elem_id="kernels", js_on_load=None)
    told = gr.HTML("", elem_id="kernels-told", js_on_load=None)
    button = gr.Button("Test kernels", elem_id="kernels-test", scale=0, min_width=140)
    # It takes up to 20 seconds, so this button shows that it works.
    shows = {**QUIET, "show_progress": "minimal"}
    button.click(partial(time_kernels, engine), card, [told, table], **shows)
    return table


def time_kernels(engine: Engine, card: Chosen = "") -> list[str]:
    """Time them now; what to say about it, and the table."""
    lane = lane_of_card(engine, card)
    preset = own_model(lane.machine(), engine.presets)
    beside: list[bool] = [_makes_a_clip(engine)]

    def undisturbed() -> bool:
        beside.append(_makes_a_clip(engine))
        return not any(beside)

    try:
        lane.kernel_test.run(preset, undisturbed=undisturbed)
    except HeadroomError as error:
        return [refusal_html(error), table_html(engine, card)]
    said = f"<p role='status'>{_said(Text('kernels_tab.disturbed'))}</p>" if any(beside) else ""
    return [said, table_html(engine, card)]


def _makes_a_clip(engine: Engine) -> bool:
    return any(lane.running() is not None for lane in engine.lanes)


def table_html(engine: Engine, card: Chosen = "") -> str:
    """Every row, and what it means for the models; a sentence where nothing was tested."""
    lane = lane_of_card(engine, card)
    machine = lane.machine()
    preset = own_model(machine, engine.presets)
    times = lane.kernel_test.times(preset)
    heading = f"<h2>{_said(Text('kernels_tab.heading'))}</h2>"
    if times is None:
        return f"{heading}<p>{_said(Text('kernels_tab.untested'))}</p>"
    models = alike(engine.presets, machine, preset)
    chosen = taken(times, lane.plans, models)
    head = "".join(
        f"<th scope='col'>{_said(Text(f'kernels_tab.column_{column}'))}</th>"
        for column in ("work", "kernel", "time", "cosine", "taken")
    )
    rows = "".join(_row(row, chosen.get(row, [])) for row in times.rows)
    least = "".join(
        f"<p>{_said(_least(engine, model, took))}</p>"
        for model, took in seconds(times, lane.plans, models).items()
    )
    return (
        f"{heading}{least}<table class='receipt plan'><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _least(engine: Engine, model: str, took: float) -> Text:
    return Text("kernels.least", model=engine.presets.models[model].name, seconds=took)


def _row(row: KernelRow, models: list[ModelPreset]) -> str:
    if row.milliseconds is None:
        time, cosine = Text("kernels_tab.failed", why=row.why), ""
    else:
        time = Text("kernels_tab.milliseconds", ms=row.milliseconds)
        cosine = "" if row.cosine is None else f"{row.cosine:.4f}"
    taken_by = f"✓ {_said(listed(*(preset.name for preset in models)))}" if models else ""
    shape = f"<span translate='no'>{html.escape(row.shape)}</span>"
    return (
        f"<tr><th scope='row'>{_said(Text(f'kernels_tab.work_{row.what}'))} {shape}</th>"
        f"<td translate='no'>{html.escape(row.kernel)}</td><td>{_said(time)}</td>"
        f"<td>{cosine}</td><td>{taken_by}</td></tr>"
    )


def _said(said: Said) -> str:
    return html.escape(say(said))
