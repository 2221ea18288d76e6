"""The report for an issue: written when asked for, shown, and copied only by whoever read it."""

import gradio as gr

from engine.doctor.report import report
from engine.engine import Engine
from engine.store import StoreError
from ui.wiring import QUIET
from ui.wording import say

HEAD = (
    "<h2>Report a problem</h2><p>The report has versions, this machine, the plan, the last failure "
    "and the ends of the logs, without prompts, your folders or names. Read it before you send it."
    "</p>"
)


def build_report(engine: Engine) -> None:
    """A button that writes the report into a box, which has the browser's own copy button."""
    gr.HTML(HEAD, js_on_load=None)
    write = gr.Button("Copy report", elem_id="report-write", scale=0, min_width=140)
    box = gr.Textbox(
        label="Report",
        elem_id="report",
        lines=8,
        max_lines=20,
        interactive=False,
        visible=False,
        buttons=["copy"],
    )
    # Copied as well where the browser allows it: only over https or on this computer.
    write.click(lambda: written(engine), None, box, **QUIET).then(
        None, box, None, js="text => { navigator.clipboard?.writeText(text).catch(() => {}) }"
    )


def written(engine: Engine) -> gr.Textbox:
    try:
        text = report(engine)
    except StoreError as error:
        text = say(error.text)
    return gr.Textbox(text, visible=True)
