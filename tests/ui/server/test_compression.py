"""What is compressed, for whom, how often, and what never is."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import brotli
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ui.server import compression
from ui.server.compression import Compressed, encoding_for

TEXT = "var words = 'the same again and again';\n" * 200
TAG = '"abc"'


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    file, read = tmp_path / "a.js", list[str]()
    file.write_text(TEXT, encoding="utf-8")

    async def page(request: Request) -> Response:
        assert request.method == "GET"
        assert "accept-encoding" not in request.headers
        return Response(TEXT, media_type="text/html", headers={"ETag": TAG})

    async def known(request: Request) -> Response:
        same = request.headers.get("if-none-match") == TAG
        return Response(
            "" if same else TEXT, 304 if same else 200, {"ETag": TAG}, "application/json"
        )

    async def picture(_: Request) -> Response:
        return Response(TEXT, media_type="image/png")

    async def short(_: Request) -> Response:
        return Response("a{}", media_type="text/css")

    async def missing(_: Request) -> Response:
        return Response(TEXT, 404, media_type="text/html")

    async def unchanging(request: Request) -> Response:
        read.append(request.url.path)
        return Response(TEXT, media_type="text/css", headers={"ETag": TAG})

    async def stream(_: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(3):
                yield TEXT

        return StreamingResponse(pieces(), media_type="text/html")

    async def script(_: Request) -> Response:
        return FileResponse(file)

    routes = [
        Route("/", page),
        Route("/config", known),
        Route("/library", known),
        Route("/static/a.png", picture),
        Route("/static/short.css", short),
        Route("/static/missing.html", missing),
        Route("/static/stream.html", stream),
        Route("/static/a.js", script),
        Route("/assets/{name}", unchanging),
    ]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(Compressed)]))
    client.read = read  # type: ignore[attr-defined]
    return client


def asked(client: TestClient, path: str, encodings: str = "gzip", **more: Any) -> Any:
    """The answer with its body as it came."""
    method = more.pop("method", "GET")
    headers = {"Accept-Encoding": encodings, **more}
    with client.stream(method, path, headers=headers) as told:
        answer: Any = told
        answer.raw = b"".join(told.iter_raw())
    return answer


def count_work(
    monkeypatch: pytest.MonkeyPatch, compress: Callable[[bytes], bytes] = gzip.compress
) -> list[bytes]:
    """The bodies that are compressed from now on."""
    worked: list[bytes] = []

    def count(body: bytes) -> bytes:
        worked.append(body)
        return compress(body)

    monkeypatch.setitem(compression.ENCODINGS, "gzip", count)
    return worked


@pytest.mark.parametrize("path", ["/", "/config", "/static/a.js"])
def test_what_is_the_same_for_all_comes_compressed(client: TestClient, path: str) -> None:
    for encoding, opened in (("gzip", gzip.decompress), ("br", brotli.decompress)):
        answer = asked(client, path, encoding)
        assert answer.headers["content-encoding"] == encoding
        assert answer.headers["content-length"] == str(len(answer.raw))
        assert answer.headers["vary"] == "Accept-Encoding"
        assert opened(answer.raw).decode() == TEXT
        assert len(answer.raw) < len(TEXT) / 10


@pytest.mark.parametrize("encodings", ["", "identity", "gzip;q=0", "zstd, br;q=0.0"])
def test_whoever_cannot_read_it_gets_it_as_it_is(client: TestClient, encodings: str) -> None:
    answer = asked(client, "/", encodings)
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["etag"] == TAG
    assert answer.raw.decode() == TEXT


@pytest.mark.parametrize(
    "path",
    ["/library", "/static/a.png", "/static/short.css", "/static/missing.html"],
)
def test_what_is_about_somebody_or_small_stays_as_it_is(client: TestClient, path: str) -> None:
    assert "content-encoding" not in asked(client, path, "gzip, br").headers


def test_a_stream_is_passed_on_as_it_comes(client: TestClient) -> None:
    answer = asked(client, "/static/stream.html", "gzip, br")
    assert "content-encoding" not in answer.headers
    assert answer.raw.decode() == TEXT * 3


def test_a_range_is_of_the_file_as_it_is(client: TestClient) -> None:
    answer = asked(client, "/static/a.js", "gzip, br", Range="bytes=4-8")
    assert (answer.status_code, answer.raw) == (206, b"words")
    assert "content-encoding" not in answer.headers
    whole = asked(client, "/static/a.js")
    assert "accept-ranges" not in whole.headers, "there are no ranges of what is compressed"


@pytest.mark.parametrize("path", ["/", "/config", "/static/a.js", "/static/stream.html"])
@pytest.mark.parametrize("encodings", ["gzip", "identity"])
def test_head_has_the_headers_of_get_and_no_body(
    client: TestClient, path: str, encodings: str
) -> None:
    got, head = (asked(client, path, encodings, method=m) for m in ("GET", "HEAD"))
    assert dict(head.headers) == dict(got.headers)
    assert head.raw == b""


def test_a_copy_that_is_still_right_is_said_so_in_every_encoding(client: TestClient) -> None:
    first = asked(client, "/config")
    assert first.headers["etag"] == f"W/{TAG}", "it isn't the same bytes in every encoding"
    again = asked(client, "/config", **{"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.raw) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in again.headers


def test_a_body_is_compressed_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = count_work(monkeypatch)
    bodies = {asked(client, path).raw for path in ("/", "/config", "/static/a.js", "/")}
    assert len(bodies) == 1
    assert len(worked) == 1, "they have the same content"


def test_a_file_that_cannot_change_is_read_once_for_each_encoding(client: Any) -> None:
    first, again, br = (asked(client, "/assets/a-12345678.css", e) for e in ("gzip", "gzip", "br"))
    assert (again.raw, dict(again.headers)) == (first.raw, dict(first.headers))
    assert br.headers["content-encoding"] == "br"
    head = asked(client, "/assets/a-12345678.css", method="HEAD")
    assert (head.raw, dict(head.headers)) == (b"", dict(first.headers))
    assert len(client.read) == 2
    asked(client, "/assets/a-12345678.css", **{"If-None-Match": TAG})
    asked(client, "/assets/a-12345678.css", Origin="http://testserver")
    assert len(client.read) == 4, "an answer to these may be another one"


def test_names_are_kept_up_to_a_limit(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "FILES", 2)
    names = [f"/assets/{letter}-12345678.css" for letter in "abcd"]
    for name in names * 2:
        assert gzip.decompress(asked(client, name).raw).decode() == TEXT
    assert client.read == [*names, *names[2:]]


def test_a_browser_keeps_what_has_its_content_in_its_name(client: Any) -> None:
    for encodings in ("gzip", "identity"):
        kept = asked(client, "/assets/Index-DiEEvXS6.css", encodings).headers["cache-control"]
        assert kept == compression.FOREVER
    assert "cache-control" not in asked(client, "/assets/plain.css").headers


def test_what_is_kept_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "KEPT", 3000)
    worked = count_work(monkeypatch, lambda _: bytes(1000))

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        body = scope["query_string"] * 1100
        headers = [(b"content-type", b"text/css"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    client = TestClient(Compressed(app))
    for query in ("aa", "bb", "cc", "aa", "dd", "aa", "bb"):
        with client.stream("GET", f"/theme.css?{query}", headers={"Accept-Encoding": "gzip"}) as a:
            assert a.headers["content-length"] == "1000"
    assert [body[:1] for body in worked] == [b"a", b"b", b"c", b"d", b"b"]


@pytest.mark.parametrize(
    ("wanted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0.5, gzip;q=1.0", "gzip"),
        ("GZIP ; q=0.3", "gzip"),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("identity;q=1, *;q=0", None),
        ("gzip;q=nonsense", None),
        ("deflate", None),
        ("", None),
    ],
)
def test_the_best_encoding_that_is_wanted(wanted: str, encoding: str | None) -> None:
    assert encoding_for(wanted) == encoding


def test_a_websocket_and_a_lifespan_pass_as_they_are() -> None:
    passed = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        passed.append(scope)

    scope = {"type": "websocket", "path": "/", "headers": [(b"accept-encoding", b"gzip")]}
    asyncio.run(Compressed(app)(scope, None, None))  # type: ignore[arg-type]
    assert passed == [scope]
