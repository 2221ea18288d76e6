"""The plan on the page: each choice with its reason, and where the user can choose otherwise."""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.default_model import default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.plan.choice import Choice, Option, Options, PlanError, in_words
from engine.text import Said, Text, plain
from ui import wording
from ui.tabs.card_choice import lane_of_card
from ui.tabs.choices import known_model
from ui.tabs.generate import refusal_html
from ui.wiring import QUIET, Chosen, pressed_id
from ui.wording import say

# Choices that the table has a name for; any other is told by its key.
NAMED = (
    *wording.CHOICES,
    "model",
    "device",
    "dtype",
    "threads",
    "sampler",
    "precision",
    "modulation",
    "fp16_accumulation",
)


@dataclass(frozen=True)
class PlanParts:
    """What has to be refreshed: the table, the choices' section, a dropdown a choice."""

    table: gr.HTML
    section: gr.Column
    rows: dict[str, gr.Row]
    dropdowns: dict[str, gr.Dropdown]

    def as_list(self) -> list[Any]:
        return [self.table, self.section, *self.rows.values(), *self.dropdowns.values()]


def build_plan(engine: Engine, model: gr.Dropdown, card: gr.Dropdown) -> PlanParts:
    """The section of the Memory tab; models that leave nothing to choose show the table only."""
    table = gr.HTML(elem_id="plan", js_on_load=None)
    rows: dict[str, gr.Row] = {}
    dropdowns: dict[str, gr.Dropdown] = {}
    buttons: dict[str, tuple[gr.Button, gr.Button]] = {}
    with gr.Column(visible=False, elem_id="plan-choices") as section:
        with gr.Accordion("Choose otherwise", open=False):
            gr.HTML(f"<p>{wording.CHOOSE}</p>", js_on_load=None)
            for name, said in wording.CHOICES.items():
                with gr.Row(elem_id=f"plan-{name}", elem_classes="plan-row") as rows[name]:
                    dropdowns[name] = gr.Dropdown(
                        [], label=said, interactive=True, filterable=False, scale=4
                    )
                    use = gr.Button("Use", elem_id=f"use-{name}", scale=1, min_width=70)
                    auto = gr.Button("Automatic", elem_id=f"auto-{name}", scale=1, min_width=90)
                    buttons[name] = use, auto
            told = gr.HTML("", elem_id="plan-told", js_on_load=None)
    parts = PlanParts(table, section, rows, dropdowns)
    _wire(engine, parts, buttons, told, model, card)
    return parts


def _wire(
    engine: Engine,
    parts: PlanParts,
    buttons: dict[str, tuple[gr.Button, gr.Button]],
    told: gr.HTML,
    model: gr.Dropdown,
    card: gr.Dropdown,
) -> None:
    """One event for all of them: a browser holds each against everything on the page."""
    uses = {use.elem_id: name for name, (use, _) in buttons.items()}
    resets = {auto.elem_id: name for name, (_, auto) in buttons.items()}
    order = list(parts.dropdowns)

    def press(event: gr.EventData, chosen: Chosen, of: Chosen, *values: Chosen) -> list[Any]:
        pressed = pressed_id(event)
        if pressed in uses:
            name = uses[pressed]
            said = use(engine, chosen, name, values[order.index(name)], of)
        elif pressed in resets:
            said = reset(engine, chosen, resets[pressed])
        else:  # no button of ours
            said = ""
        return [said, *refreshed(engine, chosen, of)]

    gr.on(
        [button.click for pair in buttons.values() for button in pair],
        press,
        [model, card, *parts.dropdowns.values()],
        [told, *parts.as_list()],
        **QUIET,
    )


def use(engine: Engine, model: Chosen, name: str, value: Chosen, card: Chosen = "") -> str:
    """Choose ``value``; returns what to say about it.

    Args:
        card: the one where it has to work; it is chosen for all of them.
    """
    if value is None:
        return ""
    try:
        plans = lane_of_card(engine, card).plans
        plans.override(known_model(engine.presets, model), name, value)
    except HeadroomError as error:
        return refusal_html(error)
    said = Text("plan_tab.used", choice=_name(name), value=in_words(value))
    return f"<p>{_escaped(said)}</p>"


def reset(engine: Engine, model: Chosen, name: str) -> str:
    """Back to the automatic choice; returns what to say about it."""
    engine.plans.reset(known_model(engine.presets, model), name)
    return f"<p>{_escaped(Text('plan_tab.reset', choice=_name(name)))}</p>"


def refreshed(engine: Engine, model: Chosen, card: Chosen = "") -> list[Any]:
    """What ``PlanParts.as_list`` shows for ``model`` now, on that card."""
    model = known_model(engine.presets, model)
    plans = lane_of_card(engine, card).plans
    options = plans.options(model)
    values = plans.values(model)
    return [
        table_html(engine, model, card),
        gr.Column(visible=bool(options)),
        *[gr.Row(visible=name in options) for name in wording.CHOICES],
        *[
            gr.Dropdown(choices(options, name), value=values.get(name) if name in options else None)
            for name in wording.CHOICES
        ],
    ]


def choices(options: Options, name: str) -> list[tuple[str, str | int | float]]:
    """Every option with its value behind it; what can't work says so and why."""
    return [(_said(option), option.value) for option in options.get(name, ())]


def table_html(engine: Engine, model: Chosen, card: Chosen = "") -> str:
    """The plan with its reasons, or why there is none."""
    model = known_model(engine.presets, model)
    try:
        plan = lane_of_card(engine, card).plans.plan(model)
    except PlanError as error:
        return refusal_html(error)
    usual = default_model(engine)
    reason: Said = usual.reason
    named = engine.presets.models[model].name
    if usual.preset.id != model:
        reason = Text("plan_tab.chose_model", model=usual.preset.name, why=reason)
    rows = [("model", Choice(named, reason)), *plan.items()]
    cells = "".join(
        f"<tr><th scope='row'>{_escaped(_name(name))}</th>"
        f"<td>{_escaped(choice.text)}</td>"
        f"<td class='why'>{_escaped(choice.reason)}</td></tr>"
        for name, choice in rows
    )
    head = "".join(
        f"<th scope='col'>{_escaped(Text(f'plan_tab.column_{column}'))}</th>"
        for column in ("choice", "value", "why")
    )
    return (
        f"<h2>{_escaped(Text('plan_tab.heading', model=named))}</h2>"
        f"<table class='receipt plan'><thead><tr>{head}</tr></thead>"
        f"<tbody>{cells}</tbody></table>"
    )


def _name(choice: str) -> Text:
    """A plan's key as people read it."""
    return Text(f"plan_tab.name_{choice}") if choice in NAMED else plain(wording.choice(choice))


def _said(option: Option) -> str:
    if option.works:
        return say(option.text)
    return say(Text("plan_tab.cant_work", value=option.text, why=option.reason))


def _escaped(said: Text) -> str:
    return html.escape(say(said))
