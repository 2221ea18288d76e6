"""The English that the page is built with, and the sentences that the code still has in it.

``python -m tests.support.texts`` prints what ui/texts/zh lacks, which of its entries nothing says
any more, and sentences that should be texts (engine/text.py). A value within a text is HOLE.
"""

import ast
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from engine.engine import Engine
from engine.home import PROJECT, Home
from engine.jobs import Jobs
from engine.presets import load_presets
from engine.store import Store
from tests.support.texts_left_out import GRADIO, MODULES, NOT_SHOWN, SAID_ANEW
from ui.page import build_page
from ui.server.catalogue import catalogue

HOLE = "\ue000"
ATTRIBUTES = {"placeholder", "title", "aria-label", "aria-valuetext", "alt"}
SPARED = {"script", "style", "code", "pre"}
PROPS = ("label", "value", "placeholder", "info", "title")
SILENT_CALLS = re.compile(
    r"^(log\.\w+|logging\.\w+|\w*[Pp]arser\.\w+|re\.\w+|.*\.(execute|executemany|executescript|_?rows|where"
    r"|value|row|getenv|environ\.get|startswith|endswith|encode|strftime)|ValueError|KeyError"
    r"|TypeError|AssertionError|RuntimeError|NotImplementedError|StoreError\.of|Path|subprocess\.\w+)$"
)
_SILENT = re.compile("|".join(f"(?:{pattern})" for pattern in NOT_SHOWN))


# ---- markup ----------------------------------------------------------------------------------


