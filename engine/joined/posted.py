"""What other processes on this folder know of the machines that joined: the one that holds the
lines writes it down, every few seconds and when somebody comes or goes."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.engine import Engine
from engine.home import Home
from engine.joined.link import silent
from engine.joined.remote_lane import RemoteLane
from engine.process.kept import held, write
from engine.request import Size
from engine.text import from_row, to_row

FRESH_SECONDS = 15.0


def file_of(home: Home) -> Path:
    return home.joining / "now.json"


def post(home: Home, lanes: Sequence[RemoteLane]) -> None:
    """Write down what ``lanes`` last told. A file that can't be written is no fault."""
    write(file_of(home), {"at": time.time(), "lanes": [_told(lane) for lane in lanes]})


def _told(lane: RemoteLane) -> dict[str, Any]:
    return {
        "name": lane.name,
        "there": lane.there,
        "machine": lane.machine,
        "title": to_row(lane.seat.title),
        "device": lane.device,
        "total": lane.total,
        "free": lane.free,
        "state": lane.word_of_state,
        "models": lane.guard.models,
    }


def posted(engine: Engine) -> list[RemoteLane]:
    """The lanes of the machines that joined, as another process has written them down; none where
    it did so too long ago."""
    told = held(file_of(engine.home))
    try:
        if abs(time.time() - told["at"]) > FRESH_SECONDS:
            return []
        return [_lane(engine, one) for one in told["lanes"]]
    except (ValueError, KeyError, TypeError):
        return []


def _lane(engine: Engine, told: Mapping[str, Any]) -> RemoteLane:
    def ask(_model: str, _sizes: list[Size]) -> Mapping[str, Any]:
        raise silent(str(told["title"]))  # the lines are another process's

    title = from_row(told["title"])
    lane = RemoteLane(
        told["name"], told["there"], told["machine"], title, engine.presets, engine.jobs, ask
    )
    lane.report(told)
    lane.free, lane.word_of_state = int(told["free"]), str(told["state"])
    return lane
