"""What a clip begins and ends with: two places for pictures in the form.

A picture goes through a route of our own (``POST /picture``), which keeps it by its SHA-256; the
form then holds that (held.py). pictures.js draws the places from what is held, and shows what of a
picture is seen at the chosen size.
"""

import asyncio
import contextlib
import html
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as Part
from fastapi.responses import FileResponse

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library import reader_process
from engine.library.intake import Picture
from engine.library.library import LibraryError
from engine.library.mp4 import shown_name
from engine.pictures.plain import MOST_BYTES, too_large
from engine.text import Said, Text
from ui import wording
from ui.icons import icon
from ui.server.access import known_fields, member, ours
from ui.server.incoming import write_body
from ui.theme import ASSETS
from ui.wording import say

AT_ONCE = 2  # uploads
LAST = 1e6  # seconds: no clip is that long
TYPES = "image/png,image/jpeg,image/webp,image/avif,image/heic,image/heif,image/gif,.heic,.avif"
# A picture never changes: its address is its content.
CACHED = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}
SLOTS = """
<div class="pictures" data-held="">
  <div class="slot" data-slot="image">
    <label class="lib-button choose">{picture}<span>Start from a picture…</span><input type="file"
      accept="{types}" aria-label="Start from a picture"></label>
    <figure hidden><img alt="The clip's first picture"><button type="button" class="lib-icon remove"
      aria-label="Remove the first picture" title="Remove">{cancel}</button>
      <figcaption>First</figcaption></figure>
  </div>
  <div class="slot" data-slot="last_image" hidden>
    <label class="lib-button choose">{picture}<span>End with one…</span><input type="file"
      accept="{types}" aria-label="End with a picture"></label>
    <figure hidden><img alt="The clip's last picture"><button type="button" class="lib-icon remove"
      aria-label="Remove the last picture" title="Remove">{cancel}</button>
      <figcaption>Last</figcaption></figure>
  </div>
  <div class="fit" role="group" aria-label="A picture of another shape" hidden>
    <button type="button" class="lib-button" data-fit="crop" aria-pressed="true">Crop</button>
    <button type="button" class="lib-button" data-fit="pad" aria-pressed="false">Whole</button>
  </div>
  <p class="told" role="status"></p>
</div>
"""
Moment = Annotated[float, Query(ge=0, le=3600)]  # seconds
Digest = Annotated[str, Part(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Pictures:
    """``places`` fires ``select`` with ``pictures``, a SHA-256 by slot ("" takes one away), or with
    a ``fit``; ``held`` is the form's value (held.py), ``told`` what was said of the last change."""

    places: gr.HTML
    held: gr.Textbox
    told: gr.HTML


def build_pictures() -> Pictures:
    signs = {name: icon(name) for name in ("picture", "cancel")}
    places = gr.HTML(
        SLOTS.format(types=TYPES, **signs),
        elem_id="pictures",
        js_on_load=(ASSETS / "page/pictures.js").read_text(encoding="utf-8"),
    )
    # Not invisible, of which Gradio would tell no change.
    held = gr.Textbox("", visible="hidden", elem_id="held")
    tell = (ASSETS / "page/held.js").read_text(encoding="utf-8")
    held.change(None, held, None, js=tell, queue=False, api_visibility="private")
    return Pictures(places, held, gr.HTML("", elem_id="pictures-told", js_on_load=None))


def said_html(said: Said) -> str:
    return f"<p class='hint' role='status'>{html.escape(say(said))}</p>" if said else ""


def add_picture_routes(app: FastAPI, engine: Engine) -> None:
    """``POST /picture``: a picture as the body; the answer has its ``sha256``, or why it was
    ``refused``. ``GET /picture/SHA256``: its plain copy. ``POST /clip/N/frame``: a picture of a
    clip becomes one that is kept. ``POST /clip/N/end``: so does its last one, to go on from."""
    looks = [Depends(member), Depends(known_fields)]
    turn = asyncio.Semaphore(AT_ONCE)

    @app.post("/picture", dependencies=[*looks, Depends(ours)])
    async def take(request: Request, name: str = "") -> dict[str, Any]:
        called: Said = shown_name(name) or Text("pictures.the_file")
        async with turn:
            try:
                return as_json(await received(request, engine, called))
            except HeadroomError as error:
                return {"refused": say(error.text)}
            except OSError as error:
                why = Text("pictures.cant_keep", file=called, reason=error.strerror or str(error))
                return {"refused": say(why)}

    @app.get("/picture/{sha256}", dependencies=looks)
    def show(sha256: Digest) -> FileResponse:
        try:
            return FileResponse(engine.intake.plain(sha256), headers=CACHED, media_type="image/png")
        except HeadroomError as error:
            raise HTTPException(404, say(error.text)) from error

    @app.post("/clip/{number}/end", dependencies=[*looks, Depends(ours)])
    def end(number: Annotated[int, Part(ge=1, le=2**53)]) -> dict[str, Any]:
        try:
            clip = engine.library.found(number)
            digest = clip.identity.digest or engine.library.learn(clip)
            if digest is None:
                raise LibraryError(Text("library.gone"), Text("library.reload"))
            return as_json(frame_of(engine, number, LAST)) | {"after": digest}
        except HeadroomError as error:
            return {"refused": say(error.text)}

    @app.post("/clip/{number}/frame", dependencies=[*looks, Depends(ours)])
    def frame(number: Annotated[int, Part(ge=1, le=2**53)], at: Moment) -> dict[str, Any]:
        try:
            return as_json(frame_of(engine, number, at))
        except HeadroomError as error:
            return {"refused": say(error.text)}


def as_json(picture: Picture) -> dict[str, Any]:
    return {"sha256": picture.sha256, "width": picture.width, "height": picture.height}


async def received(request: Request, engine: Engine, name: Said) -> Picture:
    """The picture that is the body, kept from now on.

    Raises:
        PictureError: it isn't one that can be used.
        OSError: the disk is full.
    """
    home = engine.home
    with tempfile.NamedTemporaryFile(
        prefix="picture-", dir=home.made(home.cache), delete=False
    ) as file:
        path = Path(file.name)
        try:
            await write_body(request, file, MOST_BYTES, partial(too_large, name))
        except BaseException:
            file.close()
            _remove(path)
            raise
    try:
        return await asyncio.to_thread(engine.intake.take, path, name)
    finally:
        _remove(path)


def frame_of(engine: Engine, number: int, seconds: float) -> Picture:
    """The picture that a clip of the library shows after so many ``seconds``, kept from now on;
    its last one where it isn't that long.

    Raises:
        LibraryError: there is no such clip.
        ClipError: it can't be decoded.
    """
    clip = engine.library.found(number)
    fps = wording.fps_of(engine.presets, clip.request)
    index = min(int(seconds * fps + 1e-3), clip.frames - 1)
    home = engine.home
    with tempfile.TemporaryDirectory(prefix="frame-", dir=home.made(home.cache)) as folder:
        place = Path(folder) / "frame.png"
        reader_process.frame(engine.library.place(clip), place, index)
        return engine.intake.take(place, Text("pictures.of_the_clip"))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
