"""Pictures in the form: the model and the size follow, and nothing that a browser sends harms."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library.library import add_clip
from engine.library.mp4 import write_clip
from engine.request import ClipRequest
from tests.support.clipfiles import receipt
from tests.support.library_site import OURS
from ui.tabs import generate, taking
from ui.tabs.dropped import brought
from ui.tabs.held import counterpart, fields_of, held_as, held_of
from ui.tabs.pictures import add_picture_routes
from ui.tabs.truth import Step

pytestmark = pytest.mark.starts


def data(size: tuple[int, int] = (96, 64), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture
def site(engine: Engine) -> TestClient:
    app = FastAPI()
    app.auth = app.auth_dependency = None  # type: ignore[attr-defined]
    add_picture_routes(app, engine)
    return TestClient(app)


def put(engine: Engine, sent: object, model: str = "scripted", held: str = "") -> list[Any]:
    return taking.put(engine, sent, model, "32×48", 5, "it moves", held, False, 1)


def test_the_model_and_the_size_follow_and_go_back(engine: Engine) -> None:
    sha = engine.intake.take_bytes(data((960, 480)), "a.png").sha256
    held, model, size, frames, truth, press, said = put(engine, {"pictures": {"image": sha}})
    assert json.loads(held) == {"image": sha}
    assert model.value == "scripted-i2v"
    height, _, width = size.value.partition("×")
    assert int(width) >= 1.5 * int(height)
    assert size.value in [value for _, value in size.choices]
    assert frames.value == 5
    assert "data-model='scripted-i2v'" in truth
    assert press.value == "Generate"
    assert "begins with a picture" in said
    raw = generate.Form("it moves", model.value, size.value, 5, "", held).raw()
    assert ClipRequest.check(raw, engine.presets).image == sha
    held, model, *_, said = put(engine, {"pictures": {"image": ""}}, "scripted-i2v", held)
    assert (held, model.value) == ("", "scripted")
    assert "words alone" in said


def test_a_last_picture_and_the_fit_are_held_beside(engine: Engine) -> None:
    one, two = (engine.intake.take_bytes(data((n, 64)), "a.png").sha256 for n in (64, 96))
    sent = {"pictures": {"image": one, "last_image": two}}
    held = put(engine, sent)[0]
    held = put(engine, {"fit": "pad"}, "scripted-i2v", held)[0]
    assert fields_of(held) == {"image": one, "last_image": two, "fit": "pad"}
    # Without its first picture the form says what is missing.
    held, _, _, _, truth, press, _ = put(engine, {"pictures": {"image": ""}}, "scripted-i2v", held)
    assert fields_of(held)["last_image"] == two
    assert f"data-step='{Step.PICTURE.value}'" in truth
    assert press.value == "Choose a picture"


def test_a_picture_that_begins_a_clip_of_its_own_ends_going_on(engine: Engine) -> None:
    """Also the one that is here already: a clip that goes on from another shows that one's last
    picture where they meet."""
    one = engine.intake.take_bytes(data(), "a.png").sha256
    two = engine.intake.take_bytes(data((64, 64)), "b.png").sha256
    goes_on = held_as({"image": one, "after": "0" * 64})
    for image in (one, two):
        held = put(engine, {"pictures": {"image": image}}, "scripted-i2v", goes_on)[0]
        assert fields_of(held) == {"image": image}
    for sent in ({"pictures": {"last_image": two}}, {"fit": "pad"}):
        assert "after" in fields_of(put(engine, sent, "scripted-i2v", goes_on)[0])


def test_what_no_page_of_ours_sends_changes_nothing(engine: Engine) -> None:
    odd: list[Any] = [None, [], {"pictures": 5}, {"pictures": {"image": "x", "seed": "1"}}]
    for sent in [*odd, {"fit": "x"}]:
        assert put(engine, sent)[0] == ""
    with pytest.raises(HeadroomError, match="isn't kept here any more"):
        put(engine, {"pictures": {"image": "0" * 64}})
    for held in ("[", "[]", "null", '{"seed": 1}', "[" * 50_000, '{"image": ""}'):
        assert fields_of(held) == {}
    assert fields_of(5) == {}
    assert held_as({"fit": "pad"}) == ""


def test_a_model_without_a_counterpart_stays_and_says_so(engine: Engine) -> None:
    presets = engine.presets
    fp8 = presets.models["scripted-fp8"]
    assert counterpart(presets, fp8, begins=True) is fp8
    assert counterpart(presets, presets.models["scripted-i2v"], begins=False).id == "scripted"
    sha = engine.intake.take_bytes(data(), "a.png").sha256
    said = put(engine, {"pictures": {"image": sha}}, "scripted-fp8")[-1]
    assert "words alone" in said


def test_without_its_picture_the_button_chooses_one(engine: Engine) -> None:
    truth = generate.judged(engine, "scripted-i2v", None, None)[2]
    assert f"data-step='{Step.PICTURE.value}'" in truth
    form = generate.Form("it moves", "scripted-i2v", "32×48", 5, "")
    generate.act(engine, Step.PICTURE.value, form, False, 1, True)
    assert engine.jobs.waiting() == []


def test_settings_come_back_with_their_pictures(engine: Engine, tmp_path: Path) -> None:
    sha = engine.intake.take_bytes(data(), "a.png").sha256
    request = ClipRequest("it moves", 32, 48, 5, 7, "scripted-i2v", image=sha)
    fields, _ = generate.brought_back(engine, request)
    assert fields[5] == held_of(request)
    told = brought(engine, {"request": request.to_json()})
    assert fields_of(told[5]) == {"image": sha}
    raw = generate.Form(*[getattr(f, "value", f) for f in told[:6]]).raw()
    assert ClipRequest.check(raw, engine.presets) == request


def test_a_picture_is_taken_in_and_shown(site: TestClient, engine: Engine) -> None:
    sent = data((96, 64), "JPEG")
    told = site.post("/picture?name=holiday.jpg", content=sent, headers=OURS).json()
    assert (told["width"], told["height"]) == (96, 64)
    kept = engine.intake.kept.find(told["sha256"])
    assert kept is not None
    assert kept.read_bytes() == sent
    shown = site.get(f"/picture/{told['sha256']}")
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(shown.content)) as image:
        assert image.size == (96, 64)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holiday.jpg is empty."),
        (b"hello", "holiday.jpg isn't a picture"),
        (bytes(50_000_001), "holiday.jpg is larger than 50 MB"),
        (data((1, 10_000)), "each side needs at least 32"),
    ],
)
def test_what_is_no_picture_is_a_sentence_and_leaves_nothing(
    site: TestClient, engine: Engine, content: bytes, words: str
) -> None:
    answer = site.post("/picture?name=C:\\tmp\\holiday.jpg", content=content, headers=OURS)
    assert answer.status_code == 200
    assert words in answer.json()["refused"]
    assert list(engine.home.pictures.iterdir()) == []
    assert [file for file in engine.home.cache.rglob("*") if file.is_file()] == []


def test_nobody_else_sends_or_sees_any(site: TestClient, engine: Engine) -> None:
    assert site.post("/picture", content=data()).status_code == 403, "another site's page"
    for name in ("0" * 64, "..%2f..%2fheadroom.sqlite3", "A" * 64, "a"):
        assert site.get(f"/picture/{name}").status_code in (404, 422)


def test_a_picture_of_a_clip_is_taken(site: TestClient, engine: Engine) -> None:
    frames = np.stack([np.full((32, 48, 3), 50 * n, np.uint8) for n in range(5)])
    file = engine.home.clips / "clip.mp4"
    write_clip(file, frames, 8, lambda: receipt())
    with engine.jobs.store.transaction() as db:
        add_clip(db, None, "2026-01-01T00:00:00.000+00:00", file.name, receipt())
    (clip,) = engine.library.newest()
    for at, wanted in ((0, 0), (0.26, 100), (9, 200)):
        told = site.post(f"/clip/{clip.id}/frame?at={at}", headers=OURS).json()
        with Image.open(engine.intake.plain(told["sha256"])) as image:
            assert np.abs(np.asarray(image).astype(int) - wanted).max() < 5
    assert "refused" in site.post("/clip/99/frame?at=0", headers=OURS).json()
    for odd in ("nan", "inf", "-5", "x"):
        assert site.post(f"/clip/{clip.id}/frame?at={odd}", headers=OURS).status_code == 422
