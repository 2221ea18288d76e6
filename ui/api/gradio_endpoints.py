"""The named endpoints for gradio_client (and curl), and the clips' own addresses.

Waiting holds neither a thread nor a place in Gradio's queue, so the page's own events never stand
behind a clip. Clips are named by their number; no path comes in from outside.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import gradio as gr
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse

from engine.errors import HeadroomError
from engine.jobs import Job
from engine.library.library import Clip
from engine.library.versions import Asked
from engine.process.own_files import is_own_file
from ui.api.answers import PLACE, Answers, flag, size_fields
from ui.api.shapes import Checked, LibraryTold, Made, PauseTold, Queued, StatusTold
from ui.server.access import known_fields, logged_in
from ui.server.login import NotLoggedIn, PageLogin
from ui.server.throttle import TooManyTries
from ui.wording import say

P = ParamSpec("P")
T = TypeVar("T")


def add_endpoints(answers: Answers) -> None:
    """``/generate``, ``/enhance``, ``/status``, ``/cancel``, ``/pause``, ``/resume``, ``/check``
    and ``/library``, within a gr.Blocks.

    What they are documented to do and to answer is their docstrings and ``ui.api.shapes``.
    """

    async def generate(
        request: gr.Request,
        prompt: str,
        model: str | None = None,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
        seed: int = -1,
        wait: bool = True,
        receipt: bool = True,
        image: str | dict[str, Any] | None = None,
        last_image: str | dict[str, Any] | None = None,
        fit: str | None = None,
        loras: list[str] | None = None,
    ) -> Made:
        """Make one clip: braces in the prompt are characters. model left out is this machine's
        usual one; height, width and frames left out are the model's default; seed -1 draws one;
        receipt says whether the MP4 holds its receipt.

        image is a picture that the clip begins with, last_image one that it ends with: a file
        (gradio_client's handle_file), a data URL, or the SHA-256 of one that was used before. With
        image, height and width left out follow its shape; fit is crop (the default) or pad. loras
        are names in Headroom's folder of adapters, each perhaps with a strength: ["film:0.8"].

        With wait, the answer comes when the clip is made: its receipt, its number in the library,
        and the file as "clip", which gradio_client downloads. Meanwhile job.status() of
        gradio_client has stage and progress. Without wait, the answer is the job and its place:
        ask /status for it.

        The engine owns the job: it goes on when the client stops waiting, disconnects or calls
        job.cancel(). Only /cancel ends it.
        """
        fields = {"prompt": prompt, **size_fields(model, height, width, frames), "seed": seed}
        fields |= {"image": image, "last_image": last_image, "fit": fit, "loras": loras}
        return await made(request, partial(answers.submit, fields, receipt), wait)

    async def enhance(
        request: gr.Request,
        clip: int,
        fps: int | None = None,
        wait: bool = True,
        receipt: bool = True,
        height: int | None = None,
        scale: float | None = None,
    ) -> Made:
        """Make a clip of the library smoother or larger, by its number there: fps is 24, 30, 32, 48
        or 60 frames a second, height is in pixels, scale how many times as large; with none of them
        it has twice as many frames. It becomes another clip; wait, receipt and the answer are as in
        /generate."""
        asked = Asked(fps, height, scale)
        return await made(request, partial(answers.enhance, clip, asked, receipt), wait)

    async def made(request: gr.Request, submit: Callable[[], Job], wait: object) -> Made:
        if not flag("wait", wait):
            job = await asyncio.to_thread(submit)
            return cast(Made, await asyncio.to_thread(answers.queued, job))
        bar = gr.Progress()

        async def told(fraction: float, sentence: str) -> None:
            bar(fraction, desc=sentence)

        # Gradio gives the clip out of a copy there; where none can be made, it says nothing.
        home = answers.engine.home
        await asyncio.to_thread(home.writable, home.cache / "gradio")
        with answers.a_seat():
            job = await asyncio.to_thread(submit)
            job = await answers.wait(job, told)
        clip = await asyncio.to_thread(answers.made, job)
        await asyncio.to_thread(home.writable, home.cache / "gradio")
        return _made(answers, clip, job.id, origin(request))

    async def status(request: gr.Request, job: int | None = None) -> StatusTold:
        """What the engine does, what runs and what waits; with the number of a job, how it is with
        that one: its state (queued, running, done, failed, cancelled), what happened, what to do
        about it, and its clip. fraction is 0 to 1 over the whole clip."""
        return await asyncio.to_thread(answers.status, job, origin(request))

    async def cancel(job: int) -> Queued:
        """Cancel a job by its number: one that waits at once, one that runs at its next transformer
        block, when /status says so. What has ended stays as it is."""
        return await asyncio.to_thread(answers.cancel, job)

    async def pause(now: bool = False) -> PauseTold:
        """Begin no clip until /resume, also after a restart. What runs is finished; with now it
        goes back into the queue instead. Then the model's memory is free for other programs.
        /generate still queues."""
        return await asyncio.to_thread(answers.pause, now)

    async def resume() -> PauseTold:
        """End a pause, whoever began it: the queue goes on with what waits first. Without a pause
        nothing happens."""
        return await asyncio.to_thread(answers.resume)

    async def check(
        model: str | None = None,
        height: int | None = None,
        width: int | None = None,
        frames: int | None = None,
    ) -> Checked:
        """May this size run on this machine now, and why: open, busy (others hold the memory),
        locked (not measured yet) or impossible. What is left out is as in /generate."""
        return await asyncio.to_thread(answers.check, size_fields(model, height, width, frames))

    async def library(
        request: gr.Request, search: str = "", limit: int = 20, offset: int = 0
    ) -> LibraryTold:
        """Clips made here, newest first; all words of search are in their prompts, limit is at most
        200, and total counts all that were found. seconds is what a clip took to make."""
        return await asyncio.to_thread(answers.library, search, limit, offset, origin(request))

    endpoints: tuple[Callable[..., Awaitable[object]], ...] = (
        generate,
        enhance,
        status,
        cancel,
        pause,
        resume,
        check,
        library,
    )
    for endpoint in endpoints:
        gr.api(
            _in_sentences(endpoint),
            api_name=endpoint.__name__,
            api_description=inspect.getdoc(endpoint),
            concurrency_limit=None,
        )


def _in_sentences(endpoint: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """What goes wrong reaches the client as its sentence and remedy, and no log as a traceback."""

    @wraps(endpoint)
    async def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await endpoint(*args, **kwargs)
        except HeadroomError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return told


def _made(answers: Answers, clip: Clip, job: int, base: str) -> Made:
    """Everything that ``generate --json`` prints but the path: gradio_client takes whatever has
    a path for a file to download, and that is ``clip``."""
    path = answers.engine.home.clips / clip.file
    receipt = {key: value for key, value in clip.receipt.items() if key in Made.__annotations__}
    made = {
        "job": job,
        "state": "done",
        "place": None,
        "id": clip.id,
        "url": base + PLACE.format(clip.id),
        "clip": {"path": str(path), "orig_name": clip.file, "meta": {"_type": "gradio.FileData"}},
        **receipt,
    }
    return cast(Made, made)


def origin(request: Any) -> str:
    """The page's address as the client sees it, without a slash at its end."""
    inner: Request = getattr(request, "request", request)
    return f"{inner.url.scheme}://{inner.url.netloc}"


def add_clips(app: FastAPI, answers: Answers, login: PageLogin) -> None:
    """``GET /clips/NUMBER.mp4``, with the page's cookie or the login itself."""

    @app.get(PLACE.format("{number}"), dependencies=[Depends(known_fields)])
    def clip(number: int, request: Request) -> FileResponse:
        if not logged_in(app, request):
            _ask(login, request)
        found = answers.engine.library.get(number)
        path = answers.engine.home.clips / Path(found.file).name if found else None
        if path is None or found is None or found.trashed or not is_own_file(path):
            raise HTTPException(404, f"There is no clip {number}.")
        return FileResponse(path, filename=path.name, content_disposition_type="inline")


def _ask(login: PageLogin, request: Request) -> None:
    """Raises HTTPException: it isn't the page's login, or none is looked at now."""
    try:
        login.ask(request.scope)
    except NotLoggedIn as error:
        raise HTTPException(401, say(error.text)) from error
    except TooManyTries as error:
        wait = {"Retry-After": str(error.seconds)}
        raise HTTPException(429, say(error.text), wait) from error


def wrong_fields(request: Request, error: Exception) -> JSONResponse:
    """Gradio answers curl's wrong field names with a bare 500; anything else stays as it was.

    Raises:
        Exception: ``error`` itself, where it is about something else.
    """
    if "/call/v2/" not in request.url.path:
        raise error
    what = str(error).partition(". ")[0]
    remedy = "GET /gradio_api/info lists the fields of each endpoint."
    return JSONResponse({"error": f"{what}.", "remedy": remedy}, 422)
