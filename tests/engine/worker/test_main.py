"""The worker's end of the pipe: what it says of itself, and when."""

import gc
import sys
import threading
import weakref
from collections.abc import Iterator
from multiprocessing import Pipe as make_pipe
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import Any

import pytest

from engine.pipelines.base import Broken, OutOfMemory, PipelineError
from engine.plan.choice import Plan
from engine.presets import ModelPreset, load_presets
from engine.text import Said, Text
from engine.worker import pipe as worker_pipe
from engine.worker.failing import failure
from engine.worker.main import _Loaded
from engine.worker.messages import Become, Finished, Heartbeat
from engine.worker.pipe import Pipe

# pytest also tells of a thread that ends by SystemExit.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Meter:
    """Holds more each time it is asked, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.holds = error, 0

    def held(self) -> int:
        if self.error:
            raise self.error
        self.holds += 1
        return self.holds


class Loading:
    """A pipeline that has no meter yet."""


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Pipe, Connection]]:
    """The worker's end without its own beat, and the supervisor's."""
    monkeypatch.setattr(worker_pipe, "HEARTBEAT_SECONDS", 3600)
    # An orphaned worker ends its process, which is the tests' own here: only the thread may end.
    monkeypatch.setattr(Pipe, "_orphaned", lambda _: sys.exit())
    theirs, mine = make_pipe()
    before = set(threading.enumerate())
    pipe = Pipe(mine)
    receiving = next(
        thread for thread in set(threading.enumerate()) - before if thread.name == "_receive"
    )
    assert theirs.recv() == Heartbeat(None)
    yield pipe, theirs
    theirs.close()
    receiving.join()


def test_an_answer_comes_after_what_is_held_then(ours: tuple[Pipe, Connection]) -> None:
    pipe, theirs = ours
    pipeline: Any = Loading()
    pipe.pipeline = pipeline
    pipe.beat()
    assert theirs.recv() == Heartbeat(None), "nothing is held before there is a meter"
    pipeline.meter = Meter()
    pipe.answer(Finished(1, {}))
    assert theirs.recv() == Heartbeat(1)
    assert theirs.recv() == Finished(1, {})


def test_a_meter_that_fails_doesnt_stop_the_beat(ours: tuple[Pipe, Connection]) -> None:
    """A silent worker would be killed as hung, and its successor too."""
    pipe, theirs = ours
    pipeline: Any = Loading()
    pipeline.meter = Meter(RuntimeError("NVML is gone"))
    pipe.pipeline = pipeline
    pipe.beat()
    assert theirs.recv() == Heartbeat(None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemory("Full.", "Close.", "VRAM"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (Broken("Gone.", "Wait."), "broken"),
        (PipelineError("Black.", "Choose."), "error"),
        (ValueError("x"), "error"),
    ],
)
def test_what_a_failure_means_for_the_process(error: Exception, kind: str) -> None:
    failed = failure(1, error, "denoise")
    assert failed.kind == kind
    assert failed.sentence
    assert failed.remedy


def test_a_full_ram_is_an_id_and_a_strange_error_keeps_its_own_words() -> None:
    full, strange = failure(1, MemoryError(), "denoise"), failure(1, ValueError("x"), "denoise")
    assert full.sentence == Text("worker.ram_ran_out")
    assert strange.sentence == Text("worker.pipeline_failed", error="ValueError", why="x")
    assert str(strange.sentence) == "The pipeline failed with ValueError: x."


class Buffers:
    itself: "Buffers"


class Leaving:
    """A pipeline whose load leaves a cycle behind, as one does that exchanges its parts."""

    def __init__(self) -> None:
        self.meter = SimpleNamespace(device="no GPU")
        self.left: weakref.ref[Any] | None = None

    def load(self, plan: Plan) -> Plan:
        self._leave()
        return plan

    def become(self, _preset: ModelPreset, plan: Plan) -> Plan:
        return self.load(plan)

    def _leave(self) -> None:
        buffers = Buffers()
        buffers.itself = buffers
        self.left = weakref.ref(buffers)

    def describe(self) -> dict[str, Said]:
        return {"label": "a model"}


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Python's own may come at any time, or not at all."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_what_a_load_leaves_in_a_cycle_is_free_before_the_first_clip() -> None:
    pipeline: Any = Leaving()
    preset = load_presets().models["wan-tiny"]
    _Loaded.load(pipeline, preset, {})
    assert pipeline.left() is None


@pytest.mark.usefixtures("no_collection")
def test_so_is_what_becoming_a_draft_leaves() -> None:
    pipeline: Any = Leaving()
    _Loaded.become(pipeline, Become(load_presets().models["wan-tiny"], {}))
    assert pipeline.left() is None
