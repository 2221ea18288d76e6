"""A clip's way into the library, cut off at each point, and taken up again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.engine import Engine
from engine.jobs import Job, Jobs, State
from engine.library import mp4
from engine.library.files import Identity
from engine.library.library import clip_name
from engine.worker.messages import Finished
from engine.worker.outcomes import Outcomes
from tests.conftest import Ask, finish


class PowerCut(BaseException):
    """Nothing of ours catches it."""


@pytest.fixture
def results(engine: Engine) -> Outcomes:
    return engine.lane.supervisor._outcomes


@pytest.fixture
def made(engine: Engine, results: Outcomes, ask: Ask) -> tuple[Job, Finished]:
    """A running job whose worker has just said that its clip is whole."""
    engine.jobs.add(ask("a red ball"))
    job = engine.jobs.claim()
    assert job is not None
    receipt = {
        "request": job.request.to_json(),
        "seed": job.seed,
        "stages": {"decode": 1.0},
        "peaks": {"decode": 10},
    }
    frames = np.zeros((9, 32, 48, 3), np.uint8)
    partial, poster = results.keeping.partial(job.id)
    mp4.write_clip(partial, frames, 16, lambda: receipt)
    mp4.write_poster(poster, frames)
    return job, Finished(job.id, receipt)


def cut(where: str) -> Callable[..., None]:
    def fall(*_: object, **__: object) -> None:
        raise PowerCut(where)

    return fall


@pytest.mark.parametrize("where", ["Keeping._move_in", "Jobs.finish"])
def test_after_a_crash_a_whole_clip_is_kept(
    engine: Engine,
    results: Outcomes,
    made: tuple[Job, Finished],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    job, message = made
    with monkeypatch.context() as patch:
        patch.setattr(f"engine.worker.keeping.{where}", cut(where))
        with pytest.raises(PowerCut):
            results.keep_clip(job, message, {})
    engine.start()
    assert finish(engine, job).state is State.DONE
    clip = engine.library.of_job(job.id)
    assert clip is not None
    assert (clip.receipt, clip.job) == (message.receipt, job.id)
    assert [path.name for path in engine.home.clips.iterdir()] == [clip.file]
    assert engine.posters.of(clip), "what the worker drew is its still"


@pytest.mark.starts
def test_before_its_name_is_written_down_it_is_made_again(
    engine: Engine,
    results: Outcomes,
    made: tuple[Job, Finished],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job, message = made
    with monkeypatch.context() as patch:
        patch.setattr("engine.worker.keeping.Jobs.made", cut("made"))
        with pytest.raises(PowerCut):
            results.keep_clip(job, message, {})
    engine.start()
    done = finish(engine, job)
    assert (done.state, done.attempts) == (State.DONE, 2)
    assert "Headroom was closed" in str(done.note)
    assert len(list(engine.home.clips.glob("*.mp4"))) == 1


def test_nothing_is_written_over(
    engine: Engine, results: Outcomes, made: tuple[Job, Finished]
) -> None:
    job, message = made
    there = engine.home.clips / clip_name(job.id, job.request.prompt, job.seed)
    there.write_bytes(b"from a database that was lost")
    results.keep_clip(job, message, {})
    assert there.read_bytes() == b"from a database that was lost"
    clip = engine.library.of_job(job.id)
    assert clip is not None
    assert clip.file == f"{there.stem}-2.mp4"


@pytest.mark.starts
def test_a_finished_clip_overwrites_nothing(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody copies a file in under its name at the last moment."""
    made = Jobs.made
    came: list[Path] = []

    def meanwhile(self: Jobs, job: int, file: str, *rest: Any) -> None:
        made(self, job, file, *rest)
        if not came:
            came.append(engine.home.clips / file)
            came[0].write_bytes(b"another's")

    monkeypatch.setattr(Jobs, "made", meanwhile)
    engine.start(warm="scripted")
    job = finish(engine, engine.submit(ask("a ball")))
    clip = engine.library.of_job(job.id)
    assert clip is not None
    assert clip.file == f"{came[0].stem}-2.mp4"
    assert came[0].read_bytes() == b"another's"
    assert clip.identity == Identity.of(engine.library.place(clip))
