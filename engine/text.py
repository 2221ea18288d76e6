"""What is told to a person, before it is words: an id and values. Words are made at the edge.

The tables in engine/texts and ui/texts have each id's English and Chinese, side by side. ``str``
makes English of a text, for logs, the command line and programs; the page makes the reader's
language (ui/wording.py). What crosses a pipe, a row or a function is the text itself, so that
nobody has to read a sentence to know what it says.
"""

import json
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from engine.process.console import as_written
from engine.units import gigabytes, size_text

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
FOLDER = Path(__file__).parent / "texts"
FOLDERS = [FOLDER]  # whose English ``str`` knows; the page adds its own (ui/__init__.py)
PLAIN, PRESET, JOINED, LISTED = "plain", "preset", "joined", "listed"  # ids that no table has
CLOSED = tuple("、。！，：；？）”…")  # Chinese signs that need no space behind them


# libyaml's, where PyYAML was built with it: eight times as fast.
YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TextsError(ValueError):
    """A table isn't as it should be, or lacks an id."""


@dataclass(frozen=True)
class Memory:
    """Bytes of memory, as a value of a text: "6.0 GB"."""

    bytes: int

    def __str__(self) -> str:
        return gigabytes(self.bytes)


@dataclass(frozen=True)
class FileSize:
    """Bytes of files, as a value of a text: "22.3 GB"."""

    bytes: int

    def __str__(self) -> str:
        return size_text(self.bytes)


