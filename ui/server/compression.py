"""Compresses what is the same for everybody: the page, its scripts and styles, its texts.

Gradio does so by an address's ending: not for its page, for ranges as well, and anew at every
request. Here a body is compressed once and kept by its content. A page is 70 small files of
Gradio's; as none of them changes while the program runs, these aren't even read again.

What is about somebody stays as it is (clips, prompts, jobs, receipts, a visitor's state, tokens,
streams): whoever can have a text of their own put beside a secret, and sees how long the answer is,
could guess at the secret (CRIME, BREACH). In the bodies here stand no secret and nothing that a
request brought; they are listed by address, so that no new one is compressed by accident.
"""

import gzip
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable

import anyio.to_thread
import brotli
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAME_FOR_ALL = re.compile(
    r"/|/config|/theme\.css|/gradio_api/(info|theme\.css)|/texts/zh\.json|/(assets|static|page)/.+"
)
KINDS = {
    "text/html",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
    "image/svg+xml",
}
# Files of the installed package; those in assets have their content in their names.
UNCHANGING = re.compile(r"/(assets|static/js)/[\w.-]+\.(js|css)")
HASHED = re.compile(r"/assets/[\w.-]+-[\w-]{8,10}\.(js|css)")
FILES = 400  # of them that are kept by their names; one name may be written in several ways
FOREVER = "public, max-age=31536000, immutable"
LEAST, MOST = 500, 2**22  # bytes of a body that is worth it, and that may be held in memory
KEPT = 2**23  # bytes of all that is kept: a first load has 1 MB
# By preference. Browsers ask for Brotli over HTTPS and from their own computer only.
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "br": lambda body: bytes(brotli.compress(body, mode=brotli.MODE_TEXT, quality=9)),
    "gzip": lambda body: gzip.compress(body, 9, mtime=0),
}


class Compressed:
    """ASGI middleware, for GET and HEAD of what is ``SAME_FOR_ALL``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._kept = app, _Kept()
        self._files: dict[tuple[str, str | None], tuple[Message, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = scope["headers"]
        headers = dict(given)
        wanted = headers.get(b"accept-encoding", b"").decode("latin-1")
        # Nobody behind this compresses a second time, or a range.
        scope = {**scope, "headers": [pair for pair in given if pair[0] != b"accept-encoding"]}
        if scope["method"] not in ("GET", "HEAD") or not SAME_FOR_ALL.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        scope["headers"] = [_weakly(pair) for pair in scope["headers"]]
        encoding = None if b"range" in headers else encoding_for(wanted)
        key, head = (scope["path"], encoding), scope["method"] == "HEAD"
        plain = encoding is not None and not headers.keys() & {b"if-none-match", b"origin"}
        if plain and key in self._files:
            await _send(send, *self._files[key], head)
            return
        answer = _Answer(send, encoding, head, self._kept, scope["path"])
        # HEAD has the headers of GET, and the length of what is compressed is known when it is.
        await self._app({**scope, "method": "GET"}, receive, answer.send)
        fits = len(self._files) < FILES and UNCHANGING.fullmatch(scope["path"])
        if plain and fits and answer.made is not None:
            self._files[key] = answer.made


def encoding_for(wanted: str) -> str | None:
    """The best of ENCODINGS that ``Accept-Encoding`` allows; None for the body as it is."""
    weights: dict[str, float] = {}
    for part in wanted.lower().split(","):
        name, _, said = part.partition(";")
        found = re.fullmatch(r"\s*q\s*=\s*(\d(?:\.\d*)?)\s*", said) if said else None
        weights[name.strip()] = float(found[1]) if found else 0.0 if said else 1.0
    best = max(ENCODINGS, key=lambda name: weights.get(name, weights.get("*", 0.0)))
    return best if weights.get(best, weights.get("*", 0.0)) > 0 else None


def _weakly(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """``If-None-Match`` compares weakly, and those behind this compare the text."""
    name, value = pair
    return (name, value.replace(b"W/", b"")) if name == b"if-none-match" else pair


class _Answer:
    """Passes an answer on; a body that is to be compressed is collected first."""

    def __init__(
        self, send: Send, encoding: str | None, head: bool, kept: "_Kept", path: str
    ) -> None:
        self._send, self._encoding, self._head, self._kept = send, encoding, head, kept
        self._path = path
        self._held: Message | None = None
        self.made: tuple[Message, bytes] | None = None  # what was compressed, with its headers
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if message["status"] == 304 or (message["status"] == 200 and kind in KINDS):
                headers.add_vary_header("Accept-Encoding")
                if HASHED.fullmatch(self._path):
                    headers["Cache-Control"] = FOREVER  # Gradio leaves it to a browser's guess
                if self._encoding is not None:
                    _weaken(headers)
                    if message["status"] == 200 and _worth_it(headers):
                        self._held = message
                        return
            await self._send(message)
        elif message["type"] != "http.response.body":  # what only a test's client is told
            await self._send(message)
        elif self._held is None:
            await self._send({**message, "body": b""} if self._head else message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish(self._held)

    async def _finish(self, start: Message) -> None:
        assert self._encoding is not None
        body = await self._kept.compressed(self._encoding, self._body)
        if len(body) < len(self._body):
            headers = MutableHeaders(scope=start)
            headers["Content-Encoding"] = self._encoding
            headers["Content-Length"] = str(len(body))
            del headers["Accept-Ranges"]
        else:
            body = self._body
        self.made = start, body
        await _send(self._send, start, body, self._head)


async def _send(send: Send, start: Message, body: bytes, head: bool) -> None:
    await send({**start, "headers": [*start["headers"]]})  # those before this add their own
    await send({"type": "http.response.body", "body": b"" if head else body})


def _worth_it(headers: MutableHeaders) -> bool:
    """Whether it is a whole body, of a length that is known: a stream's isn't."""
    length = headers.get("content-length", "")
    return (
        length.isdigit()
        and LEAST <= int(length) <= MOST
        and "content-encoding" not in headers
        and "no-transform" not in headers.get("cache-control", "")
    )


def _weaken(headers: MutableHeaders) -> None:
    """Other bytes of the same content: a strong tag would promise the very bytes."""
    tag = headers.get("etag", "W/")
    if not tag.startswith("W/"):
        headers["etag"] = f"W/{tag}"


class _Kept:
    """What was compressed, by its content; those go first that were asked for longest ago."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    async def compressed(self, encoding: str, body: bytes) -> bytes:
        key = encoding, hashlib.sha256(body).digest()
        with self._lock:
            if key in self._bodies:
                self._bodies.move_to_end(key)
                return self._bodies[key]
        made = await anyio.to_thread.run_sync(ENCODINGS[encoding], body)
        with self._lock:
            if key not in self._bodies:
                self._bodies[key] = made
                self._bytes += len(made)
            while self._bytes > KEPT:
                self._bytes -= len(self._bodies.popitem(last=False)[1])
        return made
