"""Of several cards, which one the Memory tab is about; with one there is nothing to choose."""

import gradio as gr

from engine.engine import Engine
from engine.guard.verdicts import Verdicts
from engine.text import Text
from engine.worker.lane import Lane
from ui.wiring import Chosen
from ui.wording import say


def build_card(engine: Engine) -> gr.Dropdown:
    """The choice: every card together, or one of them."""
    return gr.Dropdown(
        choices(engine),
        value="",
        label="Card",
        elem_id="measure-card",
        filterable=False,
        visible=len(engine.lanes) > 1,
    )


def choices(engine: Engine) -> list[tuple[str, str]]:
    """Each with its lane's name, in the reader's language."""
    cards = [(say(lane.seat.title), lane.name) for lane in engine.lanes]
    return [(say(Text("choices.every_card")), ""), *cards]


def worded(engine: Engine) -> gr.Dropdown:
    """The same choice for whoever looks now; what is chosen stays."""
    return gr.Dropdown(choices(engine))


def known_card(engine: Engine, card: Chosen) -> str:
    """``card`` where it names a lane, "" for all of them: nothing from a browser is trusted."""
    return str(card) if any(lane.name == card for lane in engine.lanes) else ""


def lane_of_card(engine: Engine, card: Chosen) -> Lane:
    """Whose plan and kernels are shown: of all cards together the first one's."""
    return engine.lane_or_first(known_card(engine, card))


def guard_of_card(engine: Engine, card: Chosen) -> Verdicts:
    """Whose verdicts are shown."""
    return engine.guard_of(known_card(engine, card))
