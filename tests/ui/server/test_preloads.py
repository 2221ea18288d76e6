"""What is asked for early is what the template asks for in the end, and nothing where it isn't."""

from pathlib import Path

import pytest

from ui.server.preloads import FRONTEND, first_scripts


def test_the_first_scripts_are_those_of_the_gradio_that_is_here() -> None:
    names = first_scripts()
    assert names[0] in (FRONTEND / "index.html").read_text(encoding="utf-8")
    assert any(name.startswith("Blocks-") for name in names)
    assert len(names) == len(set(names))
    assert 3 < len(names) < 40, "not everything that a page could ever need"
    assert all((FRONTEND / "assets" / name).is_file() for name in names)


@pytest.fixture
def frontend(tmp_path: Path) -> Path:
    scripts = {
        "index-1.js": 'import"./base-1.js";const a=()=>import("./App-1.js");import("./x-1.js")',
        "App-1.js": 'import{a}from"./base-1.js";import b from"./more-1.js";import("./Blocks-1.js")',
        "Blocks-1.js": 'import"./base-1.js";const later=()=>import("./video-1.js");',
        **dict.fromkeys(("base-1.js", "more-1.js", "x-1.js", "video-1.js"), ""),
    }
    (tmp_path / "assets").mkdir()
    for name, code in scripts.items():
        (tmp_path / "assets" / name).write_text(code, encoding="utf-8")
    page = '<script type="module" crossorigin src="./assets/index-1.js"></script>'
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    return tmp_path


def test_it_follows_what_they_import_but_not_what_comes_later(frontend: Path) -> None:
    found = ["index-1.js", "App-1.js", "Blocks-1.js", "base-1.js", "more-1.js"]
    assert first_scripts(frontend) == found


@pytest.mark.parametrize("gone", ["index.html", "assets/App-1.js", "assets/more-1.js"])
def test_a_gradio_that_is_built_in_another_way_is_left_to_itself(frontend: Path, gone: str) -> None:
    (frontend / gone).unlink()
    assert first_scripts(frontend) == []


def test_without_the_last_one_nothing_is_asked_for(frontend: Path) -> None:
    (frontend / "assets/App-1.js").write_text("", encoding="utf-8")
    assert first_scripts(frontend) == []