class Text:
    """An id of the tables, and the values of its placeholders.

    A value is a text, a number, a word that is the same in every language (a name, a file, what
    another program said), or an object whose ``str`` is such a word (a size, ``Memory``).
    """

    __slots__ = ("id", "values")

    id: str
    values: dict[str, Any]

    def __init__(self, id: str, /, **values: Any) -> None:
        self.id, self.values = id, values

    def __str__(self) -> str:
        return rendered(self, "en", tables(*FOLDERS))

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.values.items())
        return f"Text({self.id!r}{given})"

    def __bool__(self) -> bool:
        """False for a text that says nothing, as ``plain("")``."""
        return self.id != PLAIN or bool(self.values["text"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.id, self.values) == (other.id, other.values)

    def __hash__(self) -> int:
        return hash((self.id, tuple(map(str, self.values.values()))))

    def with_values(self, **values: Any) -> "Text":
        """The same sentence, with other values for the placeholders that are named."""
        return Text(self.id, **{**self.values, **values})

    def to_json(self) -> dict[str, Any]:
        """``id`` and ``values``, for rows and programs; a size or bytes become their words."""
        return {"id": self.id, "values": {n: _value_to_json(v) for n, v in self.values.items()}}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Text":
        return cls(told["id"], **{n: _value_from_json(v) for n, v in told["values"].items()})


Said = Text | str  # a sentence; as words only where it is somebody else's, or the user's own


def plain(words: str) -> Text:
    """``words`` as they are, in every language."""
    return Text(PLAIN, text=words)


NOTHING = plain("")


def of_preset(words: str) -> Text:
    """``words`` that a preset or a model's card brings; the page may have them in Chinese."""
    return Text(PRESET, text=words) if words else NOTHING


def begun(words: str, most: int = 60) -> str:
    """The beginning of somebody's words, with a sign that they go on."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def as_text(said: Said) -> Text:
    return said if isinstance(said, Text) else plain(said)


def joined(*parts: Said) -> Text:
    """Sentences one after the other; those that say nothing are left out."""
    said = [as_text(part) for part in parts if part]
    if len(said) == 1:
        return said[0]
    return Text(JOINED, parts=tuple(said)) if said else NOTHING


def sentences(said: Said) -> list[Text]:
    """What ``joined`` put together, however deep; of any other text itself."""
    text = as_text(said)
    if text.id == JOINED:
        return [part for each in text.values["parts"] for part in sentences(each)]
    return [text] if text else []


def within(said: Said) -> Iterator[Text]:
    """``said``, and every text that is a value in it."""
    text = as_text(said)
    yield text
    for value in text.values.values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Text):
                yield from within(part)


def listed(*parts: Said) -> Text:
    """Words with commas between them."""
    return Text(LISTED, parts=tuple(part for part in parts if part))


def programs(name: str, said: Said) -> dict[str, Any]:
    """``said`` as JSON for programs has it: English under ``name``, the id beside it, and
    values."""
    found: dict[str, Any] = {name: str(said)}
    if isinstance(said, Text) and said.id != PLAIN:
        found |= {f"{name}_id": said.id, f"{name}_values": said.to_json()["values"]}
    return found


def sayable(words: str) -> str:
    """``words`` as any row, file, answer or terminal takes them.

    A file's name that isn't UTF-8 reaches Python with half characters in it (PEP 383), which
    nothing can encode: its bytes are shown instead, as ``\\xe4``.
    """
    if words.isascii():
        return words
    return _HALVES.sub(as_written, words)


# ---- as one column of a row ------------------------------------------------------------------


def to_row(said: Said) -> str:
    """As the store keeps it: JSON, or words as they are."""
    if isinstance(said, str):
        return sayable(said)
    if said.id == PLAIN:
        return sayable(str(said.values["text"]))
    return json.dumps(said.to_json(), ensure_ascii=False)


def from_row(kept: str) -> Text:
    """What ``to_row`` wrote; words, such as a version before this one kept, stay words."""
    if kept.startswith('{"id": '):
        try:
            said = Text.from_json(json.loads(kept))
            str(said)  # a later version's id has no words here
            return said
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
    return plain(kept)


# ---- words -----------------------------------------------------------------------------------

Table = Mapping[str, Mapping[Language, str]]


@cache
def tables(*folders: Path) -> Table:
    """All tables of ``folders`` as one.

    Raises:
        TextsError: an id stands twice, or its texts aren't one in each language.
    """
    found: dict[str, Mapping[Language, str]] = {}
    for file in sorted(file for folder in folders for file in folder.glob("*.yaml")):
        for id, texts in (yaml.load(file.read_text(encoding="utf-8"), YAML_LOADER) or {}).items():
            if id in found:
                raise TextsError(f"{file.name}: {id} stands twice.")
            if not isinstance(texts, dict) or set(texts) != set(LANGUAGES):
                raise TextsError(f"{file.name}: {id} has no text in {' and '.join(LANGUAGES)}.")
            found[id] = texts
    return found


def rendered(
    said: Said, language: Language, table: Table, known: Mapping[str, str] | None = None
) -> str:
    """``said`` in words.

    Args:
        known: other words for a preset's.

    Raises:
        TextsError: the table lacks the id, or the text lacks a value.
    """
    known = known or {}
    if isinstance(said, str):
        return sayable(said)
    if said.id in (PLAIN, PRESET):
        words = sayable(str(said.values["text"]))
        return known.get(words, words) if said.id == PRESET else words
    if said.id in (JOINED, LISTED):
        parts = [rendered(part, language, table, known) for part in said.values["parts"]]
        if said.id == LISTED:
            return ("、" if language == "zh" else ", ").join(parts)
        return _sentences(parts)
    try:
        template = table[said.id][language]
    except KeyError:
        raise TextsError(f"There is no text {said.id}.") from None
    # Numbers stay numbers, so that a template may say how they are written: ``{n:,}``.
    values = {
        name: rendered(value, language, table, known)
        if isinstance(value, Text)
        else value
        if isinstance(value, int | float)
        else sayable(str(value))
        for name, value in said.values.items()
    }
    try:
        return _FORMATTER.vformat(template, (), values)
    except (KeyError, IndexError) as error:
        raise TextsError(f"{said.id} lacks the value {error}.") from error


def _sentences(words: list[str]) -> str:
    text = ""
    for sentence in filter(None, words):
        text += sentence if not text or text.endswith(CLOSED) else f" {sentence}"
    return text


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Text):
        return value.to_json()
    if isinstance(value, tuple):
        return [_value_to_json(part) for part in value]
    return value if isinstance(value, int | float) else sayable(str(value))


def _value_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return Text.from_json(value)
    return tuple(map(_value_from_json, value)) if isinstance(value, list) else value


_FORMATTER = string.Formatter()
_HALVES = re.compile("[\ud800-\udfff]")
