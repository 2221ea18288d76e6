"""The engine's notice on the page: a line with a button that dismisses it.

A sentence that the last job's outcome says already isn't said a second time beside it.
"""

import json
import time
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.text import NOTHING, Said, Text, joined, sentences, within
from engine.worker.status import Status
from ui.theme import ASSETS

NOTICE = """
<div class="notice-line" hidden>
  <svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 1.5 15 14H1ZM8 6v4M8 12v.1"/></svg>
  <p role="alert" data-live="notice"></p>
  <button type="button" title="Dismiss" aria-label="Dismiss">✕</button>
</div>
"""


def build_notice(engine: Engine) -> gr.HTML:
    """The line; it is there only while there is something to say."""

    def read(notice_at: object = None) -> None:
        dismissed(engine, notice_at)

    script = (ASSETS / "page/notice.js").read_text(encoding="utf-8")
    return gr.HTML(NOTICE, elem_id="notice", js_on_load=script, server_functions=[read])


def dismissed(engine: Engine, notice_at: object) -> None:
    """Somebody pressed the button beside the notice of this time."""
    if isinstance(notice_at, int | float):
        engine.dismiss_notice(float(notice_at))


def notice_state(status: Status, outcome: Said, trouble: Said = NOTHING) -> dict[str, Any]:
    """The live stream's part: ``notice``, and ``notice_at``, by which it is dismissed; 0 where
    there is nothing that could be.

    Args:
        outcome: what the page says of the last job.
        trouble: what goes wrong in this process now; it ends by itself.
    """
    own = without(status.notice, outcome)
    if own:
        at = time.strftime("%H:%M", time.localtime(status.notice_at))
        own = Text("live.notice", at=at, said=own)
    return {
        "notice": joined(own, without(trouble, outcome)),
        "notice_at": status.notice_at if own else 0,
    }


def without(said: Said, other: Said) -> Text:
    """The sentences of ``said`` that ``other`` doesn't have."""
    known = {_key(text) for text in within(other)}
    return joined(*(text for text in sentences(said) if _key(text) not in known))


def _key(text: Text) -> str:
    """Equal for two texts that say the same: one may come from a row, the other from a worker."""
    return json.dumps(text.to_json(), sort_keys=True)
