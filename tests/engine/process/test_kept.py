"""Small files of answers, written by several processes."""

import json
from pathlib import Path

import pytest

from engine.process.kept import held, keep


def test_the_newest_stay_and_the_latest_is_last(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "answers.json"
    for number in range(5):
        keep(file, str(number), number, 3)
    assert held(file) == {"2": 2, "3": 3, "4": 4}
    keep(file, "2", "again", 3)
    assert list(held(file)) == ["3", "4", "2"]
    keep(file, "alone", 1, 1)
    assert held(file) == {"alone": 1}


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "\x00"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "answers.json"
    file.write_text(text)
    assert held(file) == {}
    keep(file, "a", 1, 3)
    assert json.loads(file.read_text()) == {"a": 1}


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "answers.json"
    folder.mkdir()
    keep(folder, "a", 1, 3)
    assert held(folder) == {}
    assert list(tmp_path.iterdir()) == [folder]
