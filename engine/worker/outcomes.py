"""What becomes of a job's end: the clip in its folder, the measurement, the words on the job."""

import json
import logging
from dataclasses import asdict
from typing import Any

from engine.guard.budget import margin
from engine.guard.guard import Guard
from engine.home import Home
from engine.jobs import CANCELLED, Job, Jobs, State
from engine.known_machines import KnownMachines
from engine.logs import debugging
from engine.machine.recorder import FlightRecorder
from engine.measurements import Outcome
from engine.plan.choice import Plan
from engine.plan.fallback import Fallback, describe_fallback, next_fallback, ran_out
from engine.plan.make import plan_to_json
from engine.plan.plans import Plans
from engine.request import Size
from engine.stages import Stage
from engine.text import NOTHING, Memory, Said, Text, joined, programs
from engine.worker.keeping import Keeping
from engine.worker.messages import Failed, Finished, Probed
from engine.worker.process import WorkerProcess

log = logging.getLogger("headroom.outcomes")

STARVED_SECONDS, STARVED_SHARE = 10.0, 0.05  # so little of the RAM was free so shortly before
AROUND_SECONDS = 30.0  # of the flight recorder's samples are kept with an out-of-memory


class Outcomes:
    """Called by the supervisor's thread only. A run that was made or that ran out of memory leaves
    a measurement, for the plan that really ran; one that broke says nothing of memory."""

    def __init__(
        self, home: Home, jobs: Jobs, guard: Guard, plans: Plans, recorder: FlightRecorder
    ) -> None:
        self.keeping, self._machines = Keeping(home, jobs), KnownMachines(jobs.store)
        self._logs, self._jobs, self._guard = home.logs, jobs, guard
        self._plans, self._recorder = plans, recorder

    def recover(self) -> None:
        """Settle what an earlier process left behind: its running jobs and half-written files."""
        self._jobs.cancel_strays()  # a share ends with its program
        while job := self._jobs.running():
            if self.keeping.complete_move(job):
                continue
            if self._machines.has_lane(job.lane):  # which may have it ready
                self._jobs.put_back(job.id)
            else:
                self._jobs.interrupted(job.id, Text("worker.program_ended"))
        self.keeping.discard_all()

    # ---- clips -----------------------------------------------------------------------------

    def keep_clip(self, job: Job, message: Finished, plan: Plan | None) -> None:
        """Record the run, and give the clip its place. ``plan``: None where the run says nothing of
        the memory that it takes."""
        if self.keeping.complete_move(job):  # the database took the name before, nothing more
            return
        request, receipt = job.request, message.receipt
        # The measurement first: who sees the job's end may ask for a verdict at once.
        if plan is not None:
            self._guard.record(
                job.id,
                "clip",
                request.model,
                request.size,
                "ok",
                receipt["peaks"],
                receipt["stages"],
                plan,
            )
        self.keeping.keep(job, receipt)

    # ---- probes ----------------------------------------------------------------------------

    def next_step(self, job: Job, done: list[Size]) -> Size | None:
        """The next size of a climb; where there is none, the job ends with what was found."""
        size, why = self._guard.next_probe(job.request.model, job.request.size, done)
        if size is None:
            found = NOTHING
            if rows := self._guard.of_job(job.id):
                last = rows[-1].measurement
                found = Text(
                    "worker.measured",
                    size=self._guard.told(job.request.model, last.size),
                    peak=Memory(last.peak),
                )
            self._jobs.end(job.id, State.DONE, joined(found, why))
        return size

    def keep_probe(self, job: Job, size: Size, message: Probed, plan: Plan) -> bool:
        """Record one step; returns whether the climb may go on."""
        model, peak = job.request.model, max(message.peaks.values())
        fits = peak + margin(peak) <= self._guard.budget(model)
        outcome: Outcome = "ok" if fits else "over_budget"
        self._guard.record(
            job.id, "probe", model, size, outcome, message.peaks, message.seconds, plan
        )
        if not fits:
            note = Text("worker.over_margin", size=self._guard.told(model, size), peak=Memory(peak))
            self._jobs.end(job.id, State.DONE, note)
        return fits

    # ---- failures --------------------------------------------------------------------------

    def keep_failure(self, job: Job, size: Size, message: Failed, plan: Plan | None) -> Text | None:
        """A failed run is a measurement too; an out-of-memory in a probe is its result.

        Returns:
            What to tell beside the job; None where nothing of the user's was lost.
        """
        out = message.kind == "out_of_memory"
        outcome: Outcome = "out_of_memory" if out else "failed"
        if plan is not None:
            self._guard.record(job.id, job.kind, job.request.model, size, outcome, {}, {}, plan)
        if not out or plan is None:
            self._jobs.end(job.id, State.FAILED, message.sentence, message.remedy)
            return None
        if job.kind == "probe":
            self._jobs.end(
                job.id,
                State.DONE,
                Text("worker.probe_ran_out", size=self._guard.told(job.request.model, size)),
            )
            return None
        return self._recover(job, size, message, plan)

    def fall_back_while_loading(self, model: str, message: Failed, plan: Plan) -> Text | None:
        """Loading ran out of memory: settle a smaller way.

        Returns:
            What to tell of it; None where there is no smaller way.
        """
        fallback = self._fallback(model, message, plan, None)
        if fallback is None:
            return None
        self._plans.learn(model, *fallback)
        then = Text("worker.next", how=describe_fallback(fallback))
        return joined(what_ran_out(message, ""), then)

    def killed_for_memory(
        self, worker: WorkerProcess, stage: Stage | None, why: Text
    ) -> Text | None:
        """The worker was killed, and RAM was nearly spent just before: the system's out-of-memory
        killer, which leaves no other trace. Settle a smaller way.

        Returns:
            What to tell of it; None if it was something else, or nothing is left to try.
        """
        samples = self._recorder.window(STARVED_SECONDS)
        if not any(s.host.available < STARVED_SHARE * s.host.total for s in samples):
            return None
        job, model = worker.job, worker.preset.id
        if job is not None and (worker.plan_of(job) is None or worker.has_two_clips(stage)):
            return None  # it wasn't the model, or this job's size, that took the memory
        message = Failed(job.id if job else None, "out_of_memory", why, NOTHING, stage, "RAM")
        if job is not None:
            size = worker.probing or job.request.size
            self._guard.record(job.id, job.kind, model, size, "out_of_memory", {}, {}, worker.plan)
            self._keep_samples(job, size, message, worker.plan)
        return self.fall_back_while_loading(model, message, worker.plan)

    def was_out_of_memory(self, job: Job) -> bool:
        """Whether ``job`` waits for its second try, in a smaller way than the first."""
        rows = self._guard.of_job(job.id) if job.attempts else []
        return any(row.measurement.outcome == "out_of_memory" for row in rows)

    def _recover(self, job: Job, size: Size, message: Failed, plan: Plan) -> Text | None:
        """Try a clip once more in a smaller way, or fail it; a smaller size is never our choice."""
        model = job.request.model
        what = what_ran_out(message, self._guard.told(model, size))
        kept = self._keep_samples(job, size, message, plan)
        fallback = self._fallback(model, message, plan, size)
        if fallback is not None:
            self._plans.learn(model, *fallback)
            how = describe_fallback(fallback)
            note = joined(what, Text("worker.tried_with", how=how))
            if self._jobs.retry(job.id, joined(note, kept)):
                return note
        if self._jobs.get(job.id).cancel_requested:
            self._jobs.end(job.id, State.CANCELLED, CANCELLED)
            return None
        self._jobs.end(job.id, State.FAILED, what, self._remedy(job, size, message, fallback, kept))
        return what

    def _remedy(
        self, job: Job, size: Size, message: Failed, fallback: Fallback | None, kept: Text
    ) -> Text:
        told = [message.remedy]
        if fallback is not None:
            how = describe_fallback(fallback)
            told.append(
                Text("worker.from_now_on", how=how, size=self._guard.told(job.request.model, size))
            )
        nearest = self._guard.nearest(job.request.model, size)
        if nearest is not None:
            told.append(
                Text("guard.nearest_open", size=self._guard.told(job.request.model, nearest))
            )
        return joined(*told, kept)

    def _fallback(
        self, model: str, message: Failed, plan: Plan, where: Size | None
    ) -> Fallback | None:
        def allowed(name: str, value: str | int | float) -> bool:
            return self._plans.may_learn(model, name, value)

        size: Said = "" if where is None else self._guard.told(model, where)
        return next_fallback(plan, message.stage, message.memory, allowed, size)

    def _keep_samples(self, job: Job, size: Size, message: Failed, plan: Plan) -> Text:
        """The flight recorder's last samples in a file; returns the sentence that names it, or
        nothing where it couldn't be written."""
        samples = self._recorder.window(AROUND_SECONDS) or (self._recorder.latest(),)
        end = samples[-1].at
        told = {
            "job": job.id,
            "request": without_prompt(job.request.to_json()),
            "size": asdict(size),
            "stage": message.stage,
            "memory": message.memory,
            **programs("sentence", message.sentence),
            "plan": plan_to_json(plan),
            # Seconds before the last sample; bytes.
            "samples": [{**asdict(s), "at": round(s.at - end, 3)} for s in samples],
        }
        file = self._logs / f"out-of-memory-{job.id}.json"
        try:
            self._logs.mkdir(exist_ok=True)
            text = json.dumps(told, ensure_ascii=False, indent=1, default=str)  # a sample's problem
            file.write_text(text, encoding="utf-8")
        except OSError:
            log.exception("%s could not be written", file)
            return NOTHING
        return Text("worker.samples_kept", file=file.name, seconds=AROUND_SECONDS)


def what_ran_out(failed: Failed, where: Said) -> Text:
    """The pipeline's own sentence, and which memory it was, in which stage and at which size."""
    return joined(failed.sentence, ran_out(failed.memory, failed.stage, where))


def without_prompt(request: dict[str, Any]) -> dict[str, Any]:
    """For a file in the logs, which people pass on."""
    return request if debugging() else {k: v for k, v in request.items() if k != "prompt"}
