"""Other versions of clips: a clip of the library, or any dropped MP4, made smoother; and which
clips are versions of one."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request

from engine.default_model import default_smoother
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library.mp4 import ClipError, refuse_unless_mp4, shown_name
from engine.library.versions import Original, original_at, original_of, smoothed, versions
from engine.text import FileSize, Said, Text
from ui.server.access import known_fields, member, ours
from ui.server.incoming import write_body
from ui.tabs.batch import embeds
from ui.tabs.dropped import AT_ONCE, MOST_BYTES
from ui.tabs.library_many import Nothing
from ui.tabs.library_routes import Number, card, found
from ui.wording import say

Rate = Annotated[int, Query(ge=1, le=1000)]


class Smoother(Nothing):
    fps: int


def add_version_routes(app: FastAPI, engine: Engine) -> None:
    """``POST /clip/N/smooth`` and ``POST /video?fps=N``, the MP4 as its body: into the queue.
    ``GET /clip/N/versions``: the clip and its versions, oldest first."""
    looks = [Depends(member), Depends(known_fields)]
    changes = [*looks, Depends(ours)]
    turn = asyncio.Semaphore(AT_ONCE)

    @app.post("/clip/{number}/smooth", dependencies=changes)
    def smooth(number: Number, asked: Smoother) -> dict[str, Any]:
        try:
            return queued(engine, original_of(engine.library, found(engine, number)), asked.fps)
        except HeadroomError as error:
            return {"refused": say(error.text)}

    @app.post("/video", dependencies=changes)
    async def video(request: Request, fps: Rate, name: str = "") -> dict[str, Any]:
        called: Said = shown_name(name) or Text("dropped.the_file")
        async with turn:
            try:
                original = await received(request, engine, called)
                return await asyncio.to_thread(queued, engine, original, fps)
            except HeadroomError as error:
                return {"refused": say(error.text)}
            except OSError as error:
                reason = error.strerror or str(error)
                return {"refused": say(Text("library.cant_keep_video", file=called, reason=reason))}

    @app.get("/clip/{number}/versions", dependencies=looks)
    def all_of(number: Number) -> dict[str, Any]:
        try:
            alike = versions(engine.library, found(engine, number))
            return {"clips": [card(engine, clip) for clip in alike]}
        except HeadroomError as error:
            return {"refused": say(error.text)}


def queued(engine: Engine, original: Original, rate: object) -> dict[str, Any]:
    """Raises HeadroomError: ``original`` can't have that rate, or nothing can be queued now."""
    request = smoothed(original, default_smoother(engine).preset, rate)
    return {"job": engine.submit(request, embed=embeds(engine)).id}


async def received(request: Request, engine: Engine, name: Said) -> Original:
    """The video that is the body, kept from now on.

    Raises:
        ClipError: it isn't one that can be changed.
        OSError: the disk is full.
    """
    folder = engine.home.made(engine.home.cache)

    def first(part: bytes) -> None:
        if len(part) >= 8:
            refuse_unless_mp4(part[:8], name)

    def too_long() -> ClipError:
        return ClipError(
            Text("library.video_too_heavy", file=name, most=FileSize(MOST_BYTES)),
            Text("library.use_other_video"),
        )

    held = Path(
        tempfile.mkdtemp(prefix="dropped-", dir=folder)
    )  # dropped.py clears what a crash left
    try:
        path = held / "dropped.mp4"
        with path.open("wb") as file:
            await write_body(request, file, MOST_BYTES, too_long, first)
        return await asyncio.to_thread(original_at, engine.sources, path, name)
    finally:
        await asyncio.to_thread(shutil.rmtree, held, ignore_errors=True)
