"""What Ray starts on a machine that joined: its station, in a process that Ray looks after."""

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from engine import logs
from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.joined.station import Station
from engine.presets import load_presets
from engine.process.variables import settle
from engine.store_repair import open_store

log = logging.getLogger("headroom.station")


class StationActor:
    """Owns the machine's engine for as long as it lives.

    Args:
        variables: the environment of the process that joined: Ray hides GPUs from what asks for
            none.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        os.environ.clear()
        os.environ.update(variables)
        settle(os.environ)
        # A worker would run Ray's own starter again: multiprocessing starts what is __main__.
        main = sys.modules["__main__"]
        if hasattr(main, "__file__"):
            del main.__file__
        main.__spec__ = None
        home = Home.find()
        logs.to_file(home.logs / "station.log")
        self._store = open_store(home)
        self._engine = Engine(home, load_presets(), Jobs(self._store))
        self._station = Station(self._engine)
        self._station.start()
        log.info("%d lanes work for another machine", len(self._engine.lanes))

    def answer(self, method: str, *values: Any) -> dict[str, Any]:
        return self._station.answer(method, *values)

    def state(self) -> dict[str, Any]:
        """For whoever let the machine join: seconds since the head last called, what it makes, and
        why it was sent away, if it was."""
        return self._station.state()

    def end(self) -> None:
        """What isn't finished is cancelled, and the worker ends."""
        self._station.close()
        self._engine.close()
        self._store.close()
