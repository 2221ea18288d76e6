"""The library's routes as an app of their own, and somebody who asks them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from engine.engine import Engine
from engine.library import folder_sync, mp4, reader_process
from engine.library.receipt import checked
from tests.support.clipfiles import receipt, write
from ui.server.access import HEADER, answer_head
from ui.tabs.dropped import add_receipt_route
from ui.tabs.library_routes import add_clip_routes
from ui.tabs.versions import add_version_routes

HOSTILE = "<img src=x onerror=alert(1)>"
OURS = {HEADER: "1"}


def visiting(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody at this computer, and a library of three clips that came by hand."""
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.0)
    for number, prompt in enumerate(("a red ball", "a blue cube", HOSTILE)):
        path = write(engine.home.clips / f"{number}.mp4", receipt(prompt, seed=number))
        os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
    with monkeypatch.context() as patch:
        patch.setattr(reader_process, "receipts", _receipts)
        engine.folder_sync.scan()
    return TestClient(site(engine), base_url="http://localhost", client=("127.0.0.1", 5000))


def _receipts(paths: Sequence[Path]) -> dict[Path, dict[str, Any]]:
    """Of our own files: the reader's own process takes half a second to start, in each test."""
    found = {path: checked(mp4.read_receipt(path), path.name) for path in paths}
    assert not any("pictures" in receipt for receipt in found.values())  # it would leave them out
    return found


def site(engine: Engine) -> FastAPI:
    app = FastAPI()
    app.auth = app.auth_dependency = None  # type: ignore[attr-defined]
    add_clip_routes(app, engine)
    add_receipt_route(app, engine)
    add_version_routes(app, engine)
    answer_head(app)
    return app


def page(visitor: TestClient, **query: Any) -> Any:
    return visitor.get("/library", params=query).json()


def change(visitor: TestClient, path: str, body: object = None) -> Any:
    answer = visitor.post(path, json=body, headers=OURS)
    assert answer.status_code == 200, answer.text
    return answer.json()
