"""No browser holds up the page."""

import threading
import time
import webbrowser
from pathlib import Path

import pytest

from tests.conftest import wait_until
from ui.browser import open_page

URL = "http://127.0.0.1:7860/"


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    made = folder / name
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs in it; no browser is known yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(webbrowser, "_tryorder", None)
    monkeypatch.setattr(webbrowser, "_browsers", {})
    return tmp_path


@pytest.mark.parametrize("name", ["w3m", "lynx", "links", "elinks"])
def test_a_text_browser_is_not_started(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path, name, f"touch '{path}/started'; sleep 60")
    monkeypatch.setenv("TERM", "xterm")
    assert f"{name} has none" in open_page(URL)
    assert not (path / "started").exists()


def test_nor_is_one_behind_debians_name_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path, "w3m")
    (path / "alternative").symlink_to(path / "w3m")
    (path / "www-browser").symlink_to(path / "alternative")
    monkeypatch.setenv("BROWSER", "www-browser")
    assert "w3m has none" in open_page(URL)


@pytest.mark.starts
def test_a_browser_that_stays_in_front_holds_up_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"echo \"$1\" > '{path}/opened'; while [ ! -e '{path}/end' ]; do /bin/sleep 0.1; done"
    monkeypatch.setenv("BROWSER", str(program(path, "my browser", script)))
    began = time.monotonic()
    assert open_page(URL) == ""
    assert time.monotonic() - began < 5
    wait_until((path / "opened").exists, "the browser's start")
    wait_until(lambda: (path / "opened").read_text() == f"{URL}\n", "the address")
    (path / "end").touch()
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name == "browser"], "the browser's end"
    )


def test_without_a_browser_a_sentence_says_so(path: Path) -> None:
    assert "No browser was found" in open_page(URL)


@pytest.mark.parametrize(
    "value", ["firefox 'x", "  ", "'", "x %s 'y", "no-such-program", "\\", "''"]
)
def test_a_browser_that_cant_be_one_is_a_sentence(
    value: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", value)
    assert "open the address in" in open_page(URL)


def test_whatever_a_browser_raises_the_page_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def falls_over() -> webbrowser.BaseBrowser:
        raise RuntimeError("no display")

    monkeypatch.setattr(webbrowser, "get", falls_over)
    assert "open the address in" in open_page(URL)
