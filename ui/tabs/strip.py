"""The strip: what runs, what waits and when it starts, what failed, and the newest clips.

``Live`` sends ``QueueView.state``; strip.js draws it, and calls ``act`` for its buttons.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import gradio as gr

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Verdict
from engine.jobs import Job, State, TooLate, too_late
from engine.presets import Presets
from engine.prompts.batch import single
from engine.prompts.variants import as_typed
from engine.request import ClipRequest, RequestError, Size
from engine.text import NOTHING, Said, Text, joined
from engine.worker.by_lane import title_of
from engine.worker.dispatch import Turn
from engine.worker.status import Status
from ui import wording
from ui.tabs.choices import as_size, frame_choices, size_choices
from ui.tabs.generate import Form, not_open
from ui.tabs.held import held_of, sizes_following
from ui.theme import ASSETS
from ui.wording import say

SHOWN = 20  # of the waiting jobs; the others are counted
ENDED_SHOWN = 5
FRESH_SECONDS = 2.0  # verdicts and seconds of earlier clips are looked up this often at the most
STRIP = """
<section class="strip" aria-label="Queue and newest clips">
  <div class="strip-head"><strong data-queue="head"></strong>
    <button type="button" class="lib-button" data-do="cancel_waiting" hidden>Clear queue</button>
    <button type="button" class="lib-button" data-do="clear_ended" hidden>Clear failed</button>
    <button type="button" class="lib-button" data-do="all" hidden>All clips</button></div>
  <p class="message warn" role="status" data-queue="told" hidden></p>
  <div class="tiles">
    <ul data-queue="running" aria-label="Running" hidden></ul>
    <ol data-queue="waiting" aria-label="Waiting"></ol>
    <p class="small" data-queue="more" hidden></p>
    <ul data-queue="ended" aria-label="Failed or cancelled"></ul>
    <ul data-queue="made" aria-label="Newest clips"></ul>
    <p class="small" data-queue="empty" hidden>What runs, waits and is done shows up here.</p>
  </div>
</section>
"""


class QueueView:
    """What the page shows of the queue, looked up as seldom as it may."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at = 0.0
        self._verdicts: dict[tuple[str, Size], Verdict] = {}
        self._past: dict[tuple[str, Size], Mapping[str, float]] = {}
        self._turns: dict[int, Turn] = {}  # by job, with several lanes

    def state(self, status: Status) -> dict[str, Any]:
        """Places, when each starts, and the verdict that it would meet now; yet to be words."""
        jobs = self._engine.jobs
        waiting = jobs.waiting(SHOWN)
        count = len(waiting) if len(waiting) < SHOWN else jobs.count_waiting()
        ended = jobs.ended(ENDED_SHOWN, State.FAILED, State.CANCELLED)
        self._look_up(waiting)
        paused = self._engine.is_paused()
        if len(self._engine.makers) > 1:
            return self._told(
                [self._in_turn(place, job, paused) for place, job in enumerate(waiting, 1)],
                count,
                ended,
            )
        until = None if paused else self._left_of_running(status)
        rows = []
        for place, job in enumerate(waiting, 1):
            rows.append(self._row(place, job, until))
            own = self._seconds(job)
            until = None if until is None or own is None else until + own
        return self._told(rows, count, ended)

    def _told(self, rows: list[dict[str, Any]], count: int, ended: list[Job]) -> dict[str, Any]:
        return {
            "waiting": rows,
            "more": count - len(rows),
            "ended": [self._ended(job) for job in ended],
        }

    def _in_turn(self, place: int, job: Job, paused: bool) -> dict[str, Any]:
        """A row where there are several lanes: when it begins in its own, and that it waits for
        that one where no other may make it."""
        turn = self._turns.get(job.id)
        begins = turn.begins if turn is not None and not paused else None
        begins = None if begins is None else max(0.0, begins - self._age())
        row = self._row(place, job, begins)
        if turn is not None and turn.only and not row["why"]:
            titles = {lane.name: title_of(lane) for lane in self._engine.makers}
            lane = titles.get(turn.lane, turn.lane)  # it may have gone this moment
            row["why"] = Text("queue.waits_for_lane", lane=lane)
        return row

    def _age(self) -> float:
        return time.monotonic() - self._at

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
            "kind": job.kind if job.request.source is None else "version",
            "size": self._size(job),
            "starts": starts,
            "verdict": verdict.word.value if closed and verdict else "",
            "why": joined(verdict.reason, verdict.remedy) if closed and verdict else job.note,
        }

    def _size(self, job: Job) -> Text:
        if job.kind != "clip":
            return NOTHING
        shape = wording.shape_of(self._engine.presets, job.request)
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
        several = len(self._engine.makers) > 1
        have_turns = not several or {job.id for job in waiting} <= set(self._turns)
        if now - self._at < FRESH_SECONDS and wanted <= set(self._past) and have_turns:
            return
        if several:
            self._turns = {turn.job.id: turn for turn in self._engine.dispatch.turns(waiting)}
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
        running = self._engine.jobs.running()
        if running is None:
            return 0.0
        left = None if running.kind == "probe" else self._engine.time_left(running)
        return None if left is None or left.at_least else left.seconds