class _Pieces(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._spared: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        spared = tag in SPARED or given.get("translate") == "no"
        if (self._spared or spared) and tag not in ("br", "img", "input", "link", "meta"):
            self._spared.append(tag)
        if not self._spared:
            self.found += [given[name] or "" for name in ATTRIBUTES & set(given)]

    def handle_endtag(self, tag: str) -> None:
        if self._spared and self._spared[-1] == tag:
            self._spared.pop()

    def handle_data(self, data: str) -> None:
        if not self._spared:
            self.found.append(data)


def html_pieces(text: str) -> list[str]:
    """The text nodes and the attributes with words of some markup."""
    parser = _Pieces()
    parser.feed(text)
    parser.close()
    return parser.found


def pieces(text: str) -> list[str]:
    """What texts.js would see of ``text``, which may be markup, as it looks for it."""
    found = html_pieces(text) if re.search(r"</?[a-z]|[a-z'\"]>", text) else [text]
    flat = (re.sub(r"\s+", " ", piece).strip() for piece in found)
    return [piece for piece in flat if re.search("[A-Za-z]{2}", piece)]


# ---- what the page is built with -------------------------------------------------------------


@cache
def built() -> Mapping[str, str]:
    """Every text of the Blocks, of the visitors' page and of the presets, with where it stands."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ):
        os.environ.pop("HEADROOM_PRESETS", None)  # the tests' own models
        home = Home(Path(folder))
        home.create()
        store = Store(home.database)
        presets = load_presets()
        engine = Engine(home, presets, Jobs(store))
        try:
            config = build_page(engine).get_config_file()
        finally:
            engine.close()
            store.close()
    for part in config["components"]:
        props, kind = part["props"], part["type"]
        where = f"{kind} {props.get('elem_id') or props.get('label') or ''}".strip()
        for text in _props(kind, props):
            for piece in pieces(text):
                found.setdefault(piece, where)
    visitors = (PROJECT / "ui/assets/share/visitors.html").read_text(encoding="utf-8")
    for piece in pieces(visitors):
        found.setdefault(piece, "visitors.html")
    for text, where in _presets():
        found.setdefault(text, where)
    for text in GRADIO:
        found.setdefault(text, "Gradio")
    names = {preset.name for preset in presets.models.values()}
    return {t: where for t, where in found.items() if t not in names and not _SILENT.fullmatch(t)}


def _props(kind: str, props: Mapping[str, Any]) -> Iterator[str]:
    if kind in ("api", "state") or "notranslate" in (props.get("elem_classes") or ()):
        return
    shown = PROPS if kind in ("html", "button") else tuple(p for p in PROPS if p != "value")
    yield from (props[name] for name in shown if isinstance(props.get(name), str))
    if props.get("elem_id") not in SAID_ANEW:
        yield from (str(label) for label, _ in props.get("choices") or ())


def _presets() -> Iterator[tuple[str, str]]:
    """What the presets show; models' names, and the prompts themselves, stay as they are."""
    folders = (PROJECT / "presets/models", PROJECT / "presets/drafts")
    for file in sorted(file for folder in folders for file in folder.glob("*.yaml")):
        preset = yaml.safe_load(file.read_text(encoding="utf-8"))
        yield preset["summary"], file.name
        if reason := preset.get("memory", {}).get("impossible_reason"):
            yield reason, file.name
    for card in sorted((PROJECT / "presets/checkpoints").glob("*/wan_tiny.json")):
        yield json.loads(card.read_text(encoding="utf-8"))["label"], card.parent.name
    ideas = yaml.safe_load((PROJECT / "presets/prompts.yaml").read_text(encoding="utf-8"))
    for group in next(value for value in ideas.values() if isinstance(value, list)):
        for theme in group["themes"]:
            yield theme["name"].capitalize(), "prompts.yaml"
            titles = (one.get("title", "") for one in theme["prompts"])
            yield from ((title, "prompts.yaml") for title in titles if title)


def missing() -> dict[str, str]:
    """What the page is built with and ui/texts/zh lacks."""
    known = catalogue()
    return {text: where for text, where in built().items() if text not in known}


def stale() -> list[str]:
    """Entries that neither the page is built with, nor markup that an event sends has in it."""
    said = {*built(), *(piece.text for piece in english("ui", single=True))}
    return [text for text in catalogue() if text not in said]


# ---- English in the code ---------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text.replace(HOLE, '{}')}"


class Literals(ast.NodeVisitor):
    """Every literal that could be shown: no docstring, no log, no query, no key."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit(self, node: ast.AST) -> None:
        text = _flat(node)
        if text is None:
            super().visit(node)
            return
        assert isinstance(node, ast.expr)
        self.found.append((node.lineno, text))
        for child in ast.walk(node):  # what stands within its holes is of its own
            if isinstance(child, ast.FormattedValue):
                self.visit(child.value)

    def _body(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
        for child in node.body[1 if ast.get_docstring(node) is not None else 0 :]:
            self.visit(child)

    def visit_Module(self, node: ast.Module) -> None:
        self._body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._body(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._body(node)
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults)]:
            self.visit(default)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)  # type: ignore[arg-type]

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring of a name
            self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        pass

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if _flat(node.func) is None and SILENT_CALLS.match(ast.unparse(node.func)):
            return
        self.visit(node.func)
        for argument in node.args:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in ("elem_id", "elem_classes", "js", "name", "dir"):
                self.visit(keyword.value)


def _flat(node: ast.AST) -> str | None:
    """A literal as one text, or None."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=values):
            return "".join(_flat(value) or HOLE for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            one, other = _flat(left), _flat(right)
            if one is not None or other is not None:
                return (HOLE if one is None else one) + (HOLE if other is None else other)
    return None


def english_in(source: str, single: bool = False) -> Iterator[tuple[int, str]]:
    """Texts of two words and more; with ``single`` also a word that begins with a capital."""
    literals = Literals()
    literals.visit(ast.parse(source))
    for line, literal in literals.found:
        for piece in pieces(literal):
            words = re.search(r"\s", piece) and re.search(r"[A-Za-z]{2}", piece)
            if words or (single and re.fullmatch(r"[A-Z][A-Za-z]+[.…]?", piece)):
                yield line, piece


def english(folder: str, single: bool = False) -> Iterator[Found]:
    """English in the modules of ``folder`` whose words a reader of the page can meet."""
    for file in sorted((PROJECT / folder).rglob("*.py")):
        name = file.relative_to(PROJECT).as_posix()
        if any(re.fullmatch(pattern, name) for pattern in MODULES):
            continue
        for line, text in english_in(file.read_text(encoding="utf-8"), single):
            if not _SILENT.fullmatch(text):
                yield Found(f"{name}:{line}", text)


def unconverted() -> list[str]:
    """Sentences that no table has: all of the engine's, and those of the page that aren't what it
    is built with."""
    in_page = (found for found in english("ui", single=True) if found.text not in catalogue())
    return [str(found) for found in (*english("engine"), *in_page)]


def main() -> None:
    for text, where in missing().items():
        sys.stdout.write(f"missing\t{where}\t{text}\n")
    for text in stale():
        sys.stdout.write(f"stale\t{text}\n")
    for found in unconverted():
        sys.stdout.write(f"english\t{found}\n")


if __name__ == "__main__":
    main()
