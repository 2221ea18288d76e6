"""What is done with many clips at once: which are done, why others aren't, and a ZIP of them."""

import asyncio
import io
import zipfile
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.requests import ClientDisconnect

from engine.engine import Engine
from engine.library import archive
from engine.process.own_files import is_own_file
from engine.store import StoreError
from tests.support.clipfiles import receipt, write
from tests.support.library_site import OURS, change, page, site, visiting
from ui.tabs.library_many import MOST, ZIPS_AT_ONCE, ZIPS_KEPT

pytestmark = pytest.mark.starts
GONE = "This clip is no longer in the library. Reload the page."
LISTS = ("favourite", "trash", "restore", "zip")


@pytest.fixture
def visitor(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody at this computer, and a library of three clips that came by hand."""
    return visiting(engine, monkeypatch)


def numbers(visitor: TestClient, **query: Any) -> list[int]:
    return [clip["id"] for clip in page(visitor, **query)["clips"]]


def opened(visitor: TestClient, ids: list[int]) -> zipfile.ZipFile:
    asked = change(visitor, "/library/zip", {"ids": ids})
    answer = visitor.get(f"/library/zip/{asked['key']}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    name = f'attachment;filename="headroom-{asked["count"]}.zip"'
    assert answer.headers["content-disposition"] == name
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_many_are_marked_deleted_and_restored(visitor: TestClient, engine: Engine) -> None:
    first, second, third = numbers(visitor)
    told = change(visitor, "/library/favourite", {"ids": [first, third, 999], "on": True})
    assert told == {"done": [first, third], "failed": [{"id": 999, "why": GONE}]}
    assert numbers(visitor, favourites=True) == [first, third]
    told = change(visitor, "/library/trash", {"ids": [first, second, first]})
    assert told == {"done": [first, second], "failed": []}
    assert numbers(visitor) == [third]
    assert set(numbers(visitor, trash=True)) == {first, second}
    assert sorted(path.name for path in engine.home.trash.iterdir()) == ["1.mp4", "2.mp4"]
    told = change(visitor, "/library/restore", {"ids": [second, first]})
    assert told == {"done": [second, first], "failed": []}
    assert numbers(visitor) == [first, second, third]
    change(visitor, "/library/favourite", {"ids": [first, third], "on": False})
    assert numbers(visitor, favourites=True) == []


def test_one_that_cant_be_deleted_keeps_none_of_the_others(
    visitor: TestClient, engine: Engine
) -> None:
    first, second, third = numbers(visitor)
    (engine.home.clips / "1.mp4").write_bytes(b"somebody else's file")
    told = change(visitor, "/library/trash", {"ids": [first, second, third]})
    assert told["done"] == [first, third]
    (failed,) = told["failed"]
    assert failed["id"] == second
    assert failed["why"].startswith("1.mp4 in ")
    assert "no longer this clip's file" in failed["why"]
    assert numbers(visitor) == [second]


def test_a_thousand_are_one_write(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = numbers(visitor)
    begun: list[int] = []
    real = engine.library.store.transaction

    def counted() -> Any:
        begun.append(1)
        return real()

    monkeypatch.setattr(engine.library.store, "transaction", counted)
    for what in ("trash", "restore"):
        change(visitor, f"/library/{what}", {"ids": ids})
    change(visitor, "/library/favourite", {"ids": ids, "on": True})
    assert len(begun) == 3


def test_files_that_moved_are_found_after_a_write_that_failed(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = numbers(visitor)

    def full() -> None:
        raise StoreError("The disk is full.", "Free some.")

    with monkeypatch.context() as broken:
        broken.setattr(engine.library.store, "transaction", full)
        told = change(visitor, "/library/trash", {"ids": ids})
        assert told == {"refused": "The disk is full. Free some."}
    change(visitor, "/library/scan")
    assert numbers(visitor) == []
    assert set(numbers(visitor, trash=True)) == set(ids)


@pytest.mark.parametrize(
    "ids",
    [[], [0], [-1], ["1"], [1.0], [True], [None], 1, None, {}, [2**60], list(range(1, MOST + 2))],
    ids=str,
)
@pytest.mark.parametrize("what", LISTS)
def test_lists_that_make_no_sense_are_refused(visitor: TestClient, what: str, ids: object) -> None:
    body = {"ids": ids, **({"on": True} if what == "favourite" else {})}
    assert visitor.post(f"/library/{what}", json=body, headers=OURS).status_code == 422
    assert page(visitor)["count"] == 3


def test_unknown_fields_are_refused(visitor: TestClient) -> None:
    for what in LISTS:
        body = {"ids": numbers(visitor), "on": True, "all": True}
        assert visitor.post(f"/library/{what}", json=body, headers=OURS).status_code == 422
    assert page(visitor)["count"] == 3


def test_strangers_change_and_get_nothing(visitor: TestClient, engine: Engine) -> None:
    ids = numbers(visitor)
    for what in LISTS:
        asked = visitor.post(f"/library/{what}", json={"ids": ids, "on": True})
        assert asked.status_code in (403, 422), "without our header"
        assert visitor.get(f"/library/{what}").status_code in (404, 405)
    key = change(visitor, "/library/zip", {"ids": ids})["key"]
    app = site(engine)
    app.auth, app.tokens, app.cookie_id = {"me": "secret"}, {}, "x"  # type: ignore[attr-defined]
    stranger = TestClient(app, base_url="http://localhost", headers=OURS)
    for what in LISTS:
        asked = stranger.post(f"/library/{what}", json={"ids": ids, "on": True})
        assert asked.status_code == 401
    assert stranger.get(f"/library/zip/{key}").status_code == 401
    assert page(visitor)["count"] == 3


# ---- the ZIP -----------------------------------------------------------------------------------


def test_a_zip_has_the_files_as_they_are(visitor: TestClient, engine: Engine) -> None:
    write(engine.home.clips / "größer 片.mp4", receipt("more"))
    engine.folder_sync.scan()
    with opened(visitor, numbers(visitor)) as made:
        assert made.testzip() is None
        assert sorted(made.namelist()) == ["0.mp4", "1.mp4", "2.mp4", "größer 片.mp4"]
        for about in made.infolist():
            assert about.compress_type == zipfile.ZIP_STORED
            assert made.read(about) == (engine.home.clips / about.filename).read_bytes()


def test_a_zip_is_had_from_the_trash_too_and_more_than_once(visitor: TestClient) -> None:
    ids = numbers(visitor)
    change(visitor, "/library/trash", {"ids": ids[:1]})
    asked = change(visitor, "/library/zip", {"ids": ids})
    for _ in range(2):
        answer = visitor.get(f"/library/zip/{asked['key']}")
        with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
            assert sorted(made.namelist()) == ["0.mp4", "1.mp4", "2.mp4"]
    head = visitor.head(f"/library/zip/{asked['key']}")
    assert (head.status_code, head.headers["content-type"]) == (200, "application/zip")


def test_what_is_missing_is_named_in_the_answer_and_in_the_zip(
    visitor: TestClient, engine: Engine
) -> None:
    ids = numbers(visitor)
    (engine.home.clips / "1.mp4").unlink()
    asked = change(visitor, "/library/zip", {"ids": [*ids, 999]})
    assert (asked["count"], asked["missing"], asked["unknown"]) == (2, ["1.mp4"], 1)
    (engine.home.clips / "0.mp4").unlink()  # before its turn has come
    answer = visitor.get(f"/library/zip/{asked['key']}")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        assert made.namelist() == ["2.mp4", "Left out.txt"]
        assert made.read("Left out.txt").decode().splitlines()[-2:] == ["1.mp4", "0.mp4"]
    (engine.home.clips / "2.mp4").unlink()
    told = change(visitor, "/library/zip", {"ids": ids})["refused"]
    assert told.startswith("None of these clips has its file any more.")


def test_an_address_that_nobody_was_given_is_not_found(visitor: TestClient) -> None:
    ids = numbers(visitor)
    assert visitor.get("/library/zip/nonsense").status_code == 404
    keys = [change(visitor, "/library/zip", {"ids": ids})["key"] for _ in range(ZIPS_KEPT + 1)]
    assert visitor.get(f"/library/zip/{keys[0]}").status_code == 404, "the oldest is forgotten"
    assert visitor.get(f"/library/zip/{keys[1]}").status_code == 200


def test_so_many_at_once_and_a_place_is_free_again(
    visitor: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for while others are on their way: from within what those read."""
    ids = numbers(visitor)
    key = change(visitor, "/library/zip", {"ids": ids})["key"]
    within: list[object] = []

    def asks_for_another(path: Any) -> bool:
        if len(within) < ZIPS_AT_ONCE:
            within.append(visitor.get(f"/library/zip/{key}").status_code)
            if within[-1] == 429:
                within.append(change(visitor, "/library/zip", {"ids": ids})["refused"])
        return is_own_file(path)

    monkeypatch.setattr(archive, "is_own_file", asks_for_another)
    assert visitor.get(f"/library/zip/{key}").status_code == 200
    assert within == [429, "2 downloads are running already. Wait until one has ended.", 200]
    assert visitor.get(f"/library/zip/{key}").status_code == 200


def test_a_download_that_is_broken_off_keeps_no_place(visitor: TestClient) -> None:
    key = change(visitor, "/library/zip", {"ids": numbers(visitor)})["key"]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"/library/zip/{key}",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 5000),
        "server": ("localhost", 80),
        "scheme": "http",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def gone(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the client is gone")

    for _ in range(ZIPS_AT_ONCE + 1):
        with pytest.raises(ClientDisconnect):
            asyncio.run(visitor.app(dict(scope), receive, gone))  # type: ignore[arg-type]
    assert visitor.get(f"/library/zip/{key}").status_code == 200