def title(job: Job, presets: Presets) -> Said:
    if job.kind == "probe":
        size = wording.shape_of(presets, job.request)
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


def build_strip(engine: Engine) -> gr.HTML:
    """The strip; it fires ``expand`` for all clips."""

    def pressed(asked: object = None) -> str:
        wrong = act(engine, asked)
        return "" if wrong is None else say(wrong)

    def editable(asked: object = None) -> dict[str, Any]:
        try:
            return edit_form(engine, asked)
        except HeadroomError as error:
            return {"refused": say(error.text)}

    def edited(asked: object = None) -> str:
        wrong = edit(engine, asked)
        return "" if wrong is None else say(wrong)

    parts = ("library/library_tools.js", "library/library_dialogs.js", "page/strip.js")
    return gr.HTML(
        STRIP,
        elem_id="strip",
        js_on_load="\n".join((ASSETS / part).read_text(encoding="utf-8") for part in parts),
        server_functions=[pressed, editable, edited],
    )


# ---- a waiting job, edited in place ------------------------------------------------------------


def edit_form(engine: Engine, asked: object) -> dict[str, Any]:
    """What the dialog is filled with: the job's fields, and what each list offers, as pairs of
    words and value.

    Raises:
        TooLate, RequestError: as ``_editable``.
    """
    job = _editable(engine, asked)
    request, presets = job.request, engine.presets
    size = f"{request.height}×{request.width}"
    follow = sizes_following(engine, presets.models[request.model], held_of(request))
    also = [f"{one.height}×{one.width}" for one in follow]
    sizes = size_choices(presets, request.model, size, *also)["choices"]
    lengths = frame_choices(presets, request.model, request.frames)["choices"]
    offered = [as_size(value, request.frames) for _, value in sizes]
    longer = [as_size(size, value) for _, value in lengths]
    verdicts = engine.guard.verdicts(request.model, [*offered, *longer])
    return {
        "place": engine.jobs.place(job.id) or 1,
        "prompt": as_typed(request.prompt),
        "seed": str(job.seed),
        "size": size,
        "frames": request.frames,
        "sizes": _told(sizes, [verdicts[one] for one in offered]),
        "lengths": _told(lengths, [verdicts[one] for one in longer]),
    }


def _told(choices: list[tuple[str, Any]], verdicts: list[Verdict]) -> list[tuple[str, Any]]:
    return [
        (words if verdict.open else not_open(words, verdict), value)
        for (words, value), verdict in zip(choices, verdicts, strict=True)
    ]


def edit(engine: Engine, asked: object) -> Text | None:
    """Save what the dialog holds; returns what went wrong, if anything did.

    Args:
        asked: ``{"job", "prompt", "size", "frames", "seed"}``, from the browser.
    """
    try:
        job = _editable(engine, asked)
        given = asked if isinstance(asked, dict) else {}
        prompt, size, frames, seed = (given.get(n) for n in ("prompt", "size", "frames", "seed"))
        form = Form(prompt, job.request.model, size, frames, seed, held_of(job.request))
        engine.edit(job.id, single(form.raw(), engine.presets))
    except RequestError as error:
        return joined(*(problem.sentence for problem in error.problems))
    except HeadroomError as error:
        return error.text
    return None


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
    if job.state is not State.QUEUED or job.kind != "clip" or job.request.source is not None:
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
