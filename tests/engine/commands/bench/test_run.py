"""The benchmark's parts run for real, small; none of their numbers is asserted."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import presets
from engine.commands.bench import clips, first_load, model, page, run
from engine.commands.bench.row import BenchFailed, BenchRow, Say
from engine.commands.main import main
from engine.home import PROJECT, Home
from engine.library.library import Library
from engine.store import Store
from tests.conftest import wait_until
from tests.support.served import LAZY


@pytest.mark.starts
def test_a_part_prints_one_object_with_its_reference(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "WRITES", 1)
    assert main(["bench", "--only", "mp4", "--json"]) == 0
    out, err = capfd.readouterr()
    (row,) = json.loads(out)["rows"]
    assert row["ratio"] == pytest.approx(row["value"] / row["reference"], abs=0.01)
    assert row["against"]
    assert "mp4" in err


def test_a_part_that_fails_is_told_and_the_others_rows_are_kept(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_folder: Path, _say: Say) -> Iterator[BenchRow]:
        yield BenchRow("before it", 1.0, "s")
        raise BenchFailed("The page did not start.", "Mend that first.")

    def odd(_folder: Path, _say: Say) -> Iterator[BenchRow]:
        raise ValueError("no such thing")
        yield

    def works(_folder: Path, _say: Say) -> Iterator[BenchRow]:
        yield BenchRow("after it", 2.0, "s")

    monkeypatch.setattr(run, "PARTS", {"page": breaks, "gauge": odd, "mp4": works})
    monkeypatch.setattr(run, "MODEL", "page")  # no clip is made here
    monkeypatch.setattr(model, "choose", lambda *_: None)
    # As where the root can't be written to: there is no folder for temporary files.
    left = Home.find().cache / "headroom-bench-left-by-a-kill"
    left.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/no/such/folder")
        assert main(["bench", "--json"]) == 4
    assert not list(left.parent.glob("headroom-bench-*"))
    told = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in told["rows"]] == ["before it", "after it"]
    assert told["failed"] == {
        "page": "The page did not start. Mend that first.",
        "gauge": "no such thing",
    }
    assert main(["bench"]) == 4
    assert "page failed: The page did not start." in capfd.readouterr().out


def test_a_first_load_without_a_browser_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _name: None)
    said: list[str] = []
    assert list(run.load_rows(tmp_path, said.append)) == []
    assert said == ["load: left out, for it takes Chromium and Playwright."]


@pytest.mark.starts
@pytest.mark.browser
@pytest.mark.skipif(not first_load.can_measure(), reason="Chromium isn't installed")
def test_a_first_load_is_held_against_a_bare_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is loaded beside it, whose start would take longer than all loads."""
    ours = [str(LAZY[1]), *page.OURS[1:]]
    monkeypatch.setattr(page, "OURS", ours)
    monkeypatch.setattr(first_load, "OURS", ours)
    monkeypatch.setattr(first_load, "LOADS", 1)
    Home(tmp_path).create()
    size, soon = run.load_rows(tmp_path, lambda text: None)
    assert size.reached, size.line()
    assert soon.value > 0
    assert soon.ratio


@pytest.mark.starts
def test_an_engine_that_cannot_start_ends_the_part_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "DEFAULT_MODEL", "scripted")
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "fail")
    with pytest.raises(BenchFailed, match="says that loading fails"), clips.opened(tmp_path):
        pass


def test_an_unknown_part_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "nonsense"]) == 2
    assert "Choose one of page, load, gauge" in capfd.readouterr().err


def test_what_is_reached_follows_from_the_ratio_where_there_is_one() -> None:
    assert BenchRow("a", 2.0, "s", 1.0, "b", 1.3).reached is False
    assert BenchRow("a", 1.2, "s", 1.0, "b", 1.3).reached is True
    assert BenchRow("a", 120.0, "ms", None, "", 150.0).reached is True
    assert BenchRow("a", 120.0, "ms", 1.0, "b", None).reached is None


def test_a_full_library_is_full(tmp_path: Path) -> None:
    home = Home(tmp_path / "full")
    home.create()
    page._fill(home, 30)
    store = Store(home.database)
    assert len(Library(home, store).newest()) == 30
    store.close()


@pytest.mark.starts
@pytest.mark.model
def test_a_clip_is_timed_from_asking_to_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "CLIPS", 1)
    monkeypatch.setattr(clips, "CANCELS", 1)
    told = clips.clips(tmp_path, lambda text: None)
    assert told.whole > told.own > 0
    assert told.cancel > 0
    assert told.block > 0


@pytest.mark.starts
@pytest.mark.skipif(sys.platform == "win32", reason="the terminal's end is another signal there")
@pytest.mark.parametrize("ending", ["SIGHUP", "SIGTERM"])
def test_the_terminals_end_breaks_it_off_in_order(ending: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    asked = [sys.executable, "app.py", "bench", "--only", "mp4", "--json"]
    child = subprocess.Popen(
        asked,
        cwd=PROJECT,
        env={**os.environ, "HEADROOM_HOME": str(home.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: bool(list(home.cache.glob("headroom-bench-*"))), "its folder")
    for _ in range(2):  # a shell passes on what the terminal sent already
        child.send_signal(getattr(signal, ending))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert not list(home.cache.glob("headroom-bench-*"))
