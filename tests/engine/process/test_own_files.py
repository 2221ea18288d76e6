"""What stands where somebody named a file."""

import os
from pathlib import Path

import pytest

from engine.adapters.lora_file import AdapterError, read_lora
from engine.home import Home
from engine.library.intake import Intake
from engine.library.mp4 import ClipError, read_receipt
from engine.pictures.plain import PictureError
from engine.process.own_files import why_no_file

REFUSING = [
    (read_lora, AdapterError),
    (read_receipt, ClipError),
    (lambda path: Intake(Home.find()).take(path), PictureError),
]


@pytest.fixture
def odd(tmp_path: Path) -> dict[Path, str]:
    """Places without a file, and the id of what is said of them."""
    file = tmp_path / "file"
    file.touch()
    found = {
        tmp_path: "files.is_folder",
        tmp_path / "none": "files.none",
        file / "below": "files.none",
        tmp_path / ("x" * 300): "files.none",
        tmp_path / "a\0b": "files.none",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "itself").symlink_to("itself")
        found |= {
            tmp_path / "pipe": "files.is_special",
            Path(os.devnull): "files.is_special",
            tmp_path / "itself": "files.none",
        }
    return found


def test_what_is_no_file_is_named(odd: dict[Path, str], tmp_path: Path) -> None:
    said = {path: why_no_file(path, "it") for path in odd}
    assert {path: text and text.id for path, text in said.items()} == odd
    assert why_no_file(tmp_path / "file", "it") is None


@pytest.mark.parametrize(("read", "error"), REFUSING, ids=["lora", "clip", "picture"])
def test_every_reader_of_named_files_says_so_without_opening_it(
    read: object, error: type[Exception], odd: dict[Path, str]
) -> None:
    assert callable(read)
    for path, id in odd.items():
        with pytest.raises(error) as refused:
            read(path)
        assert refused.value.sentence.id == id, path  # type: ignore[attr-defined]
