"""How Gradio's queue waits in a page of ours: by its loops, not by the names of its settings."""

import asyncio
from typing import Any

import gradio as gr
import pytest

from ui.serve import LOOK_SECONDS, PROGRESS_SECONDS, SESSIONS, _tame


@pytest.mark.parametrize(
    ("loop", "least"),
    [("start_processing", LOOK_SECONDS), ("start_progress_updates", PROGRESS_SECONDS)],
)
def test_a_queue_without_work_looks_seldom(
    monkeypatch: pytest.MonkeyPatch, loop: str, least: float
) -> None:
    with gr.Blocks(analytics_enabled=False) as page:
        pass
    queue: Any = page.queue()._queue
    _tame(queue)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        queue.stopped = len(slept) == 3

    monkeypatch.setattr("gradio.queueing.asyncio.sleep", sleep)
    queue.stopped = False
    queue.active_jobs = [None]
    asyncio.run(getattr(queue, loop)())
    assert len(slept) == 3
    assert min(slept) >= least
    assert queue.pending_messages_per_session.max_size == SESSIONS
