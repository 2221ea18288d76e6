"""The queue on the page: what waits and when it starts, what failed, and what can be done about it.

``Live`` sends ``QueueView.state``; queue.js draws it and calls ``act`` for its buttons.
"""

import html
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeGuard

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Verdict
from engine.jobs import Job, State, TooLate, too_late
from engine.presets import Presets
from engine.prompts.batch import single
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Said, Text, joined
from engine.worker.status import Status
from ui import wording
from ui.tabs.generate import Controls, brought_back, judged, refusal_html, request_values
from ui.theme import ASSETS
from ui.wiring import QUIET, Chosen
from ui.wording import say

SHOWN = 20  # of the waiting jobs; the others are counted
ENDED_SHOWN = 5
FRESH_SECONDS = 2.0  # verdicts and seconds of earlier clips are looked up this often at the most
QUEUE = """
<section class="queue" aria-label="Queue" hidden>
  <div class="queue-head"><strong data-queue="head"></strong>
    <button type="button" data-do="cancel_waiting">Cancel all that waits</button></div>
  <ol data-queue="waiting"></ol>
  <p class="small" data-queue="more" hidden></p>
  <div class="queue-head" data-queue="ended-head" hidden><strong>Not made</strong>
    <button type="button" data-do="clear_ended">Clear</button></div>
  <ul data-queue="ended"></ul>
  <p class="notice" role="status" data-queue="told" hidden></p>
</section>
"""


