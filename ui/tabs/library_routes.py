"""What the library's lists ask for and do: routes of our own, by a clip's number and never a path.

Gradio's login covers its own routes only, so each of these asks for it. Whatever changes something
wants a header that no page from elsewhere can send. A refusal is an answer like any other, with
its sentence in ``refused``: browsers log every status above 399 as a fault of the page.
"""

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Request
from fastapi.responses import FileResponse, Response

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library import file_manager, reader_process
from engine.library.larger import offered
from engine.library.library import Clip, Key, Query, days_left
from engine.library.mp4 import ClipError
from engine.library.reader_process import IDENTICAL, Likeness
from engine.machine.addresses import is_loopback
from engine.request import RANDOM_SEED, ClipRequest
from engine.text import Said, Text
from engine.timing import RATES
from ui import wording
from ui.server.access import known_fields, member, ours
from ui.tabs.batch import embeds
from ui.tabs.library import receipt_rows, size_of
from ui.tabs.library_many import Nothing, add_many_routes
from ui.wording import say, spoken

MOST = 200  # clips an answer
# A clip never changes, and its address names its time, too: a library begun afresh has other ones.
CACHED = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
NO_STILL = (  # library.js knows it by its width, and asks again
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="9" viewBox="0 0 16 9">'
    '<rect width="16" height="9" fill="#94a3b8"/>'
    '<path d="M6.5 2.8v3.4l3-1.7z" fill="#f8fafc"/></svg>'
)

Number = Annotated[int, Path(ge=1, le=2**53)]


class Favourite(Nothing):
    on: bool


class Again(Nothing):
    """``exact``: by the model whose draft the clip is."""

    fresh: bool
    exact: bool = False


def add_clip_routes(app: FastAPI, engine: Engine) -> None:
    """Everything below ``/library`` and ``/clip``."""
    looks = [Depends(member), Depends(known_fields)]
    changes = [*looks, Depends(ours)]
    _add_files(app, engine, looks)
    _add_lists(app, engine, looks, changes)
    _add_changes(app, engine, changes)
    add_many_routes(app, engine, looks, changes)

    @app.post("/clip/{number}/folder", dependencies=changes)
    def folder(number: Number, request: Request, _: Nothing | None = None) -> dict[str, Any]:
        if not sits_here(request):
            return {"refused": say(Text("library_routes.only_here"))}
        return told(lambda: file_manager.show(engine.library.place(found(engine, number))))


def _add_files(app: FastAPI, engine: Engine, looks: list[Any]) -> None:
    @app.get("/clip/{number}", dependencies=looks)
    def clip(number: Number, download: bool = False) -> Response:
        one = found_here(engine, number)
        return FileResponse(
            engine.library.place(one),
            headers=CACHED,
            media_type="video/mp4",
            filename=one.file,
            content_disposition_type="attachment" if download else "inline",
        )

    @app.get("/thumb/{number}", dependencies=looks)
    def thumb(number: Number) -> Response:
        one = engine.library.get(number)
        if one is None:
            raise HTTPException(404, say(Text("library.gone")))
        still = None
        with contextlib.suppress(OSError):  # the drive of the clips doesn't answer
            still = engine.posters.of(one)
        if still is None:
            uncached = {"Cache-Control": "no-store"}
            return Response(NO_STILL, media_type="image/svg+xml", headers=uncached)
        return FileResponse(still, headers=CACHED, media_type="image/jpeg")


def _add_lists(app: FastAPI, engine: Engine, looks: list[Any], changes: list[Any]) -> None:
    library, models = engine.library, engine.presets.models

    @app.get("/library", dependencies=looks)
    def page(
        request: Request,
        words: str = "",
        model: str = "",
        size: str = "",
        favourites: bool = False,
        trash: bool = False,
        stacked: bool = False,
        after: str = "",
        limit: int = 60,
    ) -> dict[str, Any]:
        height, width = _size(size)
        query = Query(words, model, height, width, favourites, trash, stacked)
        seen = library.page(query, _key(after), min(max(limit, 1), MOST))
        many = library.stacks(seen.clips) if stacked else {}
        answer: dict[str, Any] = {
            "clips": [card(engine, clip, many.get(clip.id, 1)) for clip in seen.clips],
            "count": seen.count,
            "next": f"{seen.next[0]}|{seen.next[1]}" if seen.next else "",
        }
        if not after:
            names, shapes = library.kinds()
            answer["models"] = [(id, models[id].name if id in models else id) for id in names]
            answer["sizes"] = [(f"{h}×{w}", f"{w} × {h}") for h, w in shapes]
            answer["folder"] = sits_here(request)
        return answer

    @app.post("/library/scan", dependencies=changes)
    def scan(_: Nothing | None = None) -> dict[str, Any]:
        seen = engine.folder_sync.scan()
        refused = dict(seen.refused)
        return {
            "changed": seen.changed,
            "young": seen.young,
            "not_taken": spoken([refused[file] for file in sorted(refused)]),  # each names its file
            "problem": say(seen.problem),
        }

    @app.get("/clip/{number}/receipt", dependencies=looks)
    def receipt(number: Number) -> dict[str, Any]:
        try:
            return {"rows": spoken(receipt_rows(found(engine, number), engine))}
        except HeadroomError as error:
            return {"refused": say(error.text)}

    @app.get("/clip/{number}/likeness/{other}", dependencies=looks)
    def likeness(number: Number, other: Number) -> dict[str, Any]:
        both = [found_here(engine, each) for each in (number, other)]
        if len({wording.fps_of(engine.presets, each.request) for each in both}) > 1:
            return {"words": say(Text("library_routes.other_rates"))}
        places = [library.place(each) for each in both]
        try:
            alike = reader_process.likeness(*places)
        except ClipError as error:
            return {"words": say(error.sentence)}
        except HeadroomError as error:
            return {"refused": say(error.text)}
        return {"words": say(likeness_text(alike))}


