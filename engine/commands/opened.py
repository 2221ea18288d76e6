"""The engine that a command works with, and how a job's failure becomes the command's."""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.home import Home
from engine.jobs import Jobs
from engine.joined.posted import posted
from engine.machine.facts import vram_limit
from engine.presets import load_presets
from engine.process.console import say
from engine.store_repair import open_store


class JobFailed(HeadroomError):
    """The clip couldn't be made, or the size not be measured."""


@contextmanager
def open_engine() -> Iterator[Engine]:
    """The engine on the user's folder, not started yet; closed at the end, its worker too."""
    vram_limit()  # a mistake in it is told before anything starts
    home = Home.find()
    store = open_store(home)
    if store.mended:
        say(store.mended)
    engine = Engine(home, load_presets(), Jobs(store))
    if machines := posted(engine):
        engine.set_away(machines, feeds=False)
    try:
        yield engine
    finally:
        engine.close()
        store.close()
