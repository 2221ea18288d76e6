"""The page's texts in other languages: English -> Chinese, in ui/texts/zh, shown by texts.js.

The program, its logs, its API and its database speak English; what is shown is translated in the
browser, so that a sentence that is kept is read by everybody in their own language.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import yaml
from fastapi import Depends, FastAPI, Request, Response

from ui.server.access import known_fields, member
from ui.theme import ASSETS

FOLDER = Path(__file__).parents[1] / "texts/zh"
# Placeholders whose values are people's or files' own words. ``n``, ``n2`` … are numbers.
VERBATIM = ("prompt", "file", "folder", "name", "host", "theirs")


class TextsError(ValueError):
    """The catalogue isn't as it should be."""


@cache
def catalogue() -> dict[str, str]:
    """English text -> Chinese text, from all files.

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


@cache
def _packed() -> tuple[bytes, str]:
    """What the browser gets, and its tag."""
    told = {"verbatim": VERBATIM, "texts": catalogue()}
    data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return data, f'"{hashlib.sha256(data).hexdigest()[:20]}"'


def texts_answer(request: Request) -> Response:
    """The catalogue as JSON, or that the browser's copy is still right."""
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


def head() -> str:
    """For the page's head, where it runs before anything is drawn."""
    script = (ASSETS / "page/texts.js").read_text(encoding="utf-8")
    return f"<script>{script}</script>"
