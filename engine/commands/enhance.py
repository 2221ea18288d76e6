"""``app.py enhance``: another version of a clip, or of any program's MP4."""

import argparse
import os
from pathlib import Path

from engine.commands.answer import naming
from engine.commands.clips import report
from engine.commands.follow import follow
from engine.commands.opened import JobFailed, open_engine
from engine.commands.out import copy, out_file
from engine.default_model import default_smoother
from engine.engine import Engine
from engine.errors import ExitCode
from engine.jobs import State
from engine.library.versions import Original, next_rate, original_at, original_of, smoothed
from engine.process.console import say
from engine.process.own_files import sha256_of


def enhance(options: argparse.Namespace) -> int:
    with open_engine() as engine:
        out = None if options.out is None else out_file(options.out, engine.home)
        found = _original(engine, options.what)
        usual = default_smoother(engine)
        say(str(usual.sentence))
        rate = next_rate(found.video) if options.fps is None else options.fps
        request = smoothed(found, usual.preset, rate)
        lane = options.lane or ""
        job = follow(engine, lambda: engine.submit(request, not options.no_receipt, lane))
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


def _original(engine: Engine, what: str) -> Original:
    """``what``: a clip's number or its name in the library, or any MP4's path.

    Raises:
        ClipError, LibraryError, ReaderError: as ``original_of`` and ``original_at``.
    """
    library, path = engine.library, Path(what)
    if not os.path.exists(path) and what.isdecimal() and len(what) < 20:
        return original_of(library, library.found(int(what)))
    if not os.path.exists(path) and path.name == what:
        path = engine.home.clips / what
    if os.path.isfile(path):  # a pipe's end never comes
        clip = library.with_digest(sha256_of(path))
        if clip is not None:
            return original_of(library, clip)
    return original_at(engine.sources, path)
