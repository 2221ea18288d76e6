"""``check`` and ``measure``: what the guard says of a size, and finding it out."""

import argparse
from dataclasses import asdict

from engine.commands.follow import follow
from engine.commands.opened import JobFailed, open_engine
from engine.default_model import asked_for
from engine.engine import Engine
from engine.errors import ExitCode
from engine.guard.climb import PROBE_PROMPT
from engine.guard.verdicts import verdict_json
from engine.jobs import State
from engine.process.console import say, tell, tell_json
from engine.request import ClipRequest
from engine.units import gigabytes


def _sized(options: argparse.Namespace, engine: Engine, prompt: str) -> ClipRequest:
    """A request that is only about its size."""
    fields = {name: getattr(options, name) for name in ("model", "height", "width", "frames")}
    given = {name: value for name, value in fields.items() if value is not None}
    return asked_for(engine, {"prompt": prompt, "seed": 0, **given}, probe=True)


def check_size(options: argparse.Namespace) -> int:
    """The verdict on a size; ends well whatever it is."""
    with open_engine() as engine:
        request = _sized(options, engine, "check")
        guard = engine.guard_of(options.lane)
        verdict = guard.verdict(request.model, request.size)
        nearest = None if verdict.open else guard.nearest(request.model, request.size)
    if options.json:
        tell_json(verdict_json(request.size, verdict, nearest))
        return ExitCode.DONE
    tell(f"{request.size}: {verdict.word}. {verdict.reason} {verdict.remedy}")
    if nearest is not None:
        tell(f"The nearest size that is open: {nearest}")
    return ExitCode.DONE


def measure_size(options: argparse.Namespace) -> int:
    """A probe, and what it found."""
    with open_engine() as engine:
        request = _sized(options, engine, PROBE_PROMPT)
        job = follow(engine, lambda: engine.measure(request, options.lane or ""))
        if job.state is State.CANCELLED:
            say("Cancelled. What was measured so far is kept.")
            return ExitCode.INTERRUPTED
        rows = engine.guard.of_job(job.id)
        budget = engine.lane_of(job).guard.budget(request.model)
    if job.state is State.FAILED:
        raise JobFailed(job.note, job.remedy)
    climbed = [
        {
            **asdict(row.measurement.size),
            "outcome": row.measurement.outcome,
            "peaks": row.measurement.peaks,
        }
        for row in rows
    ]
    last = rows[-1].measurement if rows else None
    # A climb that stopped short of its target by itself had no budget left for the next step.
    done = last is not None and (last.size == request.size or last.outcome != "ok")
    outcome = last.outcome if last is not None and done else "over_budget"
    if options.json:
        peaks = last.peaks if last is not None and last.size == request.size else {}
        tell_json(
            {
                **asdict(request.size),
                "outcome": outcome,
                "peaks": peaks,
                "budget_bytes": budget,
                "climbed": climbed,
            }
        )
        return ExitCode.DONE
    for row in rows:
        size, peak = row.measurement.size, gigabytes(row.measurement.peak)
        tell(f"{size}: {row.measurement.outcome}, peak {peak}")
    tell(job.note)
    return ExitCode.DONE
