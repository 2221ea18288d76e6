"""A ZIP that is made while it is sent."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.library.archive import BLOCK, safe_name, zipped
from engine.library.files import NAME_BYTES


def note(left_out: list[str]) -> str:
    return " ".join(left_out)


def whole(*files: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(zipped(files, ("note.txt", note)))))


def test_no_block_is_much_larger_than_what_is_read_at_a_time(tmp_path: Path) -> None:
    """It is never whole in memory: what was read is handed on before more is."""
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(range(256)) * (3 * BLOCK // 256) + b"end")
    blocks = list(zipped([large, large], ("note.txt", note)))
    assert max(map(len, blocks)) < BLOCK + 1000
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as made:
        assert made.testzip() is None
        assert made.namelist() == ["large.mp4", "large-2.mp4"]
        assert made.read("large-2.mp4") == large.read_bytes()


def test_nothing_is_read_before_it_is_taken(tmp_path: Path) -> None:
    first, second = tmp_path / "1.mp4", tmp_path / "2.mp4"
    first.write_bytes(b"1" * BLOCK)
    second.write_bytes(b"2")
    blocks = zipped([first, second], ("note.txt", note))
    begun = next(blocks)
    second.write_bytes(b"another")
    with zipfile.ZipFile(io.BytesIO(begun + b"".join(blocks))) as made:
        assert made.read("2.mp4") == b"another"


def test_an_archive_beyond_4_gb_is_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit where ZIP64 begins set low: 4 GB would take this test too long."""
    for number in range(3):
        (tmp_path / f"{number}.mp4").write_bytes(bytes([number]) * 3000)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2000)
    data = b"".join(zipped(sorted(tmp_path.glob("*.mp4")), ("note.txt", note)))
    assert b"PK\x06\x06" in data, "ZIP64's end of the directory"
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.testzip() is None
        assert made.read("2.mp4") == b"\2" * 3000


def test_links_and_files_that_went_are_left_out_with_a_note(tmp_path: Path) -> None:
    kept, gone, link = (tmp_path / name for name in ("kept.mp4", "gone.mp4", "link.mp4"))
    kept.write_bytes(b"kept")
    link.symlink_to(kept)
    with whole(gone, kept, link) as made:
        assert made.namelist() == ["kept.mp4", "note.txt"]
        assert made.read("note.txt") == b"gone.mp4 link.mp4"


def test_an_end_in_the_middle_closes_what_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "1.mp4"
    path.write_bytes(b"1" * 3 * BLOCK)
    opened: list[Any] = []
    real = Path.open

    def noted(self: Path, mode: str = "r") -> Any:
        opened.append(real(self, mode))
        return opened[-1]

    monkeypatch.setattr(Path, "open", noted)
    blocks = zipped([path], ("note.txt", note))
    next(blocks)
    assert [file.closed for file in opened] == [False]
    blocks.close()
    assert [file.closed for file in opened] == [True]


def test_a_file_that_cant_be_read_to_its_end_is_no_whole_zip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client sees that the download broke off, instead of a clip that is cut."""
    path = tmp_path / "1.mp4"
    path.write_bytes(b"1" * 3 * BLOCK)

    class Unplugged(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError("the drive is gone")
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda *_: Unplugged(b"1" * 3 * BLOCK))
    with pytest.raises(OSError, match="the drive is gone"):
        list(zipped([path], ("note.txt", note)))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("00001-a-red-ball-seed7.mp4", "00001-a-red-ball-seed7.mp4"),
        ("größer 片.mp4", "größer 片.mp4"),
        ("..\\..\\evil.mp4", "_.._evil.mp4"),
        ("a:b*c?.mp4", "a_b_c_.mp4"),
        ("line\nbreak.mp4", "line_break.mp4"),
        ("-rf.mp4", "_-rf.mp4"),
        ("CON.mp4", "_CON.mp4"),
        ("com1.x.mp4", "_com1.x.mp4"),
        ("console.mp4", "console.mp4"),
        ("...mp4", "mp4"),
        (" .mp4", "clip.mp4"),
        ("trailing .mp4", "trailing.mp4"),
        ("x" * 300 + ".mp4", "x" * 251 + ".mp4"),
        ("片" * 100 + ".mp4", "片" * 83 + ".mp4"),
    ],
)
def test_names_that_every_system_can_unpack(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert len(safe.encode()) <= NAME_BYTES


def test_names_are_unique_where_case_and_forms_are_overlooked(tmp_path: Path) -> None:
    files = []
    for folder, name in enumerate(("a.mp4", "A.mp4", "é.mp4", "e\u0301.mp4", "NOTE.txt")):
        (tmp_path / str(folder)).mkdir()
        files.append(tmp_path / str(folder) / name)
        files[-1].write_bytes(b"x")
    with whole(*files) as made:
        assert made.namelist() == ["a.mp4", "A-2.mp4", "é.mp4", "e\u0301-2.mp4", "NOTE-2.txt"]
