"""Clips that begin, or begin and end, with a picture: from the request to the library."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.default_model import asked_for, default_model
from engine.engine import Engine
from engine.jobs import Jobs, State
from engine.library import mp4
from engine.library.library import LibraryError
from engine.pictures.plain import PictureError
from engine.request import Adapter, ClipRequest, RequestError
from tests.conftest import finish
from ui.tabs.pictures import frame_of

PICTURE = "a" * 64
LAST = "b" * 64


def picture(
    folder: Path, size: tuple[int, int] = (96, 64), colour: tuple[int, ...] = (9, 90, 200)
) -> Path:
    path = folder / f"{size[0]}-{colour[0]}.png"
    Image.new("RGB", size, colour).save(path)
    return path


def problems(engine: Engine, **fields: object) -> dict[str, str]:
    with pytest.raises(RequestError) as caught:
        ClipRequest.check({"prompt": "it moves", **fields}, engine.presets)
    return {problem.field: str(problem.sentence) for problem in caught.value.problems}


def test_a_request_keeps_its_pictures_and_one_without_says_nothing_of_any(engine: Engine) -> None:
    raw = {"prompt": "it moves", "model": "scripted-i2v", "image": PICTURE, "last_image": LAST}
    request = ClipRequest.check(raw | {"fit": "pad"}, engine.presets)
    told = json.loads(json.dumps(request.to_json()))
    assert (told["image"], told["last_image"], told["fit"]) == (PICTURE, LAST, "pad")
    assert ClipRequest.from_json(told) == request
    assert request.pictures == (PICTURE, LAST)
    plain = ClipRequest.check({"prompt": "a ball", "fit": "pad"}, engine.presets)
    assert set(plain.to_json()) == {"prompt", "height", "width", "frames", "seed", "model"}
    assert plain.fit == "crop", "without a picture there is nothing to fit"
    adapted = ClipRequest("x", 32, 48, 5, 1, "m", adapters=(Adapter(PICTURE, 0.5),))
    assert ClipRequest.from_json(json.loads(json.dumps(adapted.to_json()))) == adapted


def test_what_is_wrong_with_pictures_is_said(engine: Engine) -> None:
    i2v = {"model": "scripted-i2v"}
    assert "begins with a picture" in problems(engine, **i2v)["image"]
    assert "also begins with one" in problems(engine, **i2v, last_image=LAST)["last_image"]
    for value in ("x", "A" * 64, 5, ["a"], "../" + PICTURE):
        assert "SHA-256" in problems(engine, **i2v, image=value)["image"]
    assert "isn't one of" in problems(engine, **i2v, image=PICTURE, fit="stretch")["fit"]
    other = problems(engine, model="scripted", image=PICTURE)
    assert "scripted-i2v begins with a picture" in other["model"]
    adapted = problems(engine, model="scripted", adapters=[{"sha256": LAST}])
    assert "takes no LoRAs" in adapted["adapters"]
    # What is only about its size needs none.
    assert ClipRequest.check({"prompt": "x", **i2v}, engine.presets, probe=True).image is None


@pytest.mark.starts
def test_the_model_and_the_size_follow_the_picture(engine: Engine, tmp_path: Path) -> None:
    wide = engine.intake.take(picture(tmp_path, (960, 480))).sha256
    request = asked_for(engine, {"prompt": "it moves", "image": wide})
    assert request.model == default_model(engine, "i2v").preset.id == "wan-tiny-i2v"
    assert request.width > 1.5 * request.height
    given = asked_for(engine, {"prompt": "it moves", "image": wide, "height": 64})
    assert (given.height, given.width) == (64, 128), "what is said counts"
    assert asked_for(engine, {"prompt": "a ball"}).model == "wan-tiny"
    with pytest.raises(PictureError):
        asked_for(engine, {"prompt": "it moves", "image": PICTURE})


def test_a_picture_that_is_gone_is_told_before_anything_is_queued(engine: Engine) -> None:
    request = ClipRequest("it moves", 32, 48, 5, 1, "scripted-i2v", image=PICTURE)
    with pytest.raises(PictureError, match="isn't kept here any more"):
        engine.submit(request)
    assert engine.jobs.waiting() == []


@pytest.mark.starts
def test_a_picture_becomes_a_clip_that_begins_and_ends_with_it(
    started: Engine, tmp_path: Path
) -> None:
    first = started.intake.take(picture(tmp_path)).sha256
    last = started.intake.take(picture(tmp_path, (64, 96), (220, 30, 30))).sha256
    raw = {"prompt": "it moves", "model": "scripted-i2v", "image": first, "last_image": last}
    request = ClipRequest.check(raw, started.presets)
    job = finish(started, started.submit(request))
    assert job.state is State.DONE, job.note
    clip = started.library.of_job(job.id)
    assert clip is not None
    assert clip.request.pictures == (first, last)
    assert set(clip.receipt["stages"]) >= {"encode", "picture", "denoise"}
    assert clip.receipt["peaks"]["picture"] > 0
    assert "pictures" not in clip.receipt
    path = started.library.place(clip)
    frames = mp4.read_frames(path)
    assert np.abs(frames[0].astype(int) - (9, 90, 200)).mean() < 6
    assert np.abs(frames[-1].astype(int) - (220, 30, 30)).mean() < 6
    assert set(mp4.read_receipt(path)["pictures"]) == {"image", "last_image"}
    # Deleted and taken back: the picture lies where the clip does.
    started.library.trash(clip.id)
    assert started.intake.kept.find(first) is not None
    assert not (started.home.pictures / f"{first}.png").exists()
    started.library.restore(clip.id)
    assert (started.home.pictures / f"{first}.png").exists()


@pytest.mark.starts
def test_a_picture_lost_while_it_waits_fails_with_a_sentence(
    started: Engine, tmp_path: Path
) -> None:
    first = started.intake.take(picture(tmp_path)).sha256
    request = ClipRequest("it moves", 32, 48, 5, 1, "scripted-i2v", image=first)
    started.pause()
    job = started.submit(request)
    kept = started.intake.kept.find(first)
    assert kept is not None
    kept.unlink()
    started.intake.plain(first).unlink(missing_ok=True)
    started.resume()
    done = finish(started, job)
    assert done.state is State.FAILED
    assert "isn't kept here any more" in str(done.note)
    assert "Choose the picture again" in str(done.remedy)


@pytest.mark.starts
def test_without_a_receipt_the_file_has_no_picture(started: Engine, tmp_path: Path) -> None:
    first = started.intake.take(picture(tmp_path)).sha256
    request = ClipRequest("it moves", 32, 48, 5, 1, "scripted-i2v", image=first)
    job = finish(started, started.submit(request, embed=False))
    clip = started.library.of_job(job.id)
    assert clip is not None
    data = started.library.place(clip).read_bytes()
    assert b"pictures" not in data
    assert first.encode() not in data
    assert clip.request.image == first, "our own row knows it"


@pytest.mark.starts
def test_a_size_is_measured_without_a_picture(started: Engine) -> None:
    raw = {"prompt": "probe", "model": "scripted-i2v", "height": 64, "width": 64, "frames": 9}
    job = finish(started, started.measure(ClipRequest.check(raw, started.presets, probe=True)))
    assert job.state is State.DONE, job.note
    rows = started.guard.of_job(job.id)
    assert rows[-1].measurement.peaks["picture"] > 0


@pytest.mark.starts
def test_a_picture_stays_as_long_as_something_names_it(engine: Engine, tmp_path: Path) -> None:
    first = engine.intake.take(picture(tmp_path)).sha256
    file = engine.intake.kept.find(first)
    assert file is not None
    os.utime(file, (0, 0))
    jobs: Jobs = engine.jobs
    job = jobs.add(ClipRequest("it moves", 32, 48, 5, 1, "scripted-i2v", image=first))
    engine.library.settle_pictures()
    assert file.exists(), "a job waits for it"
    jobs.cancel(job.id)
    engine.library.settle_pictures()
    assert file.exists(), "it may be queued again"
    with engine.jobs.store.transaction() as db:
        db.execute("update jobs set cleared = 1")
    engine.library.settle_pictures()
    assert not file.exists()


@pytest.mark.starts
def test_a_clip_goes_on_from_another_and_both_become_one_file(started: Engine) -> None:
    first = finish(started, started.submit(ClipRequest("one", 32, 48, 9, 1, "scripted")))
    one = started.library.of_job(first.id)
    assert one is not None
    assert one.identity.digest is not None
    image = frame_of(started, one.id, 99).sha256
    raw = {"prompt": "two", "model": "scripted-i2v", "image": image, "after": one.identity.digest}
    request = ClipRequest.check(raw | {"frames": 5}, started.presets)
    second = finish(started, started.submit(request))
    assert second.state is State.DONE, second.note
    both = started.library.of_job(second.id)
    assert both is not None
    frames = mp4.read_frames(started.library.place(both))
    assert len(frames) == both.frames == 9 + 5 - 1
    assert (frames[:9] == mp4.read_frames(started.library.place(one))).all()
    told = [part["request"]["prompt"] for part in both.receipt["parts"]]
    assert told == ["one", "two"]
    assert mp4.read_receipt(started.library.place(both))["parts"] == both.receipt["parts"]
    # Of another size nothing can be joined, and what is gone is told.
    with pytest.raises(LibraryError, match="goes on from is 48 × 32"):
        started.submit(replace(request, height=64))
    with pytest.raises(LibraryError, match="no longer in the library"):
        started.submit(replace(request, after="0" * 64))
    started.pause()
    waiting = started.submit(request)
    started.library.place(one).unlink()
    started.resume()
    failed = finish(started, waiting)
    assert failed.state is State.FAILED
    assert "no longer in the library" in str(failed.note)
