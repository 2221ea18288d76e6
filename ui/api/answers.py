"""What programs can ask for, as plain JSON: Gradio's API and the MCP server both answer from here.

Nothing is decided in this file. Requests pass ClipRequest.check, verdicts come from the guard, jobs
go through the engine: what the page refuses is refused here, in the same sentences.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from engine.adapters.wanted import chosen
from engine.default_model import asked_for
from engine.engine import Engine
from engine.errors import ExitCode, HeadroomError
from engine.guard.verdicts import verdict_json
from engine.jobs import Job, State
from engine.library.library import Clip, Query
from engine.library.versions import Asked, has, original_of
from engine.process.patience import WakingClock
from engine.request import ClipRequest, Problem, RequestError, whole
from engine.text import NOTHING, Text, programs
from engine.worker.progress import Progress
from engine.worker.status import Status
from ui import wording
from ui.api.pictures import taken_in
from ui.api.shapes import (
    Checked,
    ClipTold,
    JobTold,
    LibraryTold,
    PauseTold,
    Queued,
    Running,
    StatusTold,
    Waiting,
)

TURN_SECONDS = 0.2  # a look at a job is two rows of SQLite, however long the queue
MOST_CLIPS = 200
MOST_WAITING = 32  # Gradio runs 40 queued events at a time: the rest is for asking and cancelling
PLACE = "/clips/{}.mp4"  # where the page's process serves a clip, by its number


class NoSuchJob(HeadroomError):
    """A number that no job has."""

    exit_code = ExitCode.BAD_INPUT


class Unfinished(HeadroomError):
    """The job that was waited for ended without a clip, or the program ends first."""


class TooMany(HeadroomError):
    """So many wait that others couldn't ask any more."""

    exit_code = ExitCode.BAD_INPUT


Told = Callable[[float, str], Awaitable[None]]


