"""Other versions of clips: a clip of the library, or any dropped MP4, made smoother or larger; and
which clips are versions of one."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library.mp4 import ClipError, shown_name
from engine.library.versions import (
    OWN,
    Asked,
    Original,
    Wanted,
    has,
    original_at,
    original_of,
    versions,
)
from engine.text import FileSize, Said, Text
from ui.server.access import known_fields, member, ours
from ui.tabs import dropped
from ui.tabs.batch import embeds
from ui.tabs.library_many import Nothing
from ui.tabs.library_routes import Number, card, found
from ui.wording import say

Rate = Annotated[int, Query(ge=1, le=1000)]
Side = Annotated[int, Query(ge=1, le=10_000)]


class Smoother(Nothing):
    fps: int


class Larger(Nothing):
    height: int


def add_version_routes(app: FastAPI, engine: Engine) -> None:
    """``POST /clip/N/smooth``, ``/clip/N/enlarge``, and ``POST /video?fps=N`` or ``?side=N`` with
    the MP4 as its body: into the queue. ``GET /clip/N/versions``: the clip and its versions, oldest
    first."""
    looks = [Depends(member), Depends(known_fields)]
    changes = [*looks, Depends(ours)]
    turn = asyncio.Semaphore(dropped.AT_ONCE)

    @app.post("/clip/{number}/smooth", dependencies=changes)
    def smooth(number: Number, asked: Smoother) -> dict[str, Any]:
        return changed(number, Asked(fps=asked.fps))

    @app.post("/clip/{number}/enlarge", dependencies=changes)
    def enlarge(number: Number, asked: Larger) -> dict[str, Any]:
        return changed(number, Asked(height=asked.height))

    def changed(number: int, asked: Asked) -> dict[str, Any]:
        try:
            clip = found(engine, number)
            return queued(engine, original_of(engine.library, clip), asked, has(clip))
        except HeadroomError as error:
            return {"refused": say(error.text)}

    @app.post("/video", dependencies=changes)
    async def video(
        request: Request, fps: Rate | None = None, side: Side | None = None, name: str = ""
    ) -> dict[str, Any]:
        called: Said = shown_name(name) or Text("dropped.the_file")
        async with turn:
            try:
                original = await _original(request, engine, called)
                asked = Asked(fps, side=side)
                return await asyncio.to_thread(queued, engine, original, asked)
            except HeadroomError as error:
                return {"refused": say(error.text)}
            except OSError as error:
                reason = error.strerror or str(error)
                return {"refused": say(Text("library.cant_keep_video", file=called, reason=reason))}

    @app.get("/clip/{number}/versions", dependencies=looks)
    def all_of(number: Number) -> dict[str, Any]:
        try:
            alike = versions(engine.library, found(engine, number))
            together = FileSize(sum(bytes_of(engine.library.place(clip)) for clip in alike))
            told = say(Text("library_routes.versions_take", size=together))
            return {"clips": [card(engine, clip) for clip in alike], "take": told}
        except HeadroomError as error:
            return {"refused": say(error.text)}


def bytes_of(file: Path) -> int:
    """0 for one that is gone."""
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0


def queued(
    engine: Engine, original: Original, asked: Asked, before: Wanted = OWN
) -> dict[str, Any]:
    """Raises HeadroomError: ``original`` can't be so, or nothing can be queued now."""
    request = asked.request(original, engine.changers(), before)
    size = f"{request.width} × {request.height}"
    return {"job": engine.submit(request, embed=embeds(engine)).id, "size": size}


async def _original(request: Request, engine: Engine, name: Said) -> Original:
    """The video that is the body, kept from now on.

    Raises:
        ClipError: it isn't one that can be changed.
        OSError: the disk is full.
    """

    def too_long() -> ClipError:
        heavy = Text("library.video_too_heavy", file=name, most=FileSize(dropped.MOST_BYTES))
        return ClipError(heavy, Text("library.use_other_video"))

    async with dropped.received(request, engine, name, too_long) as file:
        return await asyncio.to_thread(original_at, engine.sources, file, name)
