"""What the library does with many clips at once, by a list of their numbers.

An answer says which are ``done`` and which ``failed``, and why; a refusal of all is in ``refused``.
A ZIP is asked for first, so that what is missing, or that it has to wait, is told on the page; the
address in the answer is then downloaded as any other file.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Len
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library import many
from engine.library.archive import zipped
from engine.text import Text
from ui.wording import say

MOST = 1000  # clips a call
ZIPS_AT_ONCE = 2  # each reads the drive as fast as its client takes it
ZIPS_KEPT = 20  # addresses that were given out: a browser may ask again


class Nothing(BaseModel):
    """A body without fields: what isn't known is refused, so that no misspelt one seems to work."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Ids(Nothing):
    ids: Annotated[list[Annotated[int, Field(ge=1, le=2**53)]], Len(1, MOST)]


class Favourites(Ids):
    on: bool


@dataclass(frozen=True)
class _Asked:
    """A ZIP that was asked for, with the words of whoever asked."""

    files: list[Path]
    missing: list[str]
    note: tuple[str, str]


class Zips:
    """The ZIPs that were asked for, and how many are sent now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._running = 0

    @property
    def full(self) -> bool:
        return self._running >= ZIPS_AT_ONCE

    def keep(self, asked: _Asked) -> str:
        """The end of the address where it can be had."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._asked[key] = asked
            while len(self._asked) > ZIPS_KEPT:
                self._asked.popitem(last=False)
        return key

    def get(self, key: str) -> _Asked | None:
        return self._asked.get(key)

    def begin(self) -> bool:
        """Whether another may be sent; then ``end`` has to be called."""
        with self._lock:
            if self.full:
                return False
            self._running += 1
            return True

    def end(self) -> None:
        with self._lock:
            self._running -= 1


class _Sent(StreamingResponse):
    """Ends with its client, whatever became of it, and not only when somebody collects garbage."""

    def __init__(
        self, blocks: Generator[bytes, None, None], ended: Callable[[], None], **about: Any
    ) -> None:
        super().__init__(blocks, **about)
        self._blocks, self._ended = blocks, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._blocks.close()
            self._ended()


def add_many_routes(app: FastAPI, engine: Engine, looks: list[Any], changes: list[Any]) -> None:
    """Everything below ``/library`` that takes a list of clips."""
    library, zips = engine.library, Zips()

    @app.post("/library/favourite", dependencies=changes)
    def favourite(asked: Favourites) -> dict[str, Any]:
        return _told(asked.ids, lambda: many.favourite(library, asked.ids, asked.on))

    @app.post("/library/trash", dependencies=changes)
    def trash(asked: Ids) -> dict[str, Any]:
        return _told(asked.ids, lambda: many.trash(library, asked.ids))

    @app.post("/library/restore", dependencies=changes)
    def restore(asked: Ids) -> dict[str, Any]:
        return _told(asked.ids, lambda: many.restore(library, asked.ids))

    @app.post("/library/zip", dependencies=changes)
    def ask_for_zip(asked: Ids) -> dict[str, Any]:
        if zips.full:
            return {"refused": say(Text("library_routes.zips_full", most=ZIPS_AT_ONCE))}
        files, missing, unknown = [], [], 0
        for number in dict.fromkeys(asked.ids):
            if (clip := library.get(number)) is None:
                unknown += 1
            elif library.lies_here(clip):
                files.append(library.place(clip))
            else:
                missing.append(clip.file)
        if not files:
            return {"refused": say(Text("library_routes.zip_empty"))}
        note = (say(Text("library_routes.zip_note")), say(Text("library_routes.zip_left_out")))
        key = zips.keep(_Asked(files, missing, note))
        return {"key": key, "count": len(files), "missing": missing, "unknown": unknown}

    @app.get("/library/zip/{key}", dependencies=looks)
    def send_zip(key: str, request: Request) -> Response:
        asked = zips.get(key)
        if asked is None:
            raise HTTPException(404, say(Text("library_routes.zip_gone")))
        if not zips.begin():
            raise HTTPException(429, say(Text("library_routes.zips_full", most=ZIPS_AT_ONCE)))
        name, said = asked.note
        files = asked.files if request.method == "GET" else []

        def note(left_out: list[str]) -> str:
            return "\n".join([said, "", *left_out, ""])

        return _Sent(
            zipped(files, (name, note), asked.missing),
            zips.end,
            media_type="application/zip",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment;filename="headroom-{len(asked.files)}.zip"',
            },
        )


def _told(ids: list[int], act: Callable[[], many.Failures]) -> dict[str, Any]:
    try:
        failed = act()
    except HeadroomError as error:
        return {"refused": say(error.text)}
    return {
        "done": [number for number in dict.fromkeys(ids) if number not in failed],
        "failed": [{"id": number, "why": say(error.text)} for number, error in failed.items()],
    }
