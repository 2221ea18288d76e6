"""The page's scripts in one file, named by its content, and what the page's head begins with.

Gradio has scripts of a page within the page, so they come anew with every load, and it runs what
``head`` brings only after it has started itself, which is too late for a theme. So what has to be
done before anything is drawn stands in the head, and the rest in a file of ours, which a browser
asks for once and runs before Gradio's own.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui import icons
from ui.server.preloads import first_scripts
from ui.server.texts import script as texts_script
from ui.theme import ASSETS

FIRST = ("page/theme.js", "page/drawn.js")
THEN = ("page/node.js", "page/answers.js", "page/shortcuts.js")
SHORT = 100  # characters of a script that may stay where it is
FOREVER = "public, max-age=31536000, immutable"  # another content has another name


def tag_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def without_scripts(config: dict[str, Any]) -> dict[str, Any]:
    """A page's configuration whose components call their scripts in the file instead of holding
    them."""
    parts = []
    for part in config["components"]:
        code = part["props"].get("js_on_load") or ""
        if len(code) > SHORT:
            call = f"headroomParts[{json.dumps(_name(code))}].apply(null, arguments)"
            part = {**part, "props": {**part["props"], "js_on_load": call}}
        parts.append(part)
    return {**config, "components": parts}


def _name(code: str) -> str:
    return tag_of(code.encode())


@dataclass(frozen=True)
class OwnFiles:
    """The script of one page, a gr.Blocks."""

    page: Any

    @cached_property
    def script(self) -> bytes:
        codes = {
            _name(block.js_on_load): block.js_on_load
            for block in self.page.blocks.values()
            if len(getattr(block, "js_on_load", None) or "") > SHORT
        }
        # What Gradio calls a script with: its HTML component makes a function of each.
        parts = ",\n".join(
            f"{json.dumps(name)}: function (element, trigger, props, server, upload, watch) "
            f"{{\n{code}\n}}"
            for name, code in codes.items()
        )
        files = [
            texts_script(),
            icons.script(),
            *map(asset, THEN),
            f"window.headroomParts = {{\n{parts}\n}};",
        ]
        return "\n".join(files).encode()

    @cached_property
    def name(self) -> str:
        return f"page-{tag_of(self.script)}.js"

    @cached_property
    def head(self) -> str:
        """For the beginning of the page's head. ``defer``: scripts that are, and modules, run in
        the order in which they stand there, so ours is there when Gradio's begin."""
        css = re.sub(r"/\*.*?\*/\n?", "", asset("page/early.css"), flags=re.S)
        first = "".join(map(asset, FIRST))
        soon = "".join(
            f'<link rel="modulepreload" crossorigin href="./assets/{name}">'
            for name in first_scripts()
        )
        own = f'<script defer src="page/{self.name}"></script>'
        return f"<style>{css}</style><script>{first}</script>{soon}{own}"

    def add_route(self, app: FastAPI) -> None:
        """``GET /page/NAME``, for everybody: the login's page needs it, and it is what anybody can
        read in the source."""

        @app.get("/page/{name}")
        def own_file(name: str) -> Response:
            if name != self.name:
                raise HTTPException(404, "There is nothing here.")
            headers = {"Cache-Control": FOREVER}
            return Response(self.script, media_type="text/javascript", headers=headers)


class HeadFirst:
    """ASGI middleware: the page's head begins with ``files.head``."""

    def __init__(self, app: ASGIApp, files: OwnFiles) -> None:
        self._app, self._files = app, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def put_in(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            if message["type"] != "http.response.body":  # what only a test's client is told
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body = body.replace(b"<head>", b"<head>" + self._files.head.encode(), 1)
                own = (b"content-length", str(len(body)).encode())
                others = [pair for pair in start["headers"] if pair[0].lower() != own[0]]
                start = {**start, "headers": [*others, own]}
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, put_in)
