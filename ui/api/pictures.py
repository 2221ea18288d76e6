"""Pictures as programs send them: a file of gradio_client's, a data URL, a path, or the SHA-256 of
one that is kept."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from engine.engine import Engine
from engine.library.mp4 import shown_name
from engine.pictures.plain import PictureError
from engine.request import SHA256, Problem, RequestError
from engine.text import Text

DATA_URL_BYTES = 10_000_000


def taken_in(engine: Engine, name: str, value: object) -> str:
    """The SHA-256 of the picture that ``value`` is, which is kept from now on.

    Args:
        name: the field that it came in.

    Raises:
        RequestError: it is none of what a picture may come as, or a path elsewhere.
        PictureError: it can't be used.
    """
    if isinstance(value, str) and SHA256.fullmatch(value):
        return value
    if isinstance(value, str) and value.startswith("data:"):
        return engine.intake.take_bytes(_of_url(name, value), Text("pictures.sent")).sha256
    if isinstance(value, Mapping):
        return _uploaded(engine, name, value)
    if isinstance(value, str) and value:
        return engine.intake.take(_allowed(engine, name, value)).sha256
    raise _wrong(name, value)


def _of_url(name: str, url: str) -> bytes:
    head, comma, text = url.partition(",")
    if not comma or not head.endswith(";base64"):
        raise _wrong(name, url)
    if len(text) > DATA_URL_BYTES * 4 // 3 + 4:
        megabytes = DATA_URL_BYTES // 10**6
        told = Text("pictures.too_many_bytes", file=Text("pictures.sent"), megabytes=megabytes)
        raise PictureError(told, Text("pictures.save_smaller"))
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(name, url) from error


def _uploaded(engine: Engine, name: str, value: Mapping[str, object]) -> str:
    """A file that gradio_client sent. The name of its path is whatever the client says, so only
    what lies among uploads is one."""
    path = value.get("path")
    uploads = Path(os.path.realpath(engine.home.cache / "gradio"))
    if not isinstance(path, str) or "\0" in path:
        raise _wrong(name, value)
    file = Path(os.path.realpath(path))
    if not file.is_relative_to(uploads):
        raise _wrong(name, value)
    said = value.get("orig_name")
    return engine.intake.take(file, shown_name(said) if isinstance(said, str) else "").sha256


def _allowed(engine: Engine, name: str, value: str) -> Path:
    """A path that a language model gave, if it is in a folder where people's pictures are: what it
    reads elsewhere on its user's word is its user's business, what it makes us read isn't."""
    home = engine.home
    folders = [
        home.root,
        Path(platformdirs.user_pictures_dir()),
        Path(platformdirs.user_downloads_dir()),
        Path(platformdirs.user_desktop_dir()),
    ]
    try:
        file = Path(os.path.realpath(os.path.expanduser(value)))
        if any(file.is_relative_to(os.path.realpath(folder)) for folder in folders):
            return file
    except (OSError, ValueError):
        raise _wrong(name, value) from None
    told = Text("pictures.elsewhere", field=name, file=shown_name(value))
    raise RequestError((Problem(name, told),))


def _wrong(name: str, value: object) -> RequestError:
    told = Text("request.is_no", field=name, value=repr(value)[:60], what=Text("pictures.a_way"))
    return RequestError((Problem(name, told),))
