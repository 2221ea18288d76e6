"""What visitors reach: an app of its own, on a port of its own, that knows nothing but visits.

It isn't Gradio's: a share link needs a few small routes, and whatever isn't served can't be called.
Which port a request came through says whose it is; no header does, as headers can be made up.
"""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteHTTPException

from engine.errors import HeadroomError
from engine.jobs import Job, State
from engine.library.library import is_own_file
from engine.request import Size
from engine.worker.status import EngineState
from ui import wording
from ui.server.texts import script, texts_answer
from ui.share.visitors import ShareError, Visitor, Visits, WrongPassword, told
from ui.theme import ASSETS

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
Next = Callable[[Request], Awaitable[Response]]


def build_door(visits: Visits, hosts: set[str], tunnelled: bool) -> FastAPI:
    """The visitors' app, for one share.

    Args:
        tunnelled: whether requests come from a tunnel's end here, which says for whom.
        hosts: the names under which it is reached, without port; others are refused, so that no
            page elsewhere can have its own name point here. Filled as they become known.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def guard(request: Request, go_on: Next) -> Response:
        refused = _refuse(request, hosts)
        response = refused or await go_on(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    _tell_errors(app)
    _add_pages(app)
    _add_calls(app, visits, tunnelled)
    _add_files(app, visits)
    return app


def _refuse(request: Request, hosts: set[str]) -> Response | None:
    """The answer to a request under another name, or sent by another site's page."""
    host = request.headers.get("host", "")
    if _name_in(host) not in hosts:
        return JSONResponse({"error": "This address isn't served here."}, 400)
    if request.method not in ("GET", "HEAD"):
        origin = request.headers.get("origin")
        if origin is None or urlsplit(origin).netloc != host:
            return JSONResponse({"error": "Only this page itself may ask for that."}, 403)
    return None


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
        return JSONResponse({"error": str(error)}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "That isn't what this address takes."}, 422)

    @app.exception_handler(StarletteHTTPException)
    async def http(_: Request, error: StarletteHTTPException) -> JSONResponse:
        said = error.detail if isinstance(error, HTTPException) else "There is nothing here."
        return JSONResponse({"error": said}, error.status_code)

    @app.exception_handler(Exception)
    async def other(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "That went wrong here; the owner's log says why."}, 500)


def _add_pages(app: FastAPI) -> None:
    """The page and its files: the same for everybody, with nothing in them to hide."""
    files = {
        "visitors.js": ("share/visitors.js", "text/javascript"),
        "visitors.css": ("share/visitors.css", "text/css"),
    }

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse((ASSETS / "share/visitors.html").read_text(encoding="utf-8"))

    @app.get("/static/{name}")
    async def static(name: str) -> Response:
        if name == "texts.js":
            return Response(script(), media_type="text/javascript")
        if name not in files:
            raise HTTPException(404, "There is nothing here.")
        file, kind = files[name]
        return Response((ASSETS / file).read_text(encoding="utf-8"), media_type=kind)

    @app.get("/texts/zh.json")
    async def texts(request: Request) -> Response:
        return texts_answer(request)


def _add_calls(app: FastAPI, visits: Visits, tunnelled: bool) -> None:
    @app.post("/enter")
    async def enter(request: Request) -> JSONResponse:
        asked = await _body(request, {"password", "name"})
        password, name = asked.get("password", ""), asked.get("name", "")
        if not isinstance(password, str) or not isinstance(name, str):
            raise HTTPException(422, "Password and name are texts.")
        token = visits.share.enter(password, name, _address(request, tunnelled))
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
    def state(request: Request) -> dict[str, Any]:
        return state_for(visits, _visitor(visits, request))

    @app.post("/generate")
    async def generate(request: Request) -> dict[str, Any]:
        visitor = _visitor(visits, request)
        asked = await _body(request, None)
        job = await run_in_threadpool(visits.submit, visitor, asked)
        return {"job": job.id}

    @app.post("/cancel")
    async def cancel(request: Request) -> dict[str, Any]:
        visitor = _visitor(visits, request)
        job = (await _body(request, {"job"})).get("job")
        if not isinstance(job, int) or isinstance(job, bool):
            raise HTTPException(422, "job: it is a number.")
        await run_in_threadpool(visits.cancel, visitor, job)
        return {"cancelled": job}


def _add_files(app: FastAPI, visits: Visits) -> None:
    @app.get("/clip/{job}.{kind}")
    def clip(request: Request, job: str, kind: str) -> FileResponse:
        visitor = _visitor(visits, request)
        if not JOB.fullmatch(job) or kind not in ("mp4", "jpg"):
            raise HTTPException(404, "There is nothing here.")
        found = visits.clip(visitor, int(job))
        path = visits.engine.home.clips / found.file if found else None
        if path is not None and kind == "jpg":
            path = path.with_suffix(".jpg")
        if path is None or not is_own_file(path):
            raise HTTPException(404, "This clip isn't there.")
        name = f"headroom-{job}.mp4" if "download" in request.query_params else None
        media = "video/mp4" if kind == "mp4" else "image/jpeg"
        return FileResponse(path, media_type=media, filename=name)


def _visitor(visits: Visits, request: Request) -> Visitor:
    """Who asks. Raises HTTPException: nobody that was let in."""
    visitor = visits.share.visitor(request.cookies.get(COOKIE))
    if visitor is None:
        ended = not visits.share.open
        said = "This share has ended." if ended else "Enter the password first."
        raise HTTPException(410 if ended else 401, said)  # by which the page knows them apart
    return visitor


async def _body(request: Request, fields: set[str] | None) -> dict[str, object]:
    """A small JSON object with none but these fields.

    Raises:
        HTTPException: it is something else.
    """
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_LIMIT:
            raise HTTPException(413, "That is too long.")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, "That isn't JSON.") from error
    if not isinstance(found, dict) or (fields is not None and not set(found) <= fields):
        raise HTTPException(422, "That isn't what this address takes.")
    return found


def _address(request: Request, tunnelled: bool) -> str:
    """Who tries passwords: only the last entry is the tunnel server's own."""
    forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    peer = request.client.host if request.client else ""
    return (forwarded if tunnelled else "")[:60] or peer


# ---- what a visitor sees -------------------------------------------------------------------


def state_for(visits: Visits, visitor: Visitor) -> dict[str, Any]:
    """Flat and JSON-ready: their own jobs, what they may ask for, how long the share lasts."""
    engine, preset = visits.engine, visits.preset
    said = {EngineState.FAILED: "not working now", EngineState.LOADING: "being loaded"}.get(
        engine.status().state, "ready"
    )
    return {
        "left": round(visits.share.left),
        "model": preset.name,
        "engine": said,
        "sizes": _sizes(visits),
        "lengths": [
            {"frames": n, "text": f"{preset.seconds(n):.1f} s"}
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
    status = visits.engine.status()
    shown: dict[str, Any] = {
        "id": job.id,
        "prompt": job.request.prompt,
        "state": job.state.value,
        "before": visits.before(job) if job.state is State.QUEUED else 0,
        "stage": "",
        "left": "",
        "fraction": 0.0,
        "clip": job.state is State.DONE,
        "told": told(job),
    }
    progress = status.progress
    if job.state is State.RUNNING and progress is not None and progress.job == job.id:
        past = visits.engine.guard.last_seconds(job.request.model, job.request.size)
        shown["stage"] = wording.stage(progress)
        shown["left"] = wording.time_left(progress.time_left(past))
        shown["fraction"] = round(progress.total, 3)
    return shown
