"""What the library's routes answer, to whom, and that only numbers name a file."""

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from engine.commands.main import main
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library import file_manager
from engine.library.library import LibraryError
from engine.request import ClipRequest
from tests.conftest import wait_until
from tests.support.clipfiles import receipt, write
from tests.support.library_site import HOSTILE, OURS, change, page, site, visiting
from ui.tabs import dropped
from ui.tabs.batch import EMBED
from ui.tabs.dropped import add_receipt_route, brought
from ui.tabs.library_routes import add_clip_routes
from ui.wording import speak

pytestmark = pytest.mark.starts


@pytest.fixture
def visitor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody at this computer, and a library of three clips that came by hand."""
    return visiting(engine, monkeypatch)


def test_pages_are_plain_text_newest_first(visitor: TestClient) -> None:
    first = page(visitor, limit=2)
    assert [clip["prompt"] for clip in first["clips"]] == [HOSTILE, "a blue cube"]
    assert (first["count"], first["models"]) == (3, [["scripted", "Scripted"]])
    assert first["sizes"] == [["32×48", "48 × 32"]]
    second = page(visitor, limit=2, after=first["next"])
    assert [clip["prompt"] for clip in second["clips"]] == ["a red ball"]
    assert (second["next"], "models" in second) == ("", False)
    clip = second["clips"][0]
    assert (clip["size"], clip["length"], clip["seed"]) == ("48 × 32, 0.6 s", "0.6 s", 0)


def test_every_address_answers_head_as_it_answers_get(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]["id"]
    for path in (
        f"/clip/{clip}",
        f"/thumb/{clip}",
        "/library",
        f"/clip/{clip}/receipt",
        "/clip/99",
    ):
        got, head = visitor.get(path), visitor.head(path)
        assert head.status_code == got.status_code
        for name in ("content-type", "content-length", "cache-control", "content-disposition"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)
    assert visitor.head(f"/clip/{clip}/trash").status_code == 405


def test_questions_that_make_no_sense_harm_nothing(visitor: TestClient) -> None:
    for query in (
        {"after": "nonsense"},
        {"after": "'|1"},
        {"after": "|5"},
        {"size": "×"},
        {"limit": -3},
        {"size": "²×²"},
        {"size": "1" * 500 + "×5"},
        {"words": "%' or 1=1 --" * 100},
        {"model": HOSTILE},
        {"limit": 10**9},
    ):
        assert visitor.get("/library", params=query).status_code == 200, query


def test_clips_are_served_in_parts_and_whole(visitor: TestClient, engine: Engine) -> None:
    number = page(visitor)["clips"][0]["id"]
    whole = visitor.get(f"/clip/{number}")
    assert whole.content == (engine.home.clips / "2.mp4").read_bytes()
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"] == 'inline; filename="2.mp4"'
    assert "immutable" in whole.headers["cache-control"]
    assert "private" in whole.headers["cache-control"]
    part = visitor.get(f"/clip/{number}", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    kept = visitor.get(f"/clip/{number}", params={"download": 1})
    assert kept.headers["content-disposition"] == 'attachment; filename="2.mp4"'


def test_a_still_is_a_drawing_until_it_is_made(visitor: TestClient, engine: Engine) -> None:
    number = page(visitor)["clips"][0]["id"]
    drawing = visitor.get(f"/thumb/{number}")
    assert drawing.headers["content-type"].startswith("image/svg+xml")
    assert drawing.headers["cache-control"] == "no-store"
    wait_until(lambda: list(engine.home.stills.glob("[!.]*.jpg")), "the still")
    still = visitor.get(f"/thumb/{number}")
    assert still.headers["content-type"] == "image/jpeg"
    assert still.content[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    "path",
    [
        "/clip/../headroom.sqlite3",
        "/clip/%2e%2e%2fheadroom.sqlite3",
        "/clip/0.mp4",
        "/clip/-1",
        "/clip/0",
        "/clip/99999999999999999999999",
        "/clip/1e3",
        "/clip//etc/passwd",
        "/clip/999",
        "/thumb/..%2f..%2fetc%2fpasswd",
        "/thumb/999",
        "/thumb/0",
        "/clip/%00",
    ],
)
def test_only_the_number_of_a_clip_names_a_file(visitor: TestClient, path: str) -> None:
    assert visitor.get(path).status_code in (404, 422)


def test_a_file_that_went_meanwhile_is_not_found(visitor: TestClient, engine: Engine) -> None:
    number = page(visitor)["clips"][0]["id"]
    (engine.home.clips / "2.mp4").unlink()
    assert visitor.get(f"/clip/{number}").status_code == 404
    assert visitor.get(f"/thumb/{number}").status_code == 200
    assert change(visitor, "/library/scan") == {
        "changed": 1,
        "young": 0,
        "not_taken": [],
        "problem": "",
    }
    assert page(visitor)["count"] == 2


def test_favourite_trash_and_restore(visitor: TestClient, engine: Engine) -> None:
    number = page(visitor)["clips"][0]["id"]
    assert change(visitor, f"/clip/{number}/favourite", {"on": True}) == {}
    assert [clip["id"] for clip in page(visitor, favourites=True)["clips"]] == [number]
    assert change(visitor, f"/clip/{number}/trash") == {}
    assert page(visitor)["count"] == 2
    gone = page(visitor, trash=True)["clips"][0]
    assert (gone["id"], gone["days"], gone["favourite"]) == (number, 7, True)
    assert visitor.get(f"/clip/{number}").status_code == 200, "it can be looked at before"
    assert change(visitor, f"/clip/{number}/restore") == {}
    assert page(visitor)["count"] == 3
    assert "no longer in the library" in change(visitor, "/clip/999/trash")["refused"]


def test_same_again_and_a_new_seed_pass_the_guard(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = page(visitor)["clips"][0]["id"]
    engine.settings.set(EMBED, False)
    assert change(visitor, f"/clip/{number}/again", {"fresh": False}) == {}
    assert change(visitor, f"/clip/{number}/again", {"fresh": True}) == {}
    same, new = engine.jobs.waiting()
    assert (same.request.prompt, same.seed, same.embed) == (HOSTILE, 2, False)
    assert (new.request.prompt, new.request.seed) == (HOSTILE, -1)

    def refuse(*_: object) -> None:
        raise HeadroomError("It is locked.", "Measure it.")

    monkeypatch.setattr(engine.guard, "admit", refuse)
    answer = change(visitor, f"/clip/{number}/again", {"fresh": True})
    assert answer == {"refused": "It is locked. Measure it."}
    assert len(engine.jobs.waiting()) == 2


def test_a_draft_is_made_again_exactly(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ClipRequest] = []
    monkeypatch.setattr(engine, "submit", lambda request, embed: asked.append(request))
    exact = "wan2.1-t2v-14b-fp8"
    told = receipt("a fox", seed=5, model=f"{exact}-draft")
    told["request"] |= {"height": 480, "width": 832, "frames": 81}
    write(engine.home.clips / "draft.mp4", told)
    engine.folder_sync.scan()
    clip = page(visitor)["clips"][0]
    assert (clip["prompt"], clip["draft"]) == ("a fox", True)
    assert not any(other["draft"] for other in page(visitor)["clips"][1:])
    address = f"/clip/{clip['id']}/again"
    for body in ({"fresh": False}, {"fresh": False, "exact": True}):
        assert change(visitor, address, body) == {}
    assert [request.model for request in asked] == [f"{exact}-draft", exact]
    assert asked[1] == replace(asked[0], model=exact), "but for the model it is the same"
    other = page(visitor)["clips"][1]["id"]
    assert change(visitor, f"/clip/{other}/again", {"fresh": False, "exact": True}) == {}
    assert asked[2].model == "scripted", "what is no draft stays what it is"


def test_a_clip_of_an_unknown_model_says_so(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(engine.home.clips / "new.mp4", receipt("of the future", model=HOSTILE))
    engine.folder_sync.scan()
    clip = page(visitor)["clips"][0]
    assert (clip["prompt"], clip["model"]) == ("of the future", HOSTILE)
    assert (
        "there is no model"
        in change(visitor, f"/clip/{clip['id']}/again", {"fresh": False})["refused"]
    )
    updates = brought(engine, {"id": clip["id"]})
    assert "there is no model" in updates[-1]
    assert "<img" not in updates[-1]
    rows = visitor.get(f"/clip/{clip['id']}/receipt").json()["rows"]
    assert ["Plan: threads", "2", "That many cores."] in rows
    assert rows[-1][2].startswith("It came by hand")


def test_what_a_page_from_elsewhere_could_send_changes_nothing(visitor: TestClient) -> None:
    number = page(visitor)["clips"][0]["id"]
    for what in ("trash", "restore", "again", "favourite", "folder"):
        assert visitor.post(f"/clip/{number}/{what}", json={"on": 1}).status_code in (403, 422)
    assert visitor.post("/library/scan").status_code == 403
    assert visitor.post("/receipt", content=b"....ftyp").status_code == 403
    assert visitor.get(f"/clip/{number}/trash").status_code == 405
    assert page(visitor)["count"] == 3


def test_a_folder_is_opened_for_who_sits_here_only(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Path] = []
    monkeypatch.setattr(file_manager, "show", shown.append)
    number = page(visitor)["clips"][0]["id"]
    path = f"/clip/{number}/folder"
    assert page(visitor)["folder"] is True
    assert change(visitor, path) == {}
    assert shown == [engine.home.clips / "2.mp4"]
    app, there = site(engine), "http://localhost"
    elsewhere = [
        TestClient(app, base_url=there, client=("192.168.0.9", 5000)),
        TestClient(app, base_url="http://evil.example", client=("127.0.0.1", 5000)),
        TestClient(app, base_url=there, client=("127.0.0.1", 5000), headers={"Via": "1.1 proxy"}),
    ]
    for other in elsewhere:
        assert "from the computer" in change(other, path)["refused"]
        assert page(other)["folder"] is False
    assert len(shown) == 1


def test_no_file_manager_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_manager, "_command", lambda path: None)
    with pytest.raises(LibraryError, match="No file manager"):
        file_manager.show(write(tmp_path / "it.mp4", None))
    monkeypatch.setattr(file_manager, "_command", lambda path: [str(tmp_path / "nothing")])
    with pytest.raises(LibraryError, match="can't be started"):
        file_manager.show(tmp_path / "it.mp4")
    with pytest.raises(LibraryError, match="no longer in"):
        file_manager.show(tmp_path / "gone.mp4")


# ---- dropped clips ---------------------------------------------------------------------------


def drop(visitor: TestClient, content: bytes, name: str = "a clip.mp4") -> Any:
    answer = visitor.post("/receipt", params={"name": name}, content=content, headers=OURS)
    assert answer.status_code == 200
    return answer.json()


def test_a_dropped_clip_answers_with_its_request_and_stays_nowhere(
    visitor: TestClient, engine: Engine, tmp_path: Path
) -> None:
    drawn = {**receipt("a drawn seed", seed=-1), "seed": 77}
    content = write(tmp_path / "it.mp4", drawn).read_bytes()
    request = drop(visitor, content)["request"]
    assert (request["prompt"], request["seed"]) == ("a drawn seed", 77)
    updates = brought(engine, {"request": request})
    assert (updates[0], updates[4]) == ("a drawn seed", "77")
    assert "class='truth open'" in updates[6], "the verdict comes in the same step"
    assert "a drawn seed" in updates[-1]
    assert not list(engine.home.cache.glob("dropped-*"))


def test_what_a_crash_left_of_uploads_is_removed_at_the_next_start(engine: Engine) -> None:
    old, young = (engine.home.cache / f"dropped-{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
        (folder / "dropped.mp4").write_bytes(b"half")
    os.utime(old, (1_700_000_000, 1_700_000_000))
    add_receipt_route(FastAPI(), engine)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_full_disk_is_named(
    visitor: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    content = write(tmp_path / "it.mp4", receipt()).read_bytes()
    monkeypatch.setattr("tempfile.mkdtemp", full)
    assert drop(visitor, content)["refused"] == (
        "a clip.mp4 can't be read here: No space left on device. Make sure that the drive with "
        "Headroom's folder has space and is writable."
    )


def test_what_isnt_a_clip_of_ours_is_a_sentence(
    visitor: TestClient, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = write(tmp_path / "foreign.mp4", None).read_bytes()
    assert drop(visitor, foreign)["refused"].startswith("a clip.mp4 has no Headroom receipt.")
    whole = write(tmp_path / "whole.mp4", receipt()).read_bytes()
    assert "can't be read as a video" in drop(visitor, whole[:200])["refused"]
    assert drop(visitor, b"PK\3\4 no video", "C:\\x\\evil.zip")["refused"].startswith("evil.zip is")
    assert "is empty" in drop(visitor, b"")["refused"]
    odd = write(
        tmp_path / "odd.mp4", receipt(height=33, width=10**5, model="nobody's")
    ).read_bytes()
    told = drop(visitor, odd)["refused"]
    assert "can't be made here" in told
    assert "there is no model" in told
    monkeypatch.setattr(dropped, "MOST_BYTES", 1000)
    assert "is larger than" in drop(visitor, whole)["refused"]
    assert not list(engine.home.cache.glob("dropped-*"))


def test_a_drop_says_what_the_command_line_says(
    visitor: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "it.mp4", receipt()).read_bytes()
    spoilt = {**receipt(), "stages": {"load": "long"}}
    contents = {
        "a:b.mp4": b"",
        "no.mp4": b"PK",
        "cut.mp4": data[:200],
        "foreign.mp4": write(tmp_path / "foreign.mp4", None).read_bytes(),
        "n" * 200 + ".mp4": write(tmp_path / "spoilt.mp4", spoilt).read_bytes(),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert main(["read", str(path)]) == 2
        assert capsys.readouterr().err == drop(visitor, content, name)["refused"] + "\n"


def test_refusals_are_told_in_the_language_of_whoever_asks(
    visitor: TestClient, engine: Engine, tmp_path: Path
) -> None:
    """The file keeps the name that its owner gave it, and no sentence is looked into for that."""
    app = site(engine)

    async def chinese(scope: Any, receive: Any, send: Any) -> None:
        speak("zh")
        await app(scope, receive, send)

    reader = TestClient(chinese, base_url="http://localhost", client=("127.0.0.1", 5000))
    foreign = write(tmp_path / "foreign.mp4", None).read_bytes()
    why = "里没有 Headroom 的生成记录。它由别的程序生成"
    assert drop(reader, foreign)["refused"].startswith(f"a clip.mp4 {why}")
    assert drop(reader, foreign, "")["refused"].startswith(f"该文件 {why}")
    assert drop(reader, b"")["refused"] == "a clip.mp4 是空文件。请使用 Headroom 生成的 MP4。"
    assert change(reader, "/clip/999/trash") == {"refused": "这个片段已不在片段库里。请刷新页面。"}
    assert page(reader)["clips"][0]["length"] == "0.6 秒"
    write(engine.home.clips / "holiday.mp4", None)
    assert change(reader, "/library/scan")["not_taken"] == [
        "holiday.mp4 里没有 Headroom 的生成记录。"
    ]
    assert change(visitor, "/library/scan")["not_taken"] == ["holiday.mp4 has no Headroom receipt."]


@pytest.mark.parametrize(
    "data",
    [
        None,
        5,
        [],
        {},
        {"id": "1"},
        {"id": True},
        {"id": 10**30},
        {"request": [1]},
        {"request": {"prompt": HOSTILE, "height": "9" * 5000}},
        {"request": {HOSTILE: 1}},
        {"request": {"prompt": ["x"], "seed": {}, "model": HOSTILE}},
    ],
)
def test_whatever_a_browser_sends_is_a_sentence(engine: Engine, data: object) -> None:
    updates = brought(engine, data)
    assert len(updates) == 9
    assert 'role="alert"' in updates[-1]
    assert "<img" not in updates[-1]


def test_a_model_that_isnt_here_is_a_sentence(engine: Engine) -> None:
    big = ClipRequest("a cat", 480, 832, 81, 5, "wan2.1-t2v-14b-fp8").to_json()
    assert "The clip was made with" in brought(engine, {"request": big})[-1]


def test_a_library_behind_a_login_stays_there(engine: Engine) -> None:
    """A real Gradio app with a login: 401 everywhere without its cookie."""
    import gradio as gr
    import httpx

    with gr.Blocks(analytics_enabled=False) as blocks:
        gr.Markdown("hello")
    app, url, _ = blocks.launch(auth=("me", "secret"), prevent_thread_lock=True, quiet=True)
    add_clip_routes(app, engine)
    add_receipt_route(app, engine)
    write(engine.home.clips / "0.mp4", receipt())
    gets = ("library", "clip/1", "thumb/1", "clip/1/receipt")
    posts = (
        "library/scan",
        "clip/1/trash",
        "clip/1/restore",
        "clip/1/folder",
        "receipt",
        "clip/1/again",
        "clip/1/favourite",
    )
    try:
        with httpx.Client(base_url=url, trust_env=False, headers=OURS) as browser:
            for path in gets:
                assert browser.get(path).status_code == 401, path
            for path in posts:
                assert browser.post(path, json={"on": True, "fresh": True}).status_code == 401, path
            browser.post("login", data={"username": "me", "password": "secret"})
            assert browser.get("library").json()["count"] == 0
            assert browser.post("library/scan").status_code == 200
    finally:
        blocks.close(verbose=False)


@pytest.mark.skipif(sys.platform == "win32", reason="a link to a drive that died")
def test_clips_on_a_drive_that_died_are_not_here(visitor: TestClient, engine: Engine) -> None:
    clip = page(visitor)["clips"][0]["id"]
    engine.home.clips.rename(engine.home.root / "plugged out")
    engine.home.clips.symlink_to(engine.home.root / ("x" * 300))
    assert visitor.get(f"/clip/{clip}").status_code == 404
    assert visitor.get(f"/thumb/{clip}").headers["content-type"] == "image/svg+xml"
    assert "refused" in change(visitor, f"/clip/{clip}/folder")
    assert "can't be moved" in change(visitor, f"/clip/{clip}/trash")["refused"]
    assert "is a link to" in change(visitor, f"/clip/{clip}/again", {"fresh": False})["refused"]
    assert engine.library.purge() == 0
    engine.home.clips.unlink()
    (engine.home.root / "plugged out").rename(engine.home.clips)
    assert visitor.get(f"/clip/{clip}").status_code == 200


def test_two_clips_are_held_against_each_other(visitor: TestClient, engine: Engine) -> None:
    clips = [clip["id"] for clip in page(visitor)["clips"]]
    words = visitor.get(f"/clip/{clips[0]}/likeness/{clips[1]}").json()["words"]
    assert words == "All 3 pictures are the same.", "they were made of one gradient"
    path = engine.library.place(engine.library.found(clips[1]))
    write(path, receipt("another size"), side=32)
    words = visitor.get(f"/clip/{clips[0]}/likeness/{clips[1]}").json()["words"]
    assert words.startswith("Only clips of one size")
    path.unlink()
    assert visitor.get(f"/clip/{clips[0]}/likeness/{clips[1]}").status_code == 404
    assert visitor.get(f"/clip/{clips[0]}/likeness/0").status_code == 422
