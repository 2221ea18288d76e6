"""Finds every text that can reach the page, in the code and the presets, for tests/ui/test_texts.

``python -m tests.support.texts`` prints those that the catalogue lacks, and its entries that
nothing says. A value within a text is HOLE; what differs by a condition is told once for each way.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import yaml

from engine.home import PROJECT
from tests.support.texts_js import strings as js_strings
from tests.support.texts_left_out import COMPOSED, MODULES, NOT_SHOWN, SINGLE
from ui.server.texts import catalogue

HOLE = "\ue000"
ATTRIBUTES = {"placeholder", "title", "aria-label", "aria-valuetext", "alt"}
SPARED = {"script", "style", "code", "pre"}
MOST_WAYS = 64
# Where a single word is a text: arguments of Gradio's parts, and the doctor's subjects.
NAMED = {"label", "value", "placeholder", "info", "title"}
FIRST = {"Button", "Tab", "Accordion", "Line", "Checkbox", "HTML"}
SILENT_CALLS = re.compile(
    r"^(log\.\w+|logging\.\w+|\w*[Pp]arser\.\w+|re\.\w+|.*\.(execute|executemany|executescript|_?rows"
    r"|value|row|getenv|environ\.get|startswith|endswith|encode|strftime)|ValueError|KeyError"
    r"|TypeError|AssertionError|RuntimeError|NotImplementedError|StoreError\.of|Path|subprocess\.\w+)$"
)

_SILENT = re.compile("|".join(f"(?:{pattern})" for pattern in NOT_SHOWN))


@dataclass
class Found:
    """Texts with where they stand first."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, text: str, where: str, sure: bool = False) -> None:
        """Args: sure: it is a text even where it is a single word."""
        if "<" in text and re.search(r"</?[a-z]|[a-z'\"]>", text):
            for piece in html_pieces(text):
                self._keep(piece, where, True)
        else:
            self._keep(text, where, sure)

    def _keep(self, text: str, where: str, sure: bool) -> None:
        text = re.sub(r"\s+", " ", text).strip()
        if not re.search(r"[A-Za-z]{2}|\ue000 [a-z]\b", text) or _SILENT.fullmatch(text):
            return
        named = re.fullmatch(r"[A-Z][a-z]+[.…]?", text) and not where.startswith("engine/")
        if not (sure or named or re.search(r"\s", text) or text in SINGLE):
            return
        self.texts.setdefault(text, where)


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


# ---- Python --------------------------------------------------------------------------------


def is_text(node: ast.AST) -> bool:
    """Whether an expression is put together from literal texts."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_text(left) or is_text(right)
        case ast.BinOp(left=left, op=ast.Mult()):
            return is_text(left)
        case ast.IfExp(body=body, orelse=orelse):
            return is_text(body) or is_text(orelse)
        case ast.Call(func=ast.Attribute(value=value, attr="strip" | "capitalize" | "rstrip")):
            return is_text(value)
    return False


def ways(node: ast.AST) -> list[str]:
    """Every text that the expression can be, with HOLE for what isn't written there."""
    match node:
        case ast.Constant(value=str(value)):
            return [value]
        case ast.JoinedStr(values=values):
            parts = [ways(v.value if isinstance(v, ast.FormattedValue) else v) for v in values]
            return _together(parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right) if is_text(node):
            return _together([ways(left), ways(right)])
        case ast.BinOp(left=left, op=ast.Mult()) if is_text(node):
            return [*ways(left), ""]
        case ast.IfExp(body=body, orelse=orelse) if is_text(node):
            return list(dict.fromkeys([*ways(body), *ways(orelse)]))
        case ast.Call(func=ast.Attribute(value=value)) if is_text(node):
            return ways(value)
    return [HOLE]


def _together(parts: list[list[str]]) -> list[str]:
    whole = 1
    for part in parts:
        whole *= len(part)
    assert whole <= MOST_WAYS, "too many ways to say it: write it plainer"
    return ["".join(one) for one in product(*parts)]