class QueueView:
    """What the page shows of the queue, looked up as seldom as it may."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at = 0.0
        self._verdicts: dict[tuple[str, Size], Verdict] = {}
        self._past: dict[tuple[str, Size], Mapping[str, float]] = {}

    def state(self, status: Status) -> dict[str, Any]:
        """Places, when each starts, and the verdict that it would meet now; yet to be words."""
        jobs = self._engine.jobs
        waiting = jobs.waiting(SHOWN)
        count = len(waiting) if len(waiting) < SHOWN else jobs.count_waiting()
        ended = jobs.ended(ENDED_SHOWN, State.FAILED, State.CANCELLED)
        self._look_up(waiting)
        until = None if self._engine.is_paused() else self._left_of_running(status)
        rows = []
        for place, job in enumerate(waiting, 1):
            rows.append(self._row(place, job, until))
            own = self._seconds(job)
            until = None if until is None or own is None else until + own
        return {
            "waiting": rows,
            "more": count - len(rows),
            "ended": [self._ended(job) for job in ended],
        }

    def _row(self, place: int, job: Job, until: float | None) -> dict[str, Any]:
        verdict = self._verdicts.get((job.request.model, job.request.size))
        closed = job.kind == "clip" and verdict is not None and not verdict.open
        # A minute's precision is all that a guess so far ahead is worth; it also keeps the stream
        # quiet.
        starts = NOTHING
        if until is not None:
            starts = Text("queue.starts_in", time=wording.roughly(until))
            starts = starts if until >= 1 else Text("queue.starts_next")
        return {
            "id": job.id,
            "place": place,
            "title": title(job, self._engine.presets),
            "kind": job.kind,
            "size": self._size(job),
            "starts": starts,
            "verdict": verdict.word.value if closed and verdict else "",
            "why": joined(verdict.reason, verdict.remedy) if closed and verdict else job.note,
        }

    def _size(self, job: Job) -> Text:
        if job.kind != "clip":
            return NOTHING
        shape = wording.size_of(self._engine.presets, job.request.model, job.request.size)
        whose = Text("queue.whose", name=job.visitor_name) if job.visitor else NOTHING
        return Text("queue.size", shape=shape, seed=job.seed, whose=whose)

    def _ended(self, job: Job) -> dict[str, Any]:
        return {
            "id": job.id,
            "title": title(job, self._engine.presets),
            "kind": job.kind,
            "state": job.state.value,
            "why": joined(job.note, job.remedy),
        }

    def _look_up(self, waiting: list[Job]) -> None:
        wanted = {(job.request.model, job.request.size) for job in waiting}
        now = time.monotonic()
        if now - self._at < FRESH_SECONDS and wanted <= set(self._past):
            return
        guard, known = self._engine.guard, self._engine.presets.models
        self._at, self._verdicts, self._past = now, {}, {}
        for model in {model for model, _ in wanted}:
            sizes = [size for named, size in wanted if named == model]
            if model in known:
                found = guard.verdicts(model, sizes)
                self._verdicts |= {(model, size): found[size] for size in sizes}
            self._past |= {(model, size): guard.last_seconds(model, size) for size in sizes}

    def _seconds(self, job: Job) -> float | None:
        past = self._past.get((job.request.model, job.request.size))
        if job.kind == "probe" or not past:
            return None
        return sum(seconds for stage, seconds in past.items() if stage != "load")

    def _left_of_running(self, status: Status) -> float | None:
        """Seconds until the running job is over; 0 when nothing runs, None where nobody knows."""
        running, progress = self._engine.jobs.running(), status.progress
        if running is None:
            return 0.0
        if progress is None or progress.job != running.id or running.kind == "probe":
            return None
        past = self._engine.guard.last_seconds(running.request.model, running.request.size)
        left = progress.time_left(past)
        return None if left is None or left.at_least else left.seconds


def title(job: Job, presets: Presets) -> Said:
    if job.kind == "probe":
        size = wording.size_of(presets, job.request.model, job.request.size)
        return Text("queue.measuring", size=size)
    return job.request.prompt


# ---- what its buttons do ---------------------------------------------------------------------


def act(engine: Engine, asked: object) -> Text | None:
    """Do what a button of the queue says; returns what went wrong, if anything did.

    Args:
        asked: ``{"do": NAME, "job": NUMBER}``, from the browser: nothing in it is trusted.
    """
    name, job = (asked.get("do"), asked.get("job")) if isinstance(asked, dict) else (None, None)
    whole: dict[str, Callable[[], object]] = {
        "cancel_waiting": engine.jobs.cancel_waiting,
        "clear_ended": engine.jobs.clear_ended,
    }
    try:
        if isinstance(name, str) and name in whole:
            whole[name]()
        elif not _known(job, engine):
            raise _gone()
        elif name == "edit":
            _editable(engine, asked)
        elif name in ("first", "up", "down", "last"):
            engine.jobs.move(job, name)
        elif name == "cancel":
            engine.cancel(job)
        elif name == "again":
            engine.again(job)
        else:
            return Text("queue.no_such_button")
    except HeadroomError as error:
        return error.text
    return None


def build_queue(engine: Engine) -> gr.HTML:
    """The list, yet to be rendered; it fires ``edit`` with ``{"job": NUMBER}``, which waits and
    shall come into the form."""

    def pressed(asked: object = None) -> str:
        wrong = act(engine, asked)
        return "" if wrong is None else say(wrong)

    script = (ASSETS / "page/queue.js").read_text(encoding="utf-8")
    return gr.HTML(
        QUEUE, elem_id="queue", js_on_load=script, server_functions=[pressed], render=False
    )


def build_editing(
    engine: Engine, controls: Controls, queue: gr.HTML, judged_parts: list[Any]
) -> None:
    """Edit a waiting job in the form that made it; afterwards the form holds what it held before.

    Args:
        judged_parts: what ``judged`` sets besides the radios: the verdict and its button.
    """
    with gr.Row(visible=False, elem_id="editing") as row:
        said = gr.HTML("", js_on_load=None)
        save = gr.Button("Save to the queue", variant="primary", elem_id="save-job", min_width=120)
        leave = gr.Button("Leave it as it was", elem_id="leave-job", min_width=120)
    job, before = gr.State(None), gr.State(None)
    everything = [job, before, row, said, *controls.as_list(), *judged_parts]

    def begin(
        event: gr.EventData,
        now: int | None,
        held: list[Any] | None,
        prompt: str,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        seed: Chosen,
        lock: bool,
    ) -> list[Any]:
        asked = _editable(engine, event._data)
        request = replace(asked.request, seed=asked.seed)
        kept = [prompt, model, size, frames, seed, lock] if now is None else held
        fields, verdict = brought_back(engine, request)
        return [asked.id, kept, gr.Row(visible=True), _said(asked.id), *fields, *verdict]

    def end(held: list[Any] | None) -> list[Any]:
        rest = _form(engine, held) if held else [gr.skip()] * (len(everything) - 4)
        return [None, None, gr.Row(visible=False), "", *rest]

    def keep(
        number: int | None,
        held: list[Any] | None,
        prompt: str,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        seed: Chosen,
        lock: bool,
    ) -> list[Any]:
        told = [gr.skip()] * len(everything)
        if number is None:  # Gradio drops what it kept for a tab that was away for long
            told[3] = f"<p role='alert'>{html.escape(say(Text('queue.forgotten')))}</p>"
            return told
        try:
            raw = request_values(prompt, model, size, frames, seed, lock)
            engine.edit(number, single(raw, engine.presets))
        except HeadroomError as error:
            told[3] = _said(number) + refusal_html(error)
            return told
        return end(held)

    inputs = [job, before, *controls.as_list()]
    queue.edit(begin, inputs, everything, **QUIET).success(
        None, None, None, js="() => document.querySelector('#prompt textarea')?.focus()", **QUIET
    )
    save.click(keep, inputs, everything, **QUIET)
    leave.click(end, before, everything, **QUIET)


def _editable(engine: Engine, asked: object) -> Job:
    """The job that ``asked`` (from the browser) names.

    Raises:
        TooLate: it can't be edited any more, or never could.
        RequestError: it is of a model that isn't known here.
    """
    number = asked.get("job") if isinstance(asked, dict) else None
    if not _known(number, engine):
        raise _gone()
    job = engine.jobs.get(number)
    if job.state is not State.QUEUED or job.kind != "clip":
        raise too_late(job.id)
    ClipRequest.check(job.request.to_json(), engine.presets)
    return job


def _gone() -> TooLate:
    return TooLate(Text("jobs.no_such_job"), Text("jobs.look"))


def _known(number: object, engine: Engine) -> TypeGuard[int]:
    """Whether ``number``, from the browser, is a job's."""
    if not isinstance(number, int) or isinstance(number, bool):
        return False
    return engine.jobs.has(number)


def _said(job: int) -> str:
    return f"<p>{html.escape(say(Text('queue.in_the_form', job=job)))}</p>"


def _form(engine: Engine, values: list[Any]) -> list[Any]:
    """What sets the form to values that it held, and the verdict beside it."""
    prompt, model, size, frames, seed, lock = values
    sizes, lengths, *rest = judged(engine, model, size, frames)
    radios = gr.Radio(sizes.choices, value=size), gr.Radio(lengths.choices, value=frames)
    return [prompt, model, *radios, seed, lock, *rest]
