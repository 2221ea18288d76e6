"""The string literals of a JavaScript file, read without its grammar."""

import re
from itertools import product

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
    r"|(?<=[(,=:\[!&|?{};\n])\s*/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*"
    r"|`",
    re.S,
)
_CHOICE = re.compile(r"^[^?`]*\?\s*(\"[^\"]*\"|'[^']*')\s*:\s*(\"[^\"]*\"|'[^']*')$", re.S)


def strings(source: str, hole: str) -> list[str]:
    """Every literal; a value in a template is ``hole``, and one that is one of two literals by a
    condition gives both texts."""
    found: list[str] = []
    at = 0
    while (token := _TOKEN.search(source, at)) is not None:
        text = token.group()
        at = token.end()
        if text == "`":
            at = _template(source, at, hole, found)
        elif text[0] in "\"'":
            found.append(_plain(text))
    return found


def _plain(literal: str) -> str:
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), literal[1:-1])


def _template(source: str, at: int, hole: str, found: list[str]) -> int:
    """Read a template from behind its first backtick; returns the place behind its last."""
    parts: list[list[str]] = []
    literal = ""
    while source[at] != "`":
        if source[at] == "\\":
            literal, at = literal + source[at + 1], at + 2
        elif source.startswith("${", at):
            end = _closing(source, at + 2)
            inner = source[at + 2 : end]
            parts += [[literal], _ways(inner, hole)]
            if parts[-1] == [hole]:
                found += strings(inner, hole)
            literal, at = "", end + 1
        else:
            literal, at = literal + source[at], at + 1
    parts.append([literal])
    found += ["".join(one) for one in product(*parts)]
    return at + 1


def _ways(inner: str, hole: str) -> list[str]:
    choice = _CHOICE.match(inner.strip())
    return [_plain(choice[1]), _plain(choice[2])] if choice else [hole]


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
