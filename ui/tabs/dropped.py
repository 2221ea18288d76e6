"""A clip dropped on the page brings its settings back into the form; so does one of the library.

The file goes through a route of our own, because Gradio's uploads stay on the disk and end at a
size that a long clip passes. It is deleted as soon as its receipt was read.
"""

import asyncio
import contextlib
import html
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from fastapi import Depends, FastAPI, Request

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.library import reader_process
from engine.library.mp4 import ClipError, refuse_unless_mp4, shown_name
from engine.pipelines import is_here, why_not_here
from engine.prompts.variants import as_typed
from engine.request import RANDOM_SEED, ClipRequest, RequestError
from engine.text import Said, Text, begun, joined
from ui.server.access import known_fields, member, ours
from ui.server.incoming import write_body
from ui.tabs.generate import Controls, brought_back, refusal_html
from ui.tabs.held import held_of
from ui.tabs.library_routes import asked_of, found
from ui.theme import ASSETS
from ui.wiring import QUIET
from ui.wording import say

MOST_BYTES = 256 * 2**20
HOUR = 3600.0
AT_ONCE = 2  # uploads: more would fill the disk
BUTTON = """
<div class="from-clip">
  <label class="lib-button">Reuse settings from a clip…<input type="file" accept="video/mp4,.mp4"
    aria-label="Reuse settings from a clip"></label>
  <span class="from-clip-told" role="status">or drop an MP4 on the page.</span>
  <div class="drop-veil" hidden><p>Drop a clip to reuse its settings, or a picture
    to begin with.</p></div>
</div>
"""


class NotHereError(HeadroomError):
    """The clip's model can't be chosen on this computer."""


def build_button() -> tuple[gr.HTML, gr.HTML]:
    """It fires ``select`` with the ``request`` that a dropped clip holds, and ``expand`` when a
    refusal is to be seen; beside it, where to say what was brought back."""
    script = (ASSETS / "page/drop.js").read_text(encoding="utf-8")
    button = gr.HTML(BUTTON, elem_id="from-clip", js_on_load=script)
    return button, gr.HTML("", elem_id="brought", js_on_load=None)


def wire(
    engine: Engine,
    sources: list[gr.HTML],
    controls: Controls,
    judged_parts: list[Any],
    said: gr.HTML,
    tabs: gr.Tabs,
) -> None:
    """Whatever brings settings back ends in the form, with the verdict on them.

    Args:
        sources: they fire ``select`` with a ``request``, or with the ``id`` of a clip.
        judged_parts: what ``brought_back`` sets besides the form: the verdict and its button.
    """

    def bring(event: gr.EventData) -> list[Any]:
        return [*brought(engine, event._data), gr.Tabs(selected="make")]

    # Said as long as it is true: the browser compares, so that no letter that is typed asks us.
    still = (ASSETS / "page/brought.js").read_text(encoding="utf-8")
    changes = [control.change for control in controls.whole()]
    gr.on(
        changes,
        None,
        [said, *controls.whole()],
        said,
        js=still,
        trigger_mode="always_last",
        **QUIET,
    )
    for source in sources:
        source.select(bring, None, [*controls.whole(), *judged_parts, said, tabs], **QUIET)


def brought(engine: Engine, data: object) -> list[Any]:
    """Updates for the controls and their verdict, and what to say about it; what comes from a
    browser isn't trusted.

    Args:
        data: ``{"id": 5}`` or ``{"request": {...}}``.
    """
    try:
        given = data if isinstance(data, Mapping) else {}
        if isinstance(given.get("id"), int):
            raw = asked_of(engine, found(engine, given["id"]))
        else:
            raw = given["request"] if isinstance(given.get("request"), Mapping) else {}
        request = usable(engine, raw)
        fields, verdict = brought_back(engine, request)
    except HeadroomError as error:
        return [*[gr.skip() for _ in range(8)], refusal_html(error)]
    back = html.escape(say(Text("dropped.brought_back", prompt=begun(request.prompt))))
    mark = quote(json.dumps(_as_form(request), ensure_ascii=False, separators=(",", ":")), safe="")
    return [*fields, *verdict, f"<p class='hint' role='status' data-brought='{mark}'>{back}</p>"]


