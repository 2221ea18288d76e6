"""Stands before the owner's page: which names it answers to, and from which pages.

Gradio as it comes answers under any Host, which lets a page elsewhere have its own name point here
(DNS rebinding), and runs a POST that another site's page sends (CSRF); routes of our own aren't
behind its login at all. So this looks at every request before anything else does.
"""

import json
import re
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.patience import Patience

LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
SAFE = {"GET", "HEAD", "OPTIONS"}
# What Gradio serves and nothing here needs: other servers' files in this page's name.
CLOSED = re.compile(r"^/(gradio_api/)?(proxy=|monitoring|dev/)")
OTHER_NAME = "Headroom doesn't answer under this name. Open the address that it printed."
OTHER_SITE = "Only Headroom's own page may ask for that."


def names_for(host: str, addresses: Iterable[str]) -> set[str]:
    """The names that a page listening on ``host`` answers to.

    Args:
        addresses: this computer's own.
    """
    if host in ("0.0.0.0", "::", ""):
        own = {*addresses, socket.gethostname().lower()}
        return LOOPBACK | own | {f"{socket.gethostname().lower()}.local"}
    return LOOPBACK | {f"[{host}]" if ":" in host else host.lower()}


class Gate:
    """ASGI middleware: a refused request gets one sentence and reaches nothing."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app, self._names = app, names
        self._patience = Patience()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        status, sentence = self._judge(scope, headers)
        if status:
            await _refuse(scope, send, status, sentence)
        elif scope.get("method") == "POST" and scope["path"].rstrip("/").endswith("/login"):
            await self._login(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _judge(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str]:
        """A status and a sentence, or 0 where the request may pass."""
        host = headers.get("host", "")
        if re.sub(r":\d+$", "", host).lower() not in self._names:
            return 400, OTHER_NAME
        if CLOSED.match(scope["path"]):
            return 404, "There is nothing here."
        safe = scope["type"] == "http" and scope["method"] in SAFE
        origin = headers.get("origin")
        if not safe and origin is not None and urlsplit(origin).netloc != host:
            return 403, OTHER_SITE
        # Browsers say who asks; a link to the page may come from anywhere, nothing else may.
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site not in ("same-origin", "none") and not (safe and mode == "navigate"):
            return 403, OTHER_SITE
        return 0, ""

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wrong passwords slow down, which Gradio's own login doesn't."""
        address = (scope.get("client") or ("", 0))[0]
        if wait := self._patience.wait(address):
            sentence = f"That was the wrong login. Try again in {max(1, round(wait))} s."
            await _refuse(scope, send, 429, sentence)
            return

        async def look(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    self._patience.wrong(address)
                else:
                    self._patience.right(address)
            await send(message)

        await self._app(scope, receive, look)


async def _refuse(scope: Scope, send: Send, status: int, sentence: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": sentence, "detail": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
