"""What the browser needs of the page's texts: what scripts say, and Chinese for what is built in.

The program makes words itself, in the reader's language (ui/wording.py). Two kinds are left to
texts.js: the English that the page is built with, once for all readers, which it changes where a
whole text stands in ui/texts/zh; and what scripts say, whose ids begin with ``script.``.
"""

import hashlib
import json
from functools import cache

from fastapi import Depends, FastAPI, Request, Response

from engine.text import Language, tables
from ui.server.access import known_fields, member
from ui.server.catalogue import catalogue
from ui.theme import ASSETS
from ui.wording import FOLDERS

SCRIPTS = "script."


def scripts(language: Language) -> dict[str, str]:
    """Templates of what scripts say, by id."""
    return {id: texts[language] for id, texts in tables(*FOLDERS).items() if id.startswith(SCRIPTS)}


def _json(told: object) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


@cache
def _packed() -> tuple[bytes, str]:
    """What the browser gets, and its tag."""
    data = _json({"scripts": scripts("zh"), "static": catalogue()}).encode()
    return data, f'"{hashlib.sha256(data).hexdigest()[:20]}"'


def texts_answer(request: Request) -> Response:
    """The Chinese tables as JSON, or that the browser's copy is still right."""
    data, tag = _packed()
    headers = {"Cache-Control": "private, no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type="application/json", headers=headers)


def add_texts_route(app: FastAPI) -> None:
    """``GET /texts/zh.json``, asked for by browsers whose language is Chinese."""

    @app.get("/texts/zh.json", dependencies=[Depends(known_fields), Depends(member)])
    def texts(request: Request) -> Response:
        return texts_answer(request)


@cache
def script() -> str:
    """texts.js behind the English that it begins with; what is drawn first needs it at once."""
    english = _json(scripts("en"))
    code = (ASSETS / "page/texts.js").read_text(encoding="utf-8")
    return f"window.headroomEnglish = {english};\n{code}"
