"""What the browser needs of the page's texts: what scripts say, and Chinese for what is built in.

The program makes words itself, in the reader's language (ui/wording.py). Two kinds are left to
texts.js: the English that the page is built with, once for all readers, which it changes where a
whole text stands in ui/texts/zh; and what scripts say, whose ids begin with ``script.``.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import yaml
from fastapi import Depends, FastAPI, Request, Response

from engine.text import Language, TextsError, tables
from ui.server.access import known_fields, member
from ui.theme import ASSETS
from ui.wording import FOLDERS

FOLDER = Path(__file__).parents[1] / "texts/zh"
SCRIPTS = "script."


@cache
def catalogue() -> dict[str, str]:
    """English that the page is built with -> Chinese, from all files.

    Raises:
        TextsError: a text stands twice, or something isn't a text.
    """
    found: dict[str, str] = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        for english, chinese in (_load(file) or {}).items():
            if not isinstance(english, str) or not isinstance(chinese, str):
                raise TextsError(f"{file.name}: {english!r} or its translation is no text.")
            if english in found:
                raise TextsError(f"{file.name}: {english!r} stands twice.")
            found[english] = chinese
    return found


def _load(file: Path) -> dict[object, object] | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    pairs = yaml.compose(file.read_text(encoding="utf-8"), Loader=loader)
    if pairs is None:
        return None
    if not isinstance(pairs, yaml.MappingNode):
        raise TextsError(f"{file.name} is no list of texts.")
    keys = [key.value for key, _ in pairs.value]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise TextsError(f"{file.name}: {twice[0]!r} stands twice.")
    return {key.value: value.value for key, value in pairs.value}


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
    english = _json(scripts("en")).replace("<", "\\u003c")  # it may stand within a page
    code = (ASSETS / "page/texts.js").read_text(encoding="utf-8")
    return f"window.headroomEnglish = {english};\n{code}"


def head() -> str:
    """For the page's head, where it runs before anything is drawn."""
    return f"<script>{script()}</script>"
