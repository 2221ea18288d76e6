"""Stands before the owner's page: which names it answers to, and from which pages.

Gradio as it comes answers under any Host, which lets a page elsewhere have its own name point here
(DNS rebinding), and runs a POST that another site's page sends (CSRF); routes of our own aren't
behind its login at all. So this looks at every request before anything else does.
"""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Container, Iterable
from contextlib import nullcontext
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.machine.addresses import everywhere, in_url, own_addresses
from engine.pictures.plain import MOST_BYTES, too_large
from engine.text import Text
from ui.server.access import logged_in
from ui.server.caller import LOOPBACK as THIS_COMPUTER
from ui.server.caller import caller_of, peer_of
from ui.server.incoming import (
    STREAMS_EACH,
    STREAMS_HERE,
    TOO_MANY_OPEN,
    Places,
    limited,
    same_site,
)
from ui.server.login import PageLogin
from ui.server.own_names import OwnNames
from ui.server.throttle import TooManyTries
from ui.wording import language_of, say, speak

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
SAFE = {"GET", "HEAD", "OPTIONS"}
# What Gradio serves and nothing here needs: other servers' files in this page's name.
# The page's uploads end in routes of our own (ui/tabs/dropped.py, pictures.py); gradio_client has
# only Gradio's, where it gets as many bytes as a picture may have.
CLOSED = re.compile(
    r"^/(gradio_api/)?(proxy=|monitoring|dev/|upload(?!/?$)|process_recording|stream/|custom_component/"
    r"|deep_link|run-history|runs|vibe-|undo-vibe|profiling/)"
)
UPLOAD = re.compile(r"^/gradio_api/upload/?$")
UPLOAD_BYTES = MOST_BYTES + 2**20  # what stands around the file
# What Gradio serves to anybody, because its page asks for it before the login, or at its start.
GRADIOS = re.compile(r"^/gradio_api/")
BEFORE_LOGIN = re.compile(
    r"^/gradio_api/(login_check|user|token|app_id|startup-events|theme\.css)/?$"
)
# What stays open for as long as its client likes.
STREAM = re.compile(r"^/(gradio_api/(heartbeat/|queue/data|call/.+/)|live$|mcp)")
# What Gradio takes its own address from, for whoever sends it. A proxy passes Host on unchanged.
MADE_UP = {b"x-forwarded-host", b"x-gradio-server"}
# No page elsewhere may lay this one under its own and have it clicked.
FILE = re.compile(r"^/(?:gradio_api/)?file[=/](.*)$", re.S)
FRAMELESS = [
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
WHOLE_SECONDS = 0.02  # between two looks whether the page is whole
NOTHING = "There is nothing here."
OTHER_NAME = "Headroom doesn't answer under this name. Open the address that it printed."
OTHER_SITE = "Only Headroom's own page may ask for that."


def names_for(host: str, addresses: Iterable[str]) -> set[str]:
    """The names that a page listening on ``host`` answers to.

    Args:
        addresses: this computer's own.
    """
    if everywhere(host):
        own = {*map(in_url, addresses), socket.gethostname().lower()}
        return LOOPBACK | own | {f"{socket.gethostname().lower()}.local"}
    return LOOPBACK | {in_url(host.lower())}


def own_names(host: str) -> Container[str]:
    """``names_for`` this computer, with the addresses that it gets later."""
    if everywhere(host):
        return OwnNames(names_for(host, own_addresses()))
    return names_for(host, [])


class _TooLong(Exception):
    """An upload has more bytes than a picture may have."""


class Gate:
    """ASGI middleware: a refused request gets one sentence and reaches nothing."""

    def __init__(
        self,
        app: ASGIApp,
        names: Container[str],
        files: Path | None = None,
        login: PageLogin | None = None,
        whole: threading.Event | None = None,
    ) -> None:
        """``files``: where Gradio keeps its copies, the only ones that are had by their path.
        ``whole``: set once the page has all of its routes; who comes before that waits."""
        self._whole = whole
        self._app, self._names, self._files = app, names, files
        self._login = login or PageLogin()
        self._places, self._streams = Places(), Places(STREAMS_EACH, STREAMS_HERE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not _asked_by_gradio(scope):
            await self._wait()
        scope["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in MADE_UP]
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        speak(language_of(headers))
        _believe_own_proxy(scope, headers)
        status, sentence = self._judge(scope, headers)
        send = _framed_by_nobody(send)
        if status:
            await refuse(scope, send, status, sentence)
            return
        address, _ = caller_of(scope)
        stays = bool(STREAM.match(scope["path"]))
        with (
            self._places.one(address) as free,
            self._streams.one(address) if stays else nullcontext(True) as stream_free,
        ):
            if not (free and stream_free):
                await refuse(scope, send, 429, say(TOO_MANY_OPEN))
            elif scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/login"):
                await self._log_in(scope, receive, send)
            elif UPLOAD.match(scope["path"]):
                await self._upload(scope, receive, send)
            else:
                await self._app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Gradio itself takes files of any size."""
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, limited(receive, UPLOAD_BYTES, _TooLong), told)
        except _TooLong:
            if not begun:
                await refuse(scope, send, 413, say(too_large(Text("pictures.sent")).text))

    async def _wait(self) -> None:
        """Gradio listens before a route of ours can be added: whoever opened the page just then
        would have it without its scripts and clips."""
        while self._whole is not None and not self._whole.is_set():
            await asyncio.sleep(WHOLE_SECONDS)

    def _judge(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        """A status and a sentence, or 0 where the request may pass."""
        host = headers.get("host", "")
        if re.sub(r":\d+$", "", host).lower() not in self._names:
            return 400, OTHER_NAME
        file = FILE.match(scope["path"])
        if CLOSED.match(scope["path"]) or (file is not None and not self._kept(file[1])):
            return 404, NOTHING
        safe = scope["type"] == "http" and scope["method"] in SAFE
        origin = headers.get("origin")
        # Gradio lets every page of this computer, whatever its port, read what it answers.
        if origin is not None and not same_site(origin, host):
            return 403, OTHER_SITE
        # Browsers say who asks; a link to the page may come from anywhere, nothing else may. Some
        # of Gradio's own GETs change something.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        framed = headers.get("sec-fetch-dest") in ("iframe", "frame", "embed", "object")
        gradios = scope["path"].startswith("/gradio_api/")
        visit = safe and mode == "navigate" and not framed and not gradios
        if site not in ("same-origin", "none") and not visit:
            return 403, OTHER_SITE
        if _needs_login(scope) and not logged_in(scope["app"], Request(scope)):
            return 401, say(Text("login.first"))
        return 0, ""

    def _kept(self, path: str) -> bool:
        """Whether ``path``, with every link in it followed, is one of Gradio's copies: it may read
        the whole clips folder to make them, and what lies or is linked there is nobody's to ask
        for by its path."""
        try:
            return self._files is not None and Path(path).resolve().is_relative_to(
                self._files.resolve()
            )
        except (OSError, ValueError, RuntimeError):
            return False

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrong passwords slow down, which Gradio's own login doesn't."""
        try:
            send = self._login.watched(scope, send)
        except TooManyTries as error:
            await refuse(scope, send, 429, say(error.text), error.seconds)
            return
        await self._app(scope, receive, send)


def _needs_login(scope: Scope) -> bool:
    """Whether it is one of Gradio's addresses that only who is logged in has a use for. Gradio asks
    for the login at some of them: its heartbeat holds a connection open for anybody."""
    if scope["type"] != "http" or "app" not in scope:
        return False
    path = scope["path"]
    return bool(GRADIOS.match(path)) and not BEFORE_LOGIN.match(path)


def _believe_own_proxy(scope: Scope, headers: dict[str, str]) -> None:
    """A proxy of this computer says whether it was reached by HTTPS, which addresses of ours in an
    answer have to begin with. Nobody else's word counts."""
    said = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip()
    if said in ("http", "https") and peer_of(scope) == THIS_COMPUTER:
        scope["scheme"] = said


def _framed_by_nobody(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", [])}
            more = [pair for pair in FRAMELESS if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return told


async def refuse(
    scope: Scope, send: Send, status: int, sentence: str, wait: int | None = None
) -> None:
    """Answer with one sentence, as JSON; ``wait``: seconds after which it may be tried again."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": sentence, "detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if wait is not None:
        headers.append((b"retry-after", str(wait).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _asked_by_gradio(scope: Scope) -> bool:
    """What ``launch`` asks the server that it has just begun, and waits for."""
    path = str(scope["path"]).rstrip("/")
    return path.endswith("/startup-events") or (path == "" and scope.get("method") == "HEAD")