def _add_changes(app: FastAPI, engine: Engine, changes: list[Any]) -> None:
    library = engine.library

    @app.post("/clip/{number}/favourite", dependencies=changes)
    def favourite(number: Number, asked: Favourite) -> dict[str, Any]:
        return told(lambda: library.favourite(number, asked.on))

    @app.post("/clip/{number}/trash", dependencies=changes)
    def trash(number: Number, _: Nothing | None = None) -> dict[str, Any]:
        return told(lambda: library.trash(number))

    @app.post("/clip/{number}/restore", dependencies=changes)
    def restore(number: Number, _: Nothing | None = None) -> dict[str, Any]:
        return told(lambda: library.restore(number))

    @app.post("/clip/{number}/again", dependencies=changes)
    def again(number: Number, asked: Again) -> dict[str, Any]:
        """Into the queue: the same clip, with a seed that is drawn, or exact where it's a draft."""
        return told(lambda: queue_again(engine, number, asked.fresh, asked.exact))


def card(engine: Engine, clip: Clip, stack: int = 1) -> dict[str, Any]:
    """A clip as the lists draw it: words of the request's language, and numbers. ``stack``: it
    stands for so many versions, which have its ``root``."""
    request, models = clip.request, engine.presets.models
    known = models.get(request.model)
    fps = wording.fps_of(engine.presets, request)
    seconds = clip.frames / fps
    return {
        "id": clip.id,
        "version": "".join(filter(str.isdigit, clip.created)),
        "prompt": request.prompt,
        "model": known.name if known else request.model,
        "draft": known is not None and known.draft_of is not None,
        "size": say(_with_rate(size_of(clip, engine), request)),
        "length": say(_with_rate(Text("library_routes.length", seconds=seconds), request)),
        "fps": fps,
        "rates": [rate for rate in RATES if rate > fps],
        "larger": [asdict(picture) for picture in offered(request)],
        "is_version": request.source is not None,
        "root": clip.root,
        "stack": stack,
        "width": request.width,
        "height": request.height,
        "seed": clip.receipt["seed"],
        "created": clip.created,
        "favourite": clip.favourite,
        "days": days_left(clip.trashed) if clip.trashed else None,
    }


def _with_rate(told: Said, request: ClipRequest) -> Said:
    """``told``, of a version with its frames a second: its model doesn't say them."""
    if request.fps is None:
        return told
    return Text("library_routes.with_rate", told=told, fps=request.fps)


def queue_again(engine: Engine, number: int, fresh: bool, exact: bool = False) -> None:
    """Into the queue: a clip of the library as it is, or with a seed that is drawn.

    Args:
        exact: make it with the model whose draft it is; nothing else changes for other clips.

    Raises:
        HeadroomError: it isn't there any more, or can't be made here.
    """
    raw = asked_of(engine, found(engine, number))
    if fresh:
        raw["seed"] = RANDOM_SEED
    request = ClipRequest.check(raw, engine.presets)
    if exact:
        request = replace(request, model=engine.presets.models[request.model].weights_of)
    engine.submit(request, embed=embeds(engine))


def asked_of(engine: Engine, clip: Clip) -> dict[str, object]:
    """What ``clip`` was made of, with pictures that are kept here; still untrusted.

    Raises:
        PictureError: one is neither kept nor in the clip's file.
    """
    return engine.intake.asked_of(clip.request, clip.receipt, engine.library.place(clip))


def found(engine: Engine, number: int) -> Clip:
    """Raises LibraryError: there is no such clip."""
    return engine.library.found(number)


def found_here(engine: Engine, number: int) -> Clip:
    """Raises HTTPException (404): there is no such clip, or its file isn't where it was."""
    clip = engine.library.get(number)
    if clip is None or not engine.library.lies_here(clip):
        raise HTTPException(404, say(Text("library.gone")))
    return clip


def likeness_text(alike: Likeness) -> Text:
    """What the figures say, in words."""
    if alike.psnr >= IDENTICAL:
        return Text("library_routes.same_pictures", frames=alike.frames)
    figures = {"psnr": alike.psnr, "ssim": alike.ssim, "frames": alike.frames}
    return Text("library_routes.likeness", **figures)


def told(act: Callable[[], None]) -> dict[str, Any]:
    try:
        act()
    except HeadroomError as error:
        return {"refused": say(error.text)}
    return {}


def sits_here(request: Request) -> bool:
    """Whether whoever asks sits at this computer: nothing in between that may speak for others,
    such as a tunnel or a proxy, and an address that names this computer, not some page's."""
    passed_on = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "via"))
    if passed_on or request.client is None:
        return False
    near = is_loopback(request.client.host)
    return near and request.url.hostname in ("localhost", "127.0.0.1", "::1")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("×")
    if height.isascii() and width.isascii() and height.isdigit() and width.isdigit():
        return int(height[:9]), int(width[:9])
    return 0, 0


def _key(text: str) -> Key | None:
    moment, _, number = text.rpartition("|")
    if moment and number.isascii() and number.isdigit():
        return moment[:40], int(number[:15])
    return None
