"""The string literals of a JavaScript file, read without its grammar, and what it has said."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    r"|(?<=[(,=:\[!&|?{};\n])\s*/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*"
    r"|`",
    re.S,
)
_CALL = re.compile(r'headroomText\("([\w.]+)"(?:, \{([^{}]*)\})?\)')
_NAME = re.compile(r"(?:^|,)\s*(\w+)\s*(?=[:,]|$)")


def calls(source: str) -> Iterator[tuple[str, set[str]]]:
    """Each ``headroomText("id", { … })`` whose values stand there: the id, and their names."""
    for id, values in _CALL.findall(source):
        yield id, set(_NAME.findall(values.strip()))


def strings(source: str, hole: str) -> list[str]:
    """Every literal; a value in a template is ``hole``."""
    found: list[str] = []
    at = 0
    while (token := _TOKEN.search(source, at)) is not None:
        text = token.group()
        at = token.end()
        if text == "`":
            at = _template(source, at, hole, found)
        elif text[0] in "\"'":
            found.append(re.sub(r"\\(.)", r"\1", text[1:-1]))
    return found


def _template(source: str, at: int, hole: str, found: list[str]) -> int:
    """Read a template from behind its first backtick; returns the place behind its last."""
    literal = ""
    while source[at] != "`":
        if source[at] == "\\":
            literal, at = literal + source[at + 1], at + 2
        elif source.startswith("${", at):
            end = _closing(source, at + 2)
            found += strings(source[at + 2 : end], hole)
            literal, at = literal + hole, end + 1
        else:
            literal, at = literal + source[at], at + 1
    found.append(literal)
    return at + 1


def _closing(source: str, at: int) -> int:
    """The place of the brace that ends what began before ``at``."""
    depth = 1
    while True:
        if source[at] == "`":
            at = _template(source, at + 1, "", []) - 1
        elif source[at] in "\"'":
            at = source.index(source[at], at + 1)
        depth += {"{": 1, "}": -1}.get(source[at], 0)
        if depth == 0:
            return at
        at += 1
