"""What visitors reach: an app of its own, on a port of its own, that knows nothing but visits.

It isn't Gradio's: a share link needs a few small routes, and whatever isn't served can't be called.
Which port a request came through says whose it is; no header does, as headers can be made up.
"""

import asyncio
import re
from collections.abc import Container, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import HeadroomError
from engine.jobs import Job, State
from engine.library.mp4 import shown_name
from engine.process.own_files import is_own_file
from engine.request import Size
from engine.text import Said, Text
from engine.worker.status import EngineState
from ui import wording
from ui.server.access import answer_head
from ui.server.caller import forwarded_for, network, peer_of
from ui.server.compression import Compressed
from ui.server.incoming import TOO_MANY_OPEN, Places, limited, same_site
from ui.server.texts import script, texts_answer
from ui.share.visitors import PICTURE_BYTES, ShareError, Visitor, Visits, WrongPassword, told
from ui.tabs.theme_switch import theme_switch_html
from ui.theme import ASSETS
from ui.wording import language_of, say, speak, spoken

COOKIE = "headroom_visit"
BODY_LIMIT = 20_000  # bytes: a prompt has at most 2,000 characters
JOB = re.compile(r"[0-9]{1,18}")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; media-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
NOTHING_HERE = Text("visitors.nothing_here")
NO_TEXTS = Text("visitors.no_texts")
# By the body's field that isn't what it should be.
WRONG_FIELDS = {
    "password": NO_TEXTS,
    "name": NO_TEXTS,
    "job": Text("visitors.no_number"),
}


class VisitorRefused(HTTPException):
    """A status, and what is told with it."""

    def __init__(self, status: int, said: Text) -> None:
        super().__init__(status, str(said))
        self.said = said


class Body(BaseModel):
    """What isn't known is refused, so that no misspelt field seems to work."""

    model_config = ConfigDict(extra="forbid", strict=True)


class EnterBody(Body):
    password: str = ""
    name: str = ""


class Asked(BaseModel):
    """A request as it came: ``ClipRequest.check`` says in sentences what is wrong with it."""

    model_config = ConfigDict(extra="allow")


class Cancelling(Body):
    job: int


def build_app(visits: Visits, hosts: Container[str], tunnelled: bool) -> FastAPI:
    """The visitors' app, for one share.

    Args:
        tunnelled: whether requests come from a tunnel's end here, which says for whom.
        hosts: the names under which it is reached, without port; others are refused, so that no
            page elsewhere can have its own name point here. More may become known later.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Compressed)
    app.add_middleware(VisitorsGate, hosts=hosts, tunnelled=tunnelled)
    _tell_errors(app)
    _add_pages(app)
    _add_calls(app, visits, tunnelled)
    _add_files(app, visits)
    answer_head(app)
    return app


class VisitorsGate:
    """ASGI middleware, before all else: it sets the language that the answer is in, lets none but
    this page itself ask, and no endless body in."""

    def __init__(self, app: ASGIApp, hosts: Container[str], tunnelled: bool) -> None:
        self._app, self._hosts, self._tunnelled = app, hosts, tunnelled
        self._places = Places()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        speak(language_of(request.headers))
        with self._places.one(_address(request, self._tunnelled)) as free:
            answer = _refuse(request, self._hosts) or self._app
            if not free:
                answer = _error(TOO_MANY_OPEN, 429)
            most = PICTURE_BYTES if scope["path"] == "/picture" else BODY_LIMIT
            await answer(scope, limited(receive, most, _too_long), _with_headers(send))


def _refuse(request: Request, hosts: Container[str]) -> Response | None:
    """The answer to a request under another name, or sent by another site's page."""
    host = request.headers.get("host", "")
    if _name_in(host) not in hosts:
        return _error(Text("visitors.not_served"), 400)
    if request.method not in ("GET", "HEAD"):
        origin = request.headers.get("origin")
        if origin is None or not same_site(origin, host):
            return _error(Text("visitors.other_site"), 403)
    return None


def _too_long() -> VisitorRefused:
    return VisitorRefused(413, Text("visitors.too_long"))  # FastAPI passes it on


