"""What becomes of a job's end: the clip in its folder, the measurement, the words on the job."""

from pathlib import Path

from engine import clips
from engine.guard import Guard
from engine.headroom import Outcome, gigabytes, margin
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.messages import Failed, Finished, Probed
from engine.request import Size


class Results:
    """Called by the supervisor's thread only. Every run, good or bad, leaves a measurement."""

    def __init__(self, home: Home, jobs: Jobs, guard: Guard) -> None:
        self._folder, self._jobs, self._guard = home.clips, jobs, guard

    # ---- half-made files -------------------------------------------------------------------

    def partial(self, job: int) -> tuple[Path, Path]:
        """Where the worker writes clip and poster until they are whole."""
        return self._folder / f".partial-{job}.mp4", self._folder / f".partial-{job}.jpg"

    def discard(self, job: int) -> None:
        for path in self.partial(job):
            path.unlink(missing_ok=True)

    def discard_all(self) -> None:
        for path in self._folder.glob(".partial-*"):
            path.unlink(missing_ok=True)

    # ---- clips -----------------------------------------------------------------------------

    def keep_clip(self, job: Job, message: Finished) -> None:
        """Rename the whole clip into place, then write its row and the job's end as one."""
        request, receipt = job.request, message.receipt
        # The measurement first: who sees the job's end may ask for a verdict at once.
        self._guard.record(
            job.id, "clip", request.model, request.size, "ok", receipt["peaks"], receipt["stages"]
        )
        file = clips.clip_name(job.id, request.prompt, job.seed)
        partial, poster = self.partial(job.id)
        try:
            poster.replace(self._folder / Path(file).with_suffix(".jpg").name)
            partial.replace(self._folder / file)
            self._jobs.finish(job.id, file, receipt)
        except OSError as error:
            self._jobs.end(
                job.id,
                State.FAILED,
                f"The finished clip could not be kept: {error.strerror or error}.",
                f"Make {self._folder} writable, then generate again.",
            )

    # ---- probes ----------------------------------------------------------------------------

    def next_step(self, job: Job, done: list[Size]) -> Size | None:
        """The next size of a climb; where there is none, the job ends with what was found."""
        size, why = self._guard.next_probe(job.request.model, job.request.size, done)
        if size is None:
            found = ""
            if rows := self._guard.of_job(job.id):
                last = rows[-1].measurement
                found = f"Measured {last.size}: peak {gigabytes(last.peak)}."
            self._jobs.end(job.id, State.DONE, f"{found} {why}".strip())
        return size

    def keep_probe(self, job: Job, size: Size, message: Probed) -> bool:
        """Record one step; returns whether the climb may go on."""
        model, peak = job.request.model, max(message.peaks.values())
        fits = peak + margin(peak) <= self._guard.budget(model)
        outcome: Outcome = "ok" if fits else "over_budget"
        self._guard.record(job.id, "probe", model, size, outcome, message.peaks, message.seconds)
        if not fits:
            self._jobs.end(
                job.id,
                State.DONE,
                f"{size} ran with a peak of {gigabytes(peak)}, which leaves less than the margin.",
            )
        return fits

    # ---- failures --------------------------------------------------------------------------

    def keep_failure(self, job: Job, size: Size, message: Failed) -> None:
        """A failed run is a measurement too; an out-of-memory in a probe is its result."""
        out = message.kind == "out_of_memory"
        outcome: Outcome = "out_of_memory" if out else "failed"
        self._guard.record(job.id, job.kind, job.request.model, size, outcome, {}, {})
        if job.kind == "probe" and out:
            self._jobs.end(
                job.id,
                State.DONE,
                f"Memory ran out at {size}, as a probe may: it and every larger size stay closed.",
            )
        else:
            self._jobs.end(job.id, State.FAILED, message.sentence, message.remedy)
