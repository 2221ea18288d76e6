"""The shapes of the answers to programs; their docstrings are what these read about them."""

from typing import Any, NotRequired, TypedDict


class Running(TypedDict):
    """What is being made now, and in which lane. ``seconds_left`` is null until it can be told."""

    job: int
    lane: str
    stage: str
    step: int
    steps: int
    fraction: float
    seconds_left: float | None


class Waiting(TypedDict):
    """A job that waits; place 1 is next."""

    job: int
    place: int
    prompt: str


class JobTold(TypedDict):
    """One job. ``state``: queued, running, done, failed or cancelled; ``clip``: its number in the
    library and ``url`` where it lies, null until it is done. ``note`` and ``remedy`` are English;
    their ids and values stand beside them, but for what is somebody else's words, or nothing."""

    job: int
    state: str
    place: int | None
    request: dict[str, Any]
    seed: int
    note: str
    note_id: NotRequired[str]
    note_values: NotRequired[dict[str, Any]]
    remedy: str
    remedy_id: NotRequired[str]
    remedy_values: NotRequired[dict[str, Any]]
    clip: int | None
    url: str | None


class StatusTold(TypedDict):
    """``paused``: nothing begins until ``resume``. ``running`` began first, ``others`` are made
    beside it on other cards. ``waiting_for``: why the next job can't start yet, or empty."""

    engine: str
    paused: bool
    model: str
    running: Running | None
    others: list[Running]
    waiting: list[Waiting]
    waiting_for: str
    job: JobTold | None


class Sides(TypedDict):
    height: int
    width: int
    frames: int


class Checked(TypedDict):
    """As ``app.py check --json`` prints it: texts in English, and the ids and values behind them,
    which a sentence that is somebody else's hasn't."""

    verdict: str
    reason: str
    reason_id: NotRequired[str]
    reason_values: NotRequired[dict[str, Any]]
    remedy: str
    remedy_id: NotRequired[str]
    remedy_values: NotRequired[dict[str, Any]]
    basis: str
    predicted_peak_bytes: int | None
    budget_bytes: int
    tokens: int
    nearest_open: Sides | None


class Queued(TypedDict):
    """A job that was accepted; ``place`` is null once it runs or has ended."""

    job: int
    state: str
    place: int | None


class PauseTold(TypedDict):
    """``running``: the job that isn't finished, or not back in the queue, yet; ``waiting``: how
    many wait."""

    paused: bool
    running: int | None
    waiting: int


class ClipTold(TypedDict):
    """A clip of the library; ``seconds`` is what it took to make."""

    id: int
    created: str
    request: dict[str, Any]
    seed: int
    seconds: float
    url: str


class LibraryTold(TypedDict):
    total: int
    clips: list[ClipTold]


class Made(Queued):
    """``generate`` that didn't wait has the first three; a finished clip has all, the lower ones as
    ``app.py generate --json`` prints them. ``clip`` is the file: gradio_client downloads it."""

    id: NotRequired[int]
    url: NotRequired[str]
    clip: NotRequired[Any]
    request: NotRequired[dict[str, Any]]
    seed: NotRequired[int]
    model: NotRequired[str]
    plan: NotRequired[dict[str, Any]]
    stages: NotRequired[dict[str, float]]
    peaks: NotRequired[dict[str, int]]
    device: NotRequired[str]
    versions: NotRequired[dict[str, str]]
