"""Jobs without a database, for whoever only reads them."""

from engine.jobs import Job, State
from engine.request import ClipRequest
from engine.text import NOTHING


def job(number: int, height: int = 32) -> Job:
    """A waiting clip whose prompt is its number."""
    request = ClipRequest(
        prompt=str(number), height=height, width=48, frames=5, seed=1, model="scripted"
    )
    return Job(number, "", None, None, State.QUEUED, request, 1, 0, False, NOTHING, NOTHING, "clip")
