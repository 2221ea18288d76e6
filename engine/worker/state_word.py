"""What a lane does, in the one word that commands and other machines get."""

from typing import Literal

from engine.worker.lane import Lane
from engine.worker.status import EngineState

StateWord = Literal["idle", "busy", "loading", "lost", "off"]


def state_word(lane: Lane, elsewhere: bool) -> StateWord:
    """``elsewhere``: another process works on the queue: then only what it makes is known here."""
    if lane.recorder.latest().state == "lost":
        return "lost"
    if lane.running() is not None:
        return "busy"
    if lane.status.state is EngineState.LOADING:
        return "loading"
    return "idle" if elsewhere or lane.status.worker_pid is not None else "off"
