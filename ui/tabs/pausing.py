"""Pause and resume: nothing begins, and the memory is free for a game or another program.

Which buttons there are follows the live stream, so that all tabs and commands agree; pausing.js
draws them.
"""

from collections.abc import Callable

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.pause import Paused
from engine.text import Text
from engine.worker.status import EngineState, Status
from ui.theme import ASSETS
from ui.wording import say

BUTTONS = """
<div class="pausing" role="group" aria-label="Pause the queue">
  <button type="button" data-do="pause" hidden
    title="What runs is finished, then the memory is free. Nothing begins until Resume."
    >Pause</button>
  <button type="button" data-do="now" hidden
    title="What runs goes back into the queue, and the memory is free at once.">Pause now</button>
  <button type="button" data-do="resume" hidden>Resume</button>
  <p role="status" data-pausing="told" hidden></p>
</div>
"""


def build_pause(engine: Engine) -> gr.HTML:
    def pressed(asked: object = None) -> str:
        wrong = act(engine, asked)
        return "" if wrong is None else say(wrong)

    script = (ASSETS / "page/pausing.js").read_text(encoding="utf-8")
    return gr.HTML(BUTTONS, elem_id="pausing", js_on_load=script, server_functions=[pressed])


def act(engine: Engine, asked: object) -> Text | None:
    """Do what a button says; returns what went wrong, if anything did.

    Args:
        asked: "pause", "now" or "resume", from the browser: it isn't trusted.
    """
    verbs: dict[str, Callable[[], None]] = {
        "pause": engine.pause,
        "now": lambda: engine.pause(now=True),
        "resume": engine.resume,
    }
    if not isinstance(asked, str) or asked not in verbs:
        return Text("queue.no_such_button")
    try:
        verbs[asked]()
    except HeadroomError as error:
        return error.text
    return None


def engine_line(engine: Engine, status: Status) -> Text:
    """What the engine does while the queue is paused."""
    if engine.jobs.running() is not None:
        at_once = engine.jobs.pause.get() is Paused.NOW
        return Text("pausing.now" if at_once else "pausing.after_this")
    if status.worker_pid is not None:
        return Text("pausing.now")
    waiting = engine.jobs.count_waiting()
    waits = Text("pausing.one_waits") if waiting == 1 else Text("pausing.wait", n=waiting)
    waits = waits if waiting else Text("pausing.none_waits")
    if status.state is EngineState.ELSEWHERE:
        return Text("pausing.elsewhere", wait=waits)
    gpu = engine.recorder.latest().gpu is not None
    return Text("pausing.vram_free" if gpu else "pausing.ram_free", wait=waits)
