"""The catalogue's route: to members only, once, and what a broken catalogue says."""

import json
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from engine.text import TextsError
from ui.server.catalogue import catalogue
from ui.server.texts import add_texts_route, script, scripts


def asked(login: object = None) -> TestClient:
    app = FastAPI()
    app.auth, app.auth_dependency = login, None  # type: ignore[attr-defined]
    app.cookie_id, app.tokens = "1", {}  # type: ignore[attr-defined]
    add_texts_route(app)
    return TestClient(app)


def test_the_catalogue_comes_once() -> None:
    first = asked().get("/texts/zh.json")
    assert first.json()["static"]["Generate"] == "生成"
    assert first.json()["scripts"]["script.clips_found"] == "找到 {n} 个"
    tag = first.headers["ETag"]
    again = asked().get("/texts/zh.json", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_only_members_get_it_and_fields_are_refused() -> None:
    assert asked({"a": "b"}).get("/texts/zh.json").status_code == 401
    assert asked().get("/texts/zh.json?x=1").status_code == 422


def test_the_script_begins_with_its_english() -> None:
    first = script().splitlines()[0]
    told = json.loads(first.removeprefix("window.headroomEnglish = ").removesuffix(";"))
    assert told == scripts("en")
    assert told["script.clips_found"] == "{n} found"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"Go": 走\n"Go": 去\n', "'Go' stands twice"),
        ("[1, 2]", "is no list of texts"),
        ('"Go": [1]\n', "'Go' or its translation is no text"),
    ],
)
def test_a_broken_file_is_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("ui.server.catalogue.FOLDER", tmp_path)
    with pytest.raises(TextsError, match=said):
        catalogue.__wrapped__()


def test_a_text_in_two_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text('"Go": 走\n', encoding="utf-8")
    monkeypatch.setattr("ui.server.catalogue.FOLDER", tmp_path)
    with pytest.raises(TextsError, match="'Go' stands twice"):
        catalogue.__wrapped__()
