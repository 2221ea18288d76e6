"""What calls of Gradio's own addresses come to when they make no sense: a 4xx and a sentence.

Gradio answers 500 where a body isn't what it expects, where a value isn't among a field's choices,
and where an endpoint of ours refuses. Programs take 500 for "broken here, try again", so these are
told apart: who sent nonsense hears so, and only what fails in our own code stays a 500.
"""

import functools
import inspect
import json
import logging
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import HeadroomError
from ui.server import gate
from ui.server.gate import refuse
from ui.server.incoming import limited
from ui.wording import say

log = logging.getLogger(__name__)
BODY_LIMIT = 2**20  # bytes: the largest is a prompt for every line of a batch
# Where programs may send two pictures as text (ui/api/pictures.py).
WITH_PICTURES = re.compile(r"^/(mcp|gradio_api/(call|run)/(v2/)?generate)/?$")
WITH_PICTURES_LIMIT = 28_000_000
# These have limits of their own: ui/tabs/dropped.py, versions.py, pictures.py, ui/server/gate.py.
OWN_LIMIT = re.compile(r"^/(receipt|video|picture|gradio_api/upload/?)$")
SERVED_BY_GRADIO = re.compile(r"^/(gradio_api|static|assets|svelte|config|login|theme)\b")
GRADIOS = re.compile(r"^/gradio_api/")
DIRECT = re.compile(r"^/gradio_api/(run|api)/")
ROOMS = tuple(str(Path(__file__).parents[2] / room) + "/" for room in ("ui", "engine"))
NONSENSE = "This address doesn't accept that. GET /gradio_api/info says what each endpoint takes."
TOO_LONG = "That is too long."
FORM = "This address takes JSON, no form and no file."
BROKEN = "Something went wrong here; see the log."


class _TooLong(Exception):
    """The body has more bytes than its address takes."""


class Malformed:
    """ASGI middleware, between the gate and Gradio."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], dict(scope["headers"])
        kind = headers.get(b"content-type", b"").lower()
        form = kind.startswith(b"multipart/") and not OWN_LIMIT.match(path)
        if GRADIOS.match(path) and form:
            await refuse(scope, send, 415, FORM)
            return
        length = headers.get(b"content-length", b"")
        most = WITH_PICTURES_LIMIT if WITH_PICTURES.match(path) else BODY_LIMIT
        if length.isdigit() and int(length[:18]) > most and not OWN_LIMIT.match(path):
            await refuse(scope, send, 413, TOO_LONG)
            return
        answer = _Answer(send, bool(DIRECT.match(path)))
        try:
            bounded = receive if OWN_LIMIT.match(path) else limited(receive, most, _TooLong)
            await self._app(scope, bounded, answer.send)
        except _TooLong:
            if not answer.started:
                await refuse(scope, send, 413, TOO_LONG)
        except Exception as error:
            if not SERVED_BY_GRADIO.match(path) or _is_ours(error):
                raise
            if answer.started:  # a stream of events, which has told the error as its last one
                await send({"type": "http.response.body", "body": b""})
            else:
                await refuse(scope, send, 422, NONSENSE)


class _Answer:
    """Passes an answer on; Gradio's 500s to direct calls are held back and looked at."""

    def __init__(self, send: Send, direct: bool) -> None:
        self._send, self._direct = send, direct
        self._held: Message | None = None
        self._body = b""
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self._direct and message["status"] == 500:
                self._held = message
                return
        if self._held is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        status, body = _refusal(self._body)
        length = (b"content-length", str(len(body)).encode())
        headers = [pair for pair in self._held["headers"] if pair[0].lower() != length[0]]
        await self._send({**self._held, "status": status, "headers": [*headers, length]})
        await self._send({"type": "http.response.body", "body": body})


def _refusal(body: bytes) -> tuple[int, bytes]:
    """Status and body for Gradio's 500: a refusal has its sentence, nonsense has none."""
    try:
        told = json.loads(body)
        said = told["error"]
    except (ValueError, TypeError, KeyError):
        return 500, body
    if said == BROKEN:
        return 500, body
    if said is None:
        told["error"] = NONSENSE
    return 422, json.dumps(told).encode()


async def nonsense(_: Request, error: Exception) -> Response:
    """What a route answers to fields that it doesn't take: where and why, without the value itself.
    FastAPI would echo that, and fails where no JSON can hold it."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    why = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in found]
    body = json.dumps({"error": NONSENSE, "detail": why}, default=str)
    return Response(body, 422, media_type="application/json")


def _is_ours(error: BaseException) -> bool:
    """Whether a line of ours was at work when it was raised: those between Gradio and the network
    always are, so only what comes after the last of theirs counts."""
    between = (__file__, gate.__file__)
    return any(
        frame.filename.startswith(ROOMS)
        and frame.filename not in between
        and frame.name != "wrong_fields"  # which only passes it on
        for frame in traceback.extract_tb(error.__traceback__)
    )


def tell_faults(page: gr.Blocks) -> None:
    """Have what fails in an event of the page say so: without that, it couldn't be told from a
    call that makes no sense."""
    for event in page.fns.values():
        if event.fn is not None:
            event.fn = _telling(event.fn)


def _telling(act: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(act):

        @functools.wraps(act)
        async def told_later(*args: Any, **kwargs: Any) -> Any:
            try:
                return await act(*args, **kwargs)
            except gr.Error:
                raise
            except Exception as error:
                log.exception("an event of the page failed")
                raise gr.Error(BROKEN, print_exception=False) from error

        return told_later

    @functools.wraps(act)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return act(*args, **kwargs)
        except gr.Error:
            raise
        except Exception as error:
            log.exception("an event of the page failed")
            raise gr.Error(BROKEN, print_exception=False) from error

    return told


def no_store(_request: Request, error: Exception) -> Response:
    """A route that the database refused: locked, full or damaged, and what to do."""
    said = say(error.text) if isinstance(error, HeadroomError) else str(error)
    return JSONResponse({"detail": said}, 503)
