"""Other versions of clips, as the page asks for them."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engine.engine import Engine
from engine.jobs import State, TooLate
from tests.conftest import finish
from tests.support.library_site import OURS, change, page, visiting
from tests.support.videos import moving, write
from ui.tabs import dropped
from ui.tabs.strip import edit_form

pytestmark = pytest.mark.starts


@pytest.fixture
def visitor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody at this computer, and a library of three clips that came by hand."""
    return visiting(engine, monkeypatch)


def send(visitor: TestClient, path: Path, **query: object) -> dict[str, object]:
    data = path.read_bytes()
    answer = visitor.post("/video", params=query, content=data, headers=OURS)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def test_a_clip_tells_how_large_it_can_be_and_why_not(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]
    assert clip["larger"][0] == {"height": 48, "width": 72}, "of 48 × 32, as its receipt says"
    told = change(visitor, f"/clip/{clip['id']}/enlarge", {"height": 32})
    engine.start()
    assert finish(engine, engine.jobs.get(told["job"])).state is State.DONE
    newest = page(visitor)["clips"][0]
    assert (newest["model"], newest["fps"], newest["height"]) == ("Enlarge", 8, 32)
    refused = change(visitor, f"/clip/{clip['id']}/enlarge", {"height": 17})["refused"]
    assert refused.startswith("height: '17' isn't a larger size for a clip of 16 × 16")
    for body in ({}, {"height": "tall"}, {"height": 32, "scale": 2}):
        answer = visitor.post(f"/clip/{clip['id']}/enlarge", json=body, headers=OURS)
        assert answer.status_code == 422, body


def test_a_dropped_video_is_made_larger(
    visitor: TestClient, engine: Engine, tmp_path: Path
) -> None:
    file = write(tmp_path / "Trip.mp4", moving(4), [Fraction(at, 10) for at in range(4)])
    told = send(visitor, file, name="Trip.mp4", side=1080)
    job = engine.jobs.get(int(str(told["job"])))
    assert min(job.request.height, job.request.width) == 1080
    assert (job.request.model, job.request.fps, job.request.frames) == ("enlarge", 10, 4)
    assert "refused" in send(visitor, file, name="Trip.mp4", side=20)
    assert visitor.post("/video", params={"side": 0}, content=b"", headers=OURS).status_code == 422


def test_a_clip_tells_what_it_can_be_given(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]
    assert (clip["fps"], clip["rates"], clip["is_version"]) == (8, [24, 30, 32, 48, 60], False)
    told = change(visitor, f"/clip/{clip['id']}/smooth", {"fps": 32})
    engine.start()
    assert finish(engine, engine.jobs.get(told["job"])).state is State.DONE
    newest = page(visitor)["clips"][0]
    assert (newest["fps"], newest["rates"], newest["is_version"]) == (32, [48, 60], True)
    assert newest["model"] == "Smooth"
    assert newest["size"] == "16 × 16, 0.4 s, 32 fps"
    assert newest["length"] == "0.4 s, 32 fps"
    for one in (clip, newest):
        told = visitor.get(f"/clip/{one['id']}/versions").json()
        assert re.fullmatch(r"[\d.]+ [kM]B on the disk", told["take"])
        found = told["clips"]
        assert [each["id"] for each in found] == [clip["id"], newest["id"]]
    alike = visitor.get(f"/clip/{clip['id']}/likeness/{newest['id']}").json()
    assert "different frame rates" in alike["words"]
    rows = visitor.get(f"/clip/{newest['id']}/receipt").json()["rows"]
    named = {name: value for name, value, _ in rows}
    assert named["Made from"] == engine.library.found(clip["id"]).file
    assert named["Size"] == "16 × 16, 0.4 s (12 frames)"
    # Its settings are those of the clip itself.
    again = change(visitor, f"/clip/{newest['id']}/again", {"fresh": False, "exact": False})
    assert again == {}
    (job,) = engine.jobs.waiting() or [engine.jobs.recent()[0]]
    assert (job.request.model, job.request.source) == ("scripted", None)


def test_what_cant_be_is_refused_in_words(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]["id"]
    for fps in (0, 8, 25, -1, 10**6):
        told = change(visitor, f"/clip/{clip}/smooth", {"fps": fps})
        assert "frames a second" in told["refused"]
    assert "no longer" in change(visitor, "/clip/999/smooth", {"fps": 32})["refused"]
    assert visitor.get("/clip/999/versions").json() == {
        "refused": "This clip is no longer in the library. Reload the page."
    }
    for body in ({}, {"fps": "fast"}, {"fps": 32, "more": 1}):
        assert visitor.post(f"/clip/{clip}/smooth", json=body, headers=OURS).status_code == 422
    assert visitor.post(f"/clip/{clip}/smooth", json={"fps": 32}).status_code == 403
    assert engine.jobs.waiting() == []


def test_another_programs_video_is_queued(
    visitor: TestClient, engine: Engine, tmp_path: Path
) -> None:
    times = [Fraction(at, 10) for at in range(6)]
    file = write(tmp_path / "a.mp4", moving(6), times)
    receipt = visitor.post(
        "/receipt", params={"name": "Trip.mp4"}, content=file.read_bytes(), headers=OURS
    )
    assert receipt.json()["video"] is True, "there is something that can be done with it"
    told = send(visitor, file, fps=60, name="../x/Trip <b>.mp4")
    job = engine.jobs.get(int(str(told["job"])))
    assert job.request.prompt == "Trip <b>"
    assert (job.request.fps, job.request.height, job.request.width) == (60, 32, 48)
    assert job.request.source
    assert engine.sources.find(job.request.source) is not None
    assert list(engine.home.cache.glob("dropped-*")) == []


def test_what_is_no_video_is_refused_in_words(
    visitor: TestClient, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "b.mp4"
    text.write_text("certainly no video")
    assert "isn't an MP4" in str(send(visitor, text, fps=60, name="b.mp4")["refused"])
    file = write(tmp_path / "a.mp4", moving(6), [Fraction(at, 10) for at in range(6)])
    assert "frames a second" in str(send(visitor, file, fps=25, name="a.mp4")["refused"])
    monkeypatch.setattr(dropped, "MOST_BYTES", 100)
    assert "is larger than" in str(send(visitor, file, fps=60, name="a.mp4")["refused"])
    assert engine.jobs.waiting() == []


def test_a_waiting_version_cant_be_edited(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]["id"]
    job = change(visitor, f"/clip/{clip}/smooth", {"fps": 32})["job"]
    with pytest.raises(TooLate):
        edit_form(engine, {"job": job})