class _Python(ast.NodeVisitor):
    def __init__(self, found: Found, name: str) -> None:
        self.found, self.name = found, name

    def _take(self, node: ast.expr, sure: bool = False) -> None:
        for text in ways(node):
            self.found.add(text, f"{self.name}:{node.lineno}", sure)
        self._within(node)

    def _within(self, node: ast.AST) -> None:
        """Texts within an expression's holes are texts of their own."""
        for child in ast.iter_child_nodes(node):
            if is_text(child):
                self._within(child)
            else:
                self.visit(child)

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr) and is_text(node):
            self._take(node)
            return
        super().visit(node)

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

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        pass

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func) if not is_text(node.func) else ""
        if SILENT_CALLS.match(called):
            return
        name = called.rpartition(".")[2]
        self.visit(node.func)
        for place, argument in enumerate(node.args):
            if place == 0 and name in FIRST and is_text(argument):
                self._take(argument, sure=True)
            else:
                self.visit(argument)
        for keyword in node.keywords:
            if called.startswith("gr.") and keyword.arg in NAMED and is_text(keyword.value):
                self._take(keyword.value, sure=True)
            elif keyword.arg not in ("elem_id", "elem_classes", "js", "name", "dir"):
                self.visit(keyword.value)


def python_files() -> Iterator[tuple[str, Path]]:
    """The modules whose texts can reach the page, by name."""
    for folder in ("engine", "ui"):
        for file in sorted((PROJECT / folder).rglob("*.py")):
            name = file.relative_to(PROJECT).as_posix()
            if not any(re.fullmatch(pattern, name) for pattern in MODULES):
                yield name, file


# ---- everything ----------------------------------------------------------------------------


def all_texts() -> dict[str, str]:
    """Every text that can reach the page, with where it stands."""
    found = Found()
    for name, file in python_files():
        _Python(found, name).visit(ast.parse(file.read_text(encoding="utf-8")))
    for file in sorted((PROJECT / "ui/assets").rglob("*.js")):
        if file.name != "texts.js":
            for text in js_strings(file.read_text(encoding="utf-8"), HOLE):
                found.add(text, file.name)
    found.add(
        (PROJECT / "ui/assets/share/visitors.html").read_text(encoding="utf-8"), "visitors.html"
    )
    for text, where in _presets():
        found.add(text, where, sure=True)
    return found.texts


def _presets() -> Iterator[tuple[str, str]]:
    """What the presets show; models' names, and the prompts themselves, stay as they are."""
    for file in sorted((PROJECT / "presets/models").glob("*.yaml")):
        yield yaml.safe_load(file.read_text(encoding="utf-8"))["summary"], file.name
    for card in sorted((PROJECT / "presets/checkpoints").glob("*/*.json")):
        if card.stem == card.parent.name.replace("-", "_"):
            yield json.loads(card.read_text(encoding="utf-8"))["label"], card.name
    sizes = yaml.safe_load((PROJECT / "presets/sizes.yaml").read_text(encoding="utf-8"))
    for size in sizes["sizes"]:
        yield size["name"], "sizes.yaml"
    ideas = yaml.safe_load((PROJECT / "presets/prompts.yaml").read_text(encoding="utf-8"))
    for group in next(value for value in ideas.values() if isinstance(value, list)):
        for theme in group["themes"]:
            yield theme["name"], "prompts.yaml"
            yield from ((one.get("title", ""), "prompts.yaml") for one in theme["prompts"])


def shape(text: str) -> str:
    """A catalogue's text with HOLE for each placeholder."""
    return re.sub(r"\{\w+\}", HOLE, text)


def missing() -> dict[str, str]:
    known = {shape(english) for english in catalogue()}
    return {text: where for text, where in all_texts().items() if text not in known}


def stale() -> list[str]:
    said = {*all_texts(), *(text.replace("*", HOLE) for text in COMPOSED)}
    return [english for english in catalogue() if shape(english) not in said]


def written(text: str) -> str:
    """A found text as an entry of the catalogue begins."""
    count = iter(range(1, 100))
    return re.sub(HOLE, lambda _: f"{{v{next(count)}}}", text)


def main() -> None:
    for text, where in missing().items():
        sys.stdout.write(f"{where}\t{written(text)}\n")
    for english in stale():
        sys.stdout.write(f"stale\t{english}\n")


if __name__ == "__main__":
    main()
