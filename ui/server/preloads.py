"""Which of Gradio's scripts every page begins with, so that a browser needn't find them one behind
the other: each names the next one only once it has been read."""

import re
from pathlib import Path

import gradio

FRONTEND = Path(gradio.__file__).parent / "templates/frontend"
ASSET = re.compile(r'src="\./assets/([\w.-]+\.js)"')
STATIC = re.compile(r"""\b(?:from|import)\s*["'`]\./([\w.-]+\.js)["'`]""")
DYNAMIC = re.compile(r"""\bimport\(\s*["'`]\./([\w.-]+\.js)["'`]\s*\)""")
LAST = re.compile(r"Blocks-[\w-]+\.js")  # from here on it depends on what a page consists of


def first_scripts(frontend: Path = FRONTEND) -> list[str]:
    """Names in ``assets`` of what the page's template asks for, up to what draws the components;
    empty where a Gradio is built in another way."""
    read = _Reader(frontend / "assets")
    try:
        begun = ASSET.findall((frontend / "index.html").read_text(encoding="utf-8"))
        ways = [
            (way, name)
            for one in begun
            for way in read.names(DYNAMIC, one)
            for name in read.names(DYNAMIC, way)
        ]
        ends = [name for pair in ways if LAST.fullmatch(pair[1]) for name in pair]
        return read.with_what_they_import([*begun, *ends]) if ends else []
    except OSError:
        return []


class _Reader:
    def __init__(self, assets: Path) -> None:
        self._assets = assets

    def names(self, pattern: re.Pattern[str], script: str) -> list[str]:
        return pattern.findall((self._assets / script).read_text(encoding="utf-8"))

    def with_what_they_import(self, scripts: list[str]) -> list[str]:
        found: list[str] = []
        waiting = list(scripts)
        while waiting:
            script = waiting.pop(0)
            if script not in found:
                found.append(script)
                waiting += self.names(STATIC, script)
        return found
