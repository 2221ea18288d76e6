"""A visitor tries what is the owner's: by other methods, other headers, and other cookies."""

from typing import Any

import httpx
import pytest

from tests.support.visitors import Doors, asked

pytestmark = pytest.mark.starts

OWNERS = [
    "config",
    "live",
    "library",
    "library/scan",
    "library/trash",
    "library/zip",
    "clip/1",
    "thumb/1",
    "clip/1/trash",
    "receipt",
    "clips/1.mp4",
    "gradio_api/info",
    "gradio_api/run/generate",
    "gradio_api/queue/join",
    "gradio_api/file=/etc/passwd",
    "gradio_api/upload",
    "gradio_api/component_server",
    "login",
    "logout",
    "monitoring",
    "mcp",
    "mcp/",
    "docs",
    "openapi.json",
    "theme.css",
    "assets/x",
    "static/page.css",
    "static/live.js",
    "settings",
    "metrics",
    ".env",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]


@pytest.mark.parametrize("path", OWNERS)
def test_nothing_of_the_owners_is_there_by_any_method(doors: Doors, path: str) -> None:
    ana = doors.visitor()
    for method in METHODS:
        answer = ana.request(method, path, json={} if method == "POST" else None)
        assert answer.status_code in (401, 404, 405), (method, path)


@pytest.mark.parametrize(
    "header",
    [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Prefix",
        "X-Forwarded-Host",
    ],
)
def test_headers_change_neither_method_nor_address(doors: Doors, header: str) -> None:
    ana = doors.visitor()
    value = "POST" if "Method" in header else "/library"
    for path in ("generate", "cancel", "enter"):
        assert ana.get(path, headers={header: value}).status_code == 405
    assert ana.get("", headers={header: value}).text.startswith("<!doctype html>")
    assert doors.engine.jobs.waiting() == []


def test_other_cookies_are_nobodys(doors: Doors) -> None:
    """That of the share before, that of the owner's login, and made-up ones."""
    first = doors.visitor().headers["Cookie"]
    doors.sharing.stop()
    doors.open()
    cookies: list[str] = [
        first,
        "access-token-x=1",
        "access-token-unsecure-x=1",
        "headroom_visit=",
        "headroom_visit=%00",
        "headroom_visit=None",
        f"x=1; {first}; headroom_visit=",
        "=",
        ";;",
    ]
    for cookie in cookies:
        client = doors.client(Cookie=cookie)
        tried: list[httpx.Response] = [
            client.get("state"),
            client.post("generate", json=asked()),
            client.post("cancel", json={"job": 1}),
            client.get("clip/1.mp4"),
        ]
        assert [answer.status_code for answer in tried] == [401] * 4, cookie
    assert doors.engine.jobs.waiting() == []


def test_unknown_fields_are_refused(doors: Doors) -> None:
    ana = doors.visitor()
    bodies: dict[str, Any] = {
        "enter": {"password": "x", "name": "y", "owner": True},
        "generate": {**asked(), "visitor": "me"},
        "cancel": {"job": 1, "all": True},
    }
    for path, body in bodies.items():
        assert ana.post(path, json=body).status_code == 422
