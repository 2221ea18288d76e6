"""A clip's way on the terminal, from its request to the answer."""

import argparse
from pathlib import Path

from engine.commands.answer import naming
from engine.commands.clips import report
from engine.commands.follow import follow
from engine.commands.opened import JobFailed
from engine.commands.out import copy
from engine.engine import Engine
from engine.errors import ExitCode
from engine.jobs import State
from engine.process.console import say
from engine.request import ClipRequest


def make(
    engine: Engine, request: ClipRequest, out: Path | None, options: argparse.Namespace
) -> ExitCode:
    """Make the clip of ``request``, copy it to ``out`` and print its receipt.

    Args:
        options: ``no_receipt``, ``lane`` and ``json``.

    Raises:
        JobFailed: it wasn't made.
        NotCopied: it was, but can't be copied.
        HeadroomError: as ``Engine.submit``.
    """
    embed, lane = not options.no_receipt, options.lane or ""
    job = follow(engine, lambda: engine.submit(request, embed=embed, lane=lane))
    if job.state is State.CANCELLED:
        say("Cancelled.")
        return ExitCode.INTERRUPTED
    clip = engine.library.of_job(job.id)
    if clip is None:
        raise JobFailed(job.note, job.remedy)
    path = engine.home.clips / clip.file
    if out is not None:
        path = copy(path, out)
    with naming(path):
        report(clip, path, options.json)
    return ExitCode.DONE