def _with_headers(send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return told


def _name_in(host: str) -> str:
    """Without the port; IPv6 keeps its brackets."""
    return re.sub(r":\d+$", "", host).lower()


def _tell_errors(app: FastAPI) -> None:
    """Every error is a sentence in JSON, and none is a traceback."""

    @app.exception_handler(HeadroomError)
    async def headroom(_: Request, error: HeadroomError) -> JSONResponse:
        headers = {}
        status = 409 if isinstance(error, ShareError) else 422
        if isinstance(error, WrongPassword):
            status, headers = 429, {"Retry-After": str(max(1, round(error.wait)))}
        return _error(error.text, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return _error(_why_invalid(error), 422)

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's own: bytes that it can't read
            return _error(Text("visitors.no_json"), 422)
        said = error.said if isinstance(error, VisitorRefused) else NOTHING_HERE
        return _error(said, error.status_code)

    @app.exception_handler(Exception)
    async def other(request: Request, error: Exception) -> JSONResponse:
        speak(language_of(request.headers))  # this one answers from outside of VisitorsGate
        return _error(Text("visitors.broken"), 500)


def _why_invalid(error: RequestValidationError) -> Text:
    """What is told of the first thing that is wrong with a body."""
    first = error.errors()[0]
    kind, where = first["type"], first["loc"]
    if kind == "json_invalid" or (kind == "missing" and where == ("body",)):
        return Text("visitors.no_json")
    return WRONG_FIELDS.get(str(where[-1]), Text("visitors.not_taken"))


def _error(said: Said, status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": say(said)}, status, headers)


def _add_pages(app: FastAPI) -> None:
    """The page and its files: the same for everybody, with nothing in them to hide."""
    files = {
        "theme.js": ("page/theme.js", "text/javascript"),
        "visitors.js": ("share/visitors.js", "text/javascript"),
        "theme.css": ("page/theme.css", "text/css"),
        "visitors.css": ("share/visitors.css", "text/css"),
    }
    page_html = (ASSETS / "share/visitors.html").read_text(encoding="utf-8")
    page_html = page_html.replace("<!--theme-->", theme_switch_html("quiet"))

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(page_html)

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name == "texts.js":
            return Response(script(), media_type="text/javascript")
        if name not in files:
            raise VisitorRefused(404, NOTHING_HERE)
        file, kind = files[name]
        return Response((ASSETS / file).read_text(encoding="utf-8"), media_type=kind)

    @app.get("/texts/zh.json")
    async def texts(request: Request) -> Response:
        return texts_answer(request)


def _add_calls(app: FastAPI, visits: Visits, tunnelled: bool) -> None:
    turn = asyncio.Semaphore(1)  # pictures that are read at once

    def who(request: Request) -> Visitor:
        return _visitor(visits, request)

    @app.post("/enter")
    async def enter(request: Request, asked: EnterBody) -> JSONResponse:
        address = _address(request, tunnelled)
        token = visits.share.enter(asked.password, asked.name, address)
        answer = JSONResponse({"entered": True})
        answer.set_cookie(
            COOKIE,
            token,
            max_age=round(visits.share.left),
            secure=tunnelled,  # HTTPS up to the share's server; in a local network it is HTTP
            httponly=True,
            samesite="strict",
        )
        return answer

    @app.get("/state")
    def state(visitor: Annotated[Visitor, Depends(who)]) -> Any:
        return spoken(state_for(visits, visitor))

    @app.post("/generate")
    def generate(asked: Asked, visitor: Annotated[Visitor, Depends(who)]) -> dict[str, Any]:
        return {"job": visits.submit(visitor, asked.model_dump()).id}

    @app.post("/picture")
    async def picture(
        request: Request, visitor: Annotated[Visitor, Depends(who)], name: str = ""
    ) -> dict[str, Any]:
        async with turn:
            data = await request.body()
            called: Said = shown_name(name) or Text("pictures.sent")
            taken = await asyncio.to_thread(visits.take_picture, visitor, data, called)
        return {"picture": taken}

    @app.post("/cancel")
    def cancel(asked: Cancelling, visitor: Annotated[Visitor, Depends(who)]) -> dict[str, Any]:
        visits.cancel(visitor, asked.job)
        return {"cancelled": asked.job}


def _add_files(app: FastAPI, visits: Visits) -> None:
    @app.get("/clip/{job}.{kind}")
    def clip(request: Request, job: str, kind: str) -> FileResponse:
        visitor = _visitor(visits, request)
        if not JOB.fullmatch(job) or kind not in ("mp4", "jpg"):
            raise VisitorRefused(404, NOTHING_HERE)
        found = visits.clip(visitor, int(job))
        path = visits.engine.home.clips / found.file if found else None
        if found is not None and kind == "jpg":
            path = visits.engine.posters.of(found)
        if path is None or not is_own_file(path):
            raise VisitorRefused(404, Text("visitors.no_clip"))
        name = f"headroom-{job}.mp4" if "download" in request.query_params else None
        media = "video/mp4" if kind == "mp4" else "image/jpeg"
        return FileResponse(path, media_type=media, filename=name)


def _visitor(visits: Visits, request: Request) -> Visitor:
    """Who asks. Raises VisitorRefused: nobody that was let in."""
    visitor = visits.share.visitor(request.cookies.get(COOKIE))
    if visitor is None:
        # The page knows by the status whether the password would help.
        if not visits.share.open:
            raise VisitorRefused(410, Text("visitors.ended"))
        raise VisitorRefused(401, Text("visitors.password_first"))
    return visitor


def _address(request: Request, tunnelled: bool) -> str:
    """Who asks, by address: through a tunnel all come from its end here, and the last entry is its
    server's own. Elsewhere whoever asks could have written it."""
    said = forwarded_for(request.scope) if tunnelled else None
    return network(said) if said else peer_of(request.scope)


# ---- what a visitor sees -------------------------------------------------------------------


def state_for(visits: Visits, visitor: Visitor) -> dict[str, Any]:
    """Flat, with texts where words belong: their own jobs, what they may ask for, how long the
    share lasts."""
    engine, preset = visits.engine, visits.preset
    said = {
        EngineState.FAILED: Text("visitors.engine_failed"),
        EngineState.LOADING: Text("visitors.engine_loading"),
    }.get(engine.status().state, Text("visitors.engine_ready"))
    return {
        "left": round(visits.share.left),
        "model": preset.name,
        "engine": said,
        "pictures": visits.picture_preset is not None,
        "sizes": _sizes(visits),
        "lengths": [
            {"frames": n, "text": Text("visitors.length", seconds=preset.seconds(n))}
            for n in engine.presets.frames_for(preset.id)
            if n <= visits.most.frames
        ],
        "chosen": {
            "height": visits.most.height,
            "width": visits.most.width,
            "frames": visits.most.frames,
        },
        "jobs": [_job(visits, job) for job in visits.jobs(visitor)],
    }


def _sizes(visits: Visits) -> list[dict[str, Any]]:
    presets, most = visits.engine.presets, visits.most
    sides = [(s.height, s.width) for s in presets.sizes_for(visits.preset.id)]
    sides = list(dict.fromkeys([(most.height, most.width), *sides]))
    return [
        {"height": h, "width": w, "text": f"{w} × {h}"}
        for h, w in sides
        if h * w <= most.pixels and Size(h, w, most.frames).tokens <= most.tokens
    ]


def _job(visits: Visits, job: Job) -> dict[str, Any]:
    paused = job.state is State.QUEUED and visits.engine.is_paused()
    shown: dict[str, Any] = {
        "id": job.id,
        "prompt": job.request.prompt,
        "state": job.state.value,
        "before": visits.before(job) if job.state is State.QUEUED else 0,
        "stage": "",
        "left": "",
        "fraction": 0.0,
        "clip": job.state is State.DONE,
        "told": Text("visitors.paused") if paused else told(job),
    }
    progress = visits.engine.progress(job) if job.state is State.RUNNING else None
    if progress is not None:
        shown["stage"] = wording.stage(progress)
        shown["left"] = wording.time_left(visits.engine.time_left(job))
        shown["fraction"] = round(progress.total, 3)
    return shown