class Answers:
    """See the module's docstring. The methods that aren't ``async`` may touch the disk: call them
    in a thread. ``closed`` ends what waits, because the program does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.closed = False
        self._waiting = 0

    # ---- asking ----------------------------------------------------------------------------

    def submit(self, fields: Mapping[str, object], receipt: object = True) -> Job:
        """Queue a clip; fields that are None count as left out.

        Args:
            receipt: whether the MP4 holds it.

        Raises:
            RequestError: a field is refused.
            HeadroomError: as ``Engine.submit``.
        """
        embed = flag("receipt", receipt)
        return self.engine.submit(self._request(fields), embed)

    def enhance(self, clip: object, asked: Asked, receipt: object = True) -> Job:
        """Queue another version of a clip of the library.

        Raises:
            RequestError: a field is refused.
            LibraryError: there is no such clip.
            HeadroomError: as ``Engine.submit``.
        """
        embed, engine = flag("receipt", receipt), self.engine
        chosen = engine.library.found(whole(clip) or 0)
        original = original_of(engine.library, chosen)
        return engine.submit(asked.request(original, engine.changers(), has(chosen)), embed)

    def cancel(self, job: object) -> Queued:
        """Cancel what waits, ask what runs to stop; what has ended stays as it is.

        Raises:
            NoSuchJob: there is none of that number.
        """
        found = self.job(job)
        self.engine.cancel(found.id)
        return self.queued(self.engine.jobs.get(found.id))

    def pause(self, now: object = False) -> PauseTold:
        """Begin nothing any more; with ``now`` what runs goes back into the queue.

        Raises:
            RequestError: ``now`` is no flag.
        """
        self.engine.pause(flag("now", now))
        return pause_told(self.engine)

    def resume(self) -> PauseTold:
        self.engine.resume()
        return pause_told(self.engine)

    def check(self, fields: Mapping[str, object]) -> Checked:
        """The guard's verdict on a size, and the nearest open one where it isn't open."""
        given = {name: value for name, value in fields.items() if value is not None}
        given |= {"prompt": "check", "seed": 0}
        request = asked_for(self.engine, given, probe=True)
        guard, size = self.engine.guard, request.size
        verdict = guard.verdict(request.model, size)
        nearest = None if verdict.open else guard.nearest(request.model, size)
        return cast(Checked, verdict_json(size, verdict, nearest))

    def _request(self, fields: Mapping[str, object]) -> ClipRequest:
        given = {name: value for name, value in fields.items() if value is not None}
        for name in ("image", "last_image"):
            if name in given:
                given[name] = taken_in(self.engine, name, given[name])
        if "loras" in given:
            given["adapters"] = chosen(self.engine.adapters, _names(given.pop("loras")))
        return asked_for(self.engine, given)

    # ---- looking ---------------------------------------------------------------------------

    def job(self, number: object) -> Job:
        """Raises NoSuchJob for what is no job's number."""
        found = whole(number)
        if found is not None and self.engine.jobs.has(found):
            return self.engine.jobs.get(found)
        raise NoSuchJob(
            Text("api.no_such_job", number=str(number)[:40]), Text("api.generate_gives_it")
        )

    def queued(self, job: Job) -> Queued:
        place = self.engine.jobs.place(job.id)
        return Queued(job=job.id, state=job.state.value, place=place)

    def status(self, job: object = None, base: str = "") -> StatusTold:
        """What the engine does, what waits, and how it is with ``job``.

        Args:
            base: the page's address without a slash at its end, for the clip's URL.

        Raises:
            NoSuchJob: there is none of that number.
        """
        asked = None if job is None else self.job(job)
        status = self.engine.status()
        waiting = self.engine.jobs.waiting()
        running = [self._running(one) for one in self.engine.jobs.all_running()]
        return StatusTold(
            engine=status.state.value,
            paused=self.engine.is_paused(),
            model=status.model,
            running=next(iter(running), None),
            others=running[1:],
            waiting=[
                Waiting(job=one.id, place=place, prompt=one.request.prompt)
                for place, one in enumerate(waiting, 1)
            ],
            waiting_for=str(self._waits_for(status)) if waiting else "",
            job=None if asked is None else self._told(asked, base),
        )

    def _waits_for(self, status: Status) -> Text:
        return Text("worker.paused") if self.engine.is_paused() else status.waiting_for

    def _running(self, job: Job) -> Running:
        progress = self.engine.progress(job) or Progress(job.id)
        left = self.engine.time_left(job)
        return Running(
            job=job.id,
            lane=job.lane,
            stage=progress.stage,
            step=progress.step,
            steps=progress.steps,
            fraction=round(progress.total, 3),
            seconds_left=None if left is None else round(left.seconds, 1),
        )

    def _told(self, job: Job, base: str) -> JobTold:
        clip = self.engine.library.of_job(job.id)
        told = {
            **self.queued(job),
            "request": job.request.to_json(),
            "seed": job.seed,
            **programs("note", job.note),
            **programs("remedy", job.remedy),
            "clip": None if clip is None else clip.id,
            "url": None if clip is None else base + PLACE.format(clip.id),
        }
        return cast(JobTold, told)

    def library(self, search: object, limit: object, offset: object, base: str) -> LibraryTold:
        """Clips whose prompt has all words of ``search``, as the page finds them; newest first.

        Raises:
            RequestError: a field is refused.
        """
        text = "" if search is None else search
        # A lone surrogate is half a sign: no database takes it, and no prompt has one.
        if not isinstance(text, str) or any("\ud800" <= c <= "\udfff" for c in text):
            raise _wrong("search", text, Text("request.a_text"), "")
        most, skipped = whole(limit), whole(offset)
        if most is None or not 1 <= most <= MOST_CLIPS:
            raise _wrong("limit", limit, Text("request.a_limit", most=MOST_CLIPS), MOST_CLIPS)
        if skipped is None or not 0 <= skipped < 2**31:
            raise _wrong("offset", offset, Text("request.an_offset"), 0)
        seen = self.engine.library.page(Query(text), limit=most, skip=skipped)
        return LibraryTold(total=seen.count, clips=[_clip(clip, base) for clip in seen.clips])

    # ---- waiting ---------------------------------------------------------------------------

    @contextmanager
    def a_seat(self) -> Iterator[None]:
        """Held around a wait by those who have a place in Gradio's queue meanwhile.

        Raises:
            TooMany: all are taken.
        """
        if self._waiting >= MOST_WAITING:
            raise TooMany(
                Text("api.too_many_wait", count=MOST_WAITING), Text("api.ask_status_instead")
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def wait(self, job: Job, told: Told, seconds: float | None = None) -> Job:
        """Wait for the end of ``job`` without holding a thread; whoever stops waiting loses
        nothing, as the engine owns the job.

        Args:
            told: is given 0 to 1 and a sentence whenever these change.
            seconds: the longest wait; None waits for the end.

        Raises:
            Unfinished: the program is being closed.
        """
        clock, last = WakingClock(), (0.0, "")
        while not job.state.final and (seconds is None or clock() < seconds):
            if self.closed:
                raise Unfinished(Text("api.closing"), Text("api.job_goes_on", job=job.id))
            await asyncio.sleep(TURN_SECONDS)
            job, (fraction, sentence) = await asyncio.to_thread(self._look, job.id)
            now = max(last[0], fraction), sentence  # a second try begins anew, a bar never shrinks
            if now != last and not job.state.final:
                await told(*now)
                last = now
        return job

    def _look(self, number: int) -> tuple[Job, tuple[float, str]]:
        """The job as it is now, how far it is, and that in words."""
        job = self.engine.jobs.get(number)
        status = self.engine.status_of(job)
        if job.state is State.QUEUED:
            place = self.queued(job)["place"]
            told = self._waits_for(status) if place == 1 else NOTHING
            why = Text("api.waits_for", reason=told) if told else NOTHING
            return job, (0.0, str(Text("api.job_waits", job=number, place=place, why=why)))
        progress = status.progress
        if progress is None or progress.job != number:
            return job, (0.0, str(Text("api.job_starts", job=number)))
        return job, (round(progress.total, 3), str(wording.stage(progress)))

    def made(self, job: Job) -> Clip:
        """The clip of a job that has ended.

        Raises:
            Unfinished: it has none; the sentence and the remedy are the job's.
        """
        clip = self.engine.library.of_job(job.id)
        if clip is not None:
            return clip
        if job.state is State.CANCELLED:
            raise Unfinished(Text("api.job_cancelled", job=job.id), Text("api.generate_again"))
        raise Unfinished(job.note, job.remedy)


def pause_told(engine: Engine) -> PauseTold:
    running = engine.jobs.running()
    return PauseTold(
        paused=engine.is_paused(),
        running=None if running is None else running.id,
        waiting=engine.jobs.count_waiting(),
    )


def _clip(clip: Clip, base: str) -> ClipTold:
    receipt = clip.receipt
    return ClipTold(
        id=clip.id,
        created=clip.created,
        request=receipt["request"],
        seed=receipt["seed"],
        seconds=round(sum(receipt["stages"].values()), 2),
        url=base + PLACE.format(clip.id),
    )


def size_fields(model: object, height: object, width: object, frames: object) -> dict[str, object]:
    return {"model": model, "height": height, "width": width, "frames": frames}


def _names(value: object) -> list[str]:
    """Raises RequestError unless ``value`` is a list of texts."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise _wrong("loras", value, Text("request.some_names"), None)


def flag(name: str, value: object) -> bool:
    """Raises RequestError unless ``value`` is true or false."""
    if isinstance(value, bool):
        return value
    raise _wrong(name, value, Text("request.a_flag"), None)


def _wrong(name: str, value: object, what: Text, nearest: int | str | None) -> RequestError:
    told = Text("request.is_no", field=name, value=repr(str(value)[:40]), what=what)
    return RequestError((Problem(name, told, nearest),))
