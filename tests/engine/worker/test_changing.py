"""Another version of a clip: beside whatever model is loaded, and as any other job."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from engine.engine import Engine
from engine.jobs import Job, State
from engine.library import reader_process
from engine.library.library import Clip, LibraryError
from engine.library.mp4 import read_frames
from engine.library.receipt import asked_again
from engine.library.versions import OWN, Asked, has, original_at, original_of, versions
from engine.library.video import look_at
from engine.request import Size
from engine.worker.status import EngineState
from tests.conftest import Ask, finish, wait_until
from tests.support.videos import moving, write

pytestmark = pytest.mark.starts


def made(engine: Engine, job: Job) -> Clip:
    ended = finish(engine, job)
    assert ended.state is State.DONE, str(ended.note)
    clip = engine.library.of_job(job.id)
    assert clip is not None
    return clip


def smooth(engine: Engine, clip: Clip, rate: int) -> Job:
    found = original_of(engine.library, clip)
    return engine.submit(Asked(rate).request(found, engine.changers(), OWN))


def enlarge(engine: Engine, clip: Clip, **asked: object) -> Job:
    found = original_of(engine.library, clip)
    return engine.submit(Asked(**asked).request(found, engine.changers(), has(clip)))


def begun(engine: Engine, folder: Path, frames: int, rate: int) -> Job:
    """So many frames of noise on their way to ``rate`` a second, with some of it done."""
    noise = np.random.default_rng(0).integers(0, 255, (frames, 240, 320, 3), np.uint8)
    times = [Fraction(at, 15) for at in range(frames)]
    found = original_at(engine.sources, write(folder / "a.mp4", noise, times))
    engine.start()
    job = engine.submit(Asked(rate).request(found, engine.changers(), OWN))
    wait_until(lambda: (p := engine.progress(job)) and p.fraction > 0.02, "some frames")
    return job


def test_a_clip_is_made_smoother_beside_the_model_that_is_loaded(engine: Engine, ask: Ask) -> None:
    engine.start(warm="scripted")
    clip = made(engine, engine.submit(ask("a red ball", seed=5)))
    loaded = engine.status().worker_pid
    smoother = made(engine, smooth(engine, clip, 24))
    assert engine.status().worker_pid == loaded, "nothing was unloaded for it"
    assert engine.status().model == "scripted"
    assert not engine.guard.rows("smooth"), "what it takes beside a model says nothing of it alone"

    before, after = (engine.library.place(one) for one in (clip, smoother))
    assert look_at(after).end == pytest.approx(look_at(before).end, abs=1e-3)
    assert (len(read_frames(after)), smoother.frames, smoother.fps) == (15, 15, 24)
    receipt = smoother.receipt
    assert receipt["request"]["source"] == clip.identity.digest
    assert receipt["source"] == {
        "name": clip.file,
        "request": clip.receipt["request"],
        "seed": 5,
        "model": "scripted",
    }
    assert set(receipt["stages"]) == {"load", "smooth", "save"}
    assert reader_process.receipt_of(after, after.name) == receipt, "the file says the same"
    assert asked_again(receipt) == {**clip.receipt["request"], "seed": 5}, "how to make it again"

    twice = made(engine, smooth(engine, smoother, 60))
    assert twice.request.source == clip.identity.digest, "of the frames that weren't computed"
    assert [one.id for one in versions(engine.library, twice)] == [clip.id, smoother.id, twice.id]
    engine.library.trash(clip.id)
    assert [one.id for one in versions(engine.library, smoother)] == [smoother.id, twice.id]


def test_the_same_request_gives_the_same_frames(engine: Engine, ask: Ask) -> None:
    engine.start()
    clip = made(engine, engine.submit(ask()))
    two = [made(engine, smooth(engine, clip, 30)) for _ in range(2)]
    assert two[0].receipt["frames_sha256"] == two[1].receipt["frames_sha256"]


def test_other_programs_videos_keep_their_sound_and_their_length(
    engine: Engine, tmp_path: Path
) -> None:
    times = [Fraction(at * 41 + at % 2 * 9, 1000) for at in range(20)]
    file = write(tmp_path / "Holiday 1.mp4", moving(20), times, turned=90, sound="aac")
    seen = look_at(file)
    engine.start()
    found = original_at(engine.sources, file)
    file.unlink()
    clip = made(engine, engine.submit(Asked(60).request(found, engine.changers(), OWN)))
    after = look_at(engine.library.place(clip))
    assert (after.width, after.height) == (32, 48)
    assert after.end == pytest.approx(seen.end, abs=1e-3)
    assert after.times == tuple(Fraction(at, 60) for at in range(clip.request.frames))
    assert after.has_sound
    assert clip.request.prompt == "Holiday 1"
    assert clip.receipt["source"] == {"name": "Holiday 1"}
    assert engine.status().model == "smooth", "no model was loaded for it"


def test_a_loop_stays_a_loop(engine: Engine, tmp_path: Path) -> None:
    there = moving(7, 64, 96)
    loop = np.concatenate([there, there[-2:0:-1]])
    engine.start()
    ends = []
    for name, frames in (("round", loop), ("there", there)):
        times = [Fraction(at, 30) for at in range(len(frames))]
        found = original_at(engine.sources, write(tmp_path / f"{name}.mp4", frames, times))
        clip = made(engine, engine.submit(Asked(60).request(found, engine.changers(), OWN)))
        before, last = read_frames(engine.library.place(clip))[-2:].astype(int)
        ends.append(float(np.abs(last - before).mean()))
    moves, stays = ends
    assert moves > 4 * stays, "behind the last frame it goes on to the first"


def test_what_a_version_takes_is_measured_by_itself_and_told_for_other_sizes(
    engine: Engine, tmp_path: Path
) -> None:
    times = [Fraction(at, 12) for at in range(8)]
    engine.start()
    for height, width in ((96, 144), (192, 288)):
        frames = moving(8, height, width)
        found = original_at(engine.sources, write(tmp_path / f"{height}.mp4", frames, times))
        made(engine, engine.submit(Asked(24).request(found, engine.changers(), OWN)))
    rows = engine.guard.rows("smooth")
    assert [set(row.measurement.peaks) for row in rows] == [{"smooth"}, {"smooth"}]
    small, large, larger = (Size(96 * n, 144 * n, 16) for n in (1, 2, 3))
    verdicts = engine.guard.verdicts("smooth", [small, large, larger])
    peaks = [verdict.peak for verdict in verdicts.values()]
    assert all(verdict.open for verdict in verdicts.values())
    assert peaks[0] is not None
    assert peaks[1] is not None
    assert peaks[0] <= peaks[1]
    seconds = engine.guard.durations("smooth", [small, larger])
    assert all(known is not None and known.seconds > 0 for known in seconds.values())


def test_a_source_stays_while_a_job_may_need_it(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.library.sources.SPARE_SECONDS", 0.0)
    times = [Fraction(at, 10) for at in range(5)]
    found = original_at(engine.sources, write(tmp_path / "a.mp4", moving(5), times))
    job = engine.submit(Asked(24).request(found, engine.changers(), OWN))
    assert engine.sources.settle() == 0
    engine.cancel(job.id)
    assert engine.sources.settle() == 0, "it may be asked for again"
    again = engine.again(job.id)
    engine.cancel(again.id)
    engine.jobs.clear_ended()
    assert engine.sources.settle() == 1
    assert engine.sources.find(found.sha256) is None
    with pytest.raises(LibraryError, match="no longer here"):
        engine.submit(again.request)


def test_a_cancel_ends_it_and_nothing_stays_behind(engine: Engine, tmp_path: Path) -> None:
    job = begun(engine, tmp_path, 60, 60)
    engine.cancel(job.id)
    assert finish(engine, job).state is State.CANCELLED
    assert list(engine.home.clips.iterdir()) == []
    status = engine.status()
    assert status.state is EngineState.READY, "the worker answered by itself"


def test_a_worker_that_is_killed_costs_one_try(engine: Engine, tmp_path: Path) -> None:
    job = begun(engine, tmp_path, 30, 30)
    pid = engine.status().worker_pid
    assert pid is not None
    psutil.Process(pid).kill()
    clip = made(engine, job)
    assert engine.jobs.get(job.id).attempts == 2
    assert clip.frames == job.request.frames


def test_a_request_that_is_not_of_the_file_is_refused(engine: Engine, ask: Ask) -> None:
    engine.start()
    clip = made(engine, engine.submit(ask()))
    found = original_of(engine.library, clip)
    right = Asked(30).request(found, engine.changers(), OWN)
    for wrong in (
        replace(right, frames=right.frames + 1),
        replace(right, height=16),
        replace(right, fps=60),
    ):
        job = finish(engine, engine.submit(wrong))
        assert (job.state, str(job.note)) == (
            State.FAILED,
            "The file isn't the video that was asked for.",
        )


def test_a_clip_is_made_larger_and_keeps_its_frames_and_times(engine: Engine, ask: Ask) -> None:
    engine.start(warm="scripted")
    clip = made(engine, engine.submit(ask("a red ball", height=64, width=96, frames=9, seed=5)))
    larger = made(engine, enlarge(engine, clip, scale=2))
    place = engine.library.place(larger)
    before, after = look_at(engine.library.place(clip)), look_at(place)
    assert (after.height, after.width, after.times, after.end) == (
        128,
        192,
        before.times,
        before.end,
    )
    frames, source = read_frames(place), read_frames(engine.library.place(clip))
    again = np.stack([frame.reshape(64, 2, 96, 2, 3).mean((1, 3)) for frame in frames])
    assert np.abs(again - source).mean() < 6, "the same pictures"
    receipt = larger.receipt
    assert (receipt["model"], receipt["request"]["fps"]) == ("enlarge", 8)
    assert receipt["plan"]["larger"]["value"] == "lanczos"
    assert set(receipt["peaks"]) == {"enlarge"}
    assert list(receipt["stages"]) == ["load", "enlarge", "save"]
    assert asked_again(receipt)["height"] == 64, "its settings are those of the clip itself"


def test_versions_of_versions_keep_what_they_have(engine: Engine, ask: Ask) -> None:
    engine.start(warm="scripted")
    clip = made(engine, engine.submit(ask("a red ball", height=64, width=96, frames=9)))
    smoother = made(engine, smooth(engine, clip, 24))
    both = made(engine, enlarge(engine, smoother, scale=1.5))
    assert (both.request.fps, both.request.height, both.request.frames) == (24, 96, 27)
    assert both.request.source == clip.identity.digest, "made from the clip itself"
    again = made(engine, enlarge(engine, both, fps=48))
    assert (again.request.fps, again.request.height, again.request.frames) == (48, 96, 54)
    family = [one.id for one in versions(engine.library, clip)]
    assert family == [clip.id, smoother.id, both.id, again.id]


def test_another_programs_video_keeps_its_own_rate_sound_and_gaps(
    engine: Engine, tmp_path: Path
) -> None:
    engine.start()
    phone = [Fraction(at * 1001, 30000) for at in range(12)]
    gaps = [*phone[:5], *(at + Fraction(1, 4) for at in phone[5:])]
    for name, times in (("phone", phone), ("gaps", gaps)):
        file = write(tmp_path / f"{name}.mp4", moving(12), times, turned=90, sound="aac")
        found = original_at(engine.sources, file)
        request = Asked(scale=1.5).request(found, engine.changers(), OWN)
        clip = made(engine, engine.submit(request))
        before, after = look_at(file), look_at(engine.library.place(clip))
        assert abs(float(after.end - before.end)) < 0.001, "to the millisecond"
        assert after.has_sound
        assert after.height == request.height > before.height
        if name == "phone":
            assert len(after.times) == 12
            assert abs(float(after.times[-1] - before.times[-1])) < 0.001
        else:
            shown = read_frames(engine.library.place(clip))
            assert len(shown) == request.frames > 12, "the gap is a picture that is held"


def test_a_size_that_isnt_the_videos_shape_is_refused_by_the_worker(
    engine: Engine, ask: Ask
) -> None:
    engine.start(warm="scripted")
    clip = made(engine, engine.submit(ask("a red ball", height=64, width=96, frames=9)))
    right = Asked(scale=2).request(original_of(engine.library, clip), engine.changers(), OWN)
    job = finish(engine, engine.submit(replace(right, width=160)))
    assert job.state is State.FAILED
    assert "isn't the video" in str(job.note)