def _as_form(request: ClipRequest) -> list[object]:
    """What the form's controls hold, in their order, once they hold ``request``."""
    size = f"{request.height}×{request.width}"
    seed = "" if request.seed == RANDOM_SEED else str(request.seed)
    return [as_typed(request.prompt), request.model, size, request.frames, seed, held_of(request)]


def usable(engine: Engine, raw: Mapping[str, object]) -> ClipRequest:
    """The request of a receipt, if this installation can be asked for it.

    Raises:
        RequestError: a field isn't what it should be, or there is no such model.
        NotHereError: what runs the model isn't installed.
    """
    request = ClipRequest.check(raw, engine.presets)
    preset = engine.presets.models[request.model]
    if not is_here(preset) and preset != engine.presets.default:
        why, remedy = why_not_here(preset)
        raise NotHereError(joined(Text("dropped.made_with", model=preset.name), why), remedy)
    return request


def add_receipt_route(app: FastAPI, engine: Engine) -> None:
    """``POST /receipt``: an MP4 as the body; the answer has the ``request`` inside, checked."""
    turn = asyncio.Semaphore(AT_ONCE)
    for left in engine.home.cache.glob("dropped-*"):  # by a crash, unless another is at it
        with contextlib.suppress(OSError):  # it is gone by now
            if time.time() - left.stat().st_mtime > HOUR:
                shutil.rmtree(left, ignore_errors=True)

    @app.post("/receipt", dependencies=[Depends(known_fields), Depends(member), Depends(ours)])
    async def receipt(request: Request, name: str = "") -> dict[str, Any]:
        file: Said = shown_name(name) or Text("dropped.the_file")
        async with turn:
            try:
                return {"request": (await _asked_in(request, engine, file)).to_json()}
            except RequestError as error:
                about = Text("dropped.not_made_here", file=file)
                told = joined(about, *(problem.sentence for problem in error.problems))
            except HeadroomError as error:
                if error.sentence.id == "library.no_receipt":  # it can be made smoother
                    return {"refused": say(error.text), "video": True}
                told = error.text
            except OSError as error:
                reason = error.strerror or str(error)
                why = Text("dropped.cant_read_here", file=file, reason=reason)
                told = joined(why, Text("dropped.make_room"))
        return {"refused": say(told)}


async def _asked_in(request: Request, engine: Engine, name: Said) -> ClipRequest:
    """The request inside the clip that is the body."""

    def too_long() -> ClipError:
        large = Text("dropped.too_large", file=name, megabytes=MOST_BYTES // 2**20)
        return ClipError(large, Text("dropped.none_so_large"))

    async with received(request, engine, name, too_long) as file:
        return await asyncio.to_thread(_request_in, engine, file, name)


@contextlib.asynccontextmanager
async def received(
    request: Request, engine: Engine, name: Said, too_long: Callable[[], ClipError]
) -> AsyncIterator[Path]:
    """The MP4 that is the body, as a file; it is gone afterwards. What can't be one, or has more
    than ``MOST_BYTES``, is refused while it comes."""
    home = engine.home
    folder = Path(tempfile.mkdtemp(prefix="dropped-", dir=home.made(home.cache)))

    def first(part: bytes) -> None:
        if len(part) >= 8:
            refuse_unless_mp4(part[:8], name)

    try:
        file = folder / "dropped.mp4"
        with file.open("wb") as kept:
            await write_body(request, kept, MOST_BYTES, too_long, first)
        yield file
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _request_in(engine: Engine, file: Path, name: Said) -> ClipRequest:
    return usable(engine, engine.intake.asked_again(reader_process.receipt_of(file, name)))
