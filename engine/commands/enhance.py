"""``app.py enhance``: another version of a clip, or of any program's MP4."""

import argparse
import os
from pathlib import Path

from engine.commands.making import make
from engine.commands.opened import open_engine
from engine.commands.out import out_file
from engine.default_model import DefaultModel
from engine.engine import Engine
from engine.library.versions import OWN, Asked, Original, Wanted, has, original_at, original_of
from engine.process.console import say
from engine.process.own_files import sha256_of
from engine.text import Text


def enhance(options: argparse.Namespace) -> int:
    with open_engine() as engine:
        out = None if options.out is None else out_file(options.out, engine.home)
        found, before = _original(engine, options.what)
        asked = Asked(options.fps, options.height, options.scale)
        request = asked.request(found, engine.changers(), before)
        preset = engine.presets.models[request.model]
        on_gpu = preset.runs_on == "nvidia"
        why = Text("default_model.ready" if on_gpu else "default_model.smooths_anywhere")
        say(str(DefaultModel(preset, why).sentence))
        return make(engine, request, out, options)


def _original(engine: Engine, what: str) -> tuple[Original, Wanted]:
    """And what the clip that was named has beside it.

    Args:
        what: a clip's number or its name in the library, or any MP4's path.

    Raises:
        ClipError, LibraryError, ReaderError: as ``original_of`` and ``original_at``.
    """
    library, path = engine.library, Path(what)
    if not os.path.exists(path) and what.isdecimal() and len(what) < 20:
        clip = library.found(int(what))
        return original_of(library, clip), has(clip)
    if not os.path.exists(path) and path.name == what:
        path = engine.home.clips / what
    if os.path.isfile(path):  # a pipe's end never comes
        named = library.with_digest(sha256_of(path))
        if named is not None:
            return original_of(library, named), has(named)
    return original_at(engine.sources, path), OWN
