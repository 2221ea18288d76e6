"""The benchmark's parts run for real, small; none of their numbers is asserted."""

import json
from pathlib import Path

import pytest

from engine import bench_clip, bench_page
from engine.bench_row import Row
from engine.commands import main
from engine.home import Home
from engine.library import Library
from engine.store import Store


def test_a_part_prints_one_object_with_its_reference(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_clip, "WRITES", 1)
    assert main(["bench", "--only", "mp4", "--json"]) == 0
    out, err = capfd.readouterr()
    (row,) = json.loads(out)["rows"]
    assert row["ratio"] == pytest.approx(row["value"] / row["reference"], abs=0.01)
    assert row["against"]
    assert "mp4" in err


def test_an_unknown_part_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "nonsense"]) == 2
    assert "There are: page, gauge" in capfd.readouterr().err


def test_what_is_reached_follows_from_the_ratio_where_there_is_one() -> None:
    assert Row("a", 2.0, "s", 1.0, "b", 1.3).reached is False
    assert Row("a", 1.2, "s", 1.0, "b", 1.3).reached is True
    assert Row("a", 120.0, "ms", None, "", 150.0).reached is True
    assert Row("a", 120.0, "ms", 1.0, "b", None).reached is None


def test_a_full_library_is_full(tmp_path: Path) -> None:
    home = Home(tmp_path / "full")
    home.create()
    bench_page._fill(home, 30)
    store = Store(home.database)
    assert len(Library(home, store).newest()) == 30
    store.close()


@pytest.mark.model
def test_a_clip_is_timed_from_asking_to_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_clip, "CLIPS", 1)
    monkeypatch.setattr(bench_clip, "CANCELS", 1)
    told = bench_clip.clips(tmp_path, lambda text: None)
    assert told.whole > told.own > 0
    assert told.cancel > 0
    assert told.block > 0
