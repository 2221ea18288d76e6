"""``app.py enhance``: another version of a clip, or of any program's MP4."""

import argparse
import os
from pathlib import Path

from engine.commands.making import make
from engine.commands.opened import open_engine
from engine.commands.out import out_file
from engine.default_model import DefaultModel
from engine.engine import Engine
from engine.library.versions import Original, next_rate, original_at, original_of, smoothed
from engine.process.console import say
from engine.process.own_files import sha256_of
from engine.text import Text


def enhance(options: argparse.Namespace) -> int:
    with open_engine() as engine:
        out = None if options.out is None else out_file(options.out, engine.home)
        found = _original(engine, options.what)
        smoother = engine.presets.smoother
        say(str(DefaultModel(smoother, Text("default_model.smooths_anywhere")).sentence))
        rate = next_rate(found.video) if options.fps is None else options.fps
        return make(engine, smoothed(found, smoother, rate), out, options)


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
