"""A clip's file moves without overwriting another one, on this drive and to others."""

import errno
import os
import sys
from pathlib import Path

import pytest

from engine.library import files
from engine.library.files import Identity
from engine.process import moves


def never(_name: str) -> bool:
    return False


@pytest.fixture(params=["at once", "name first", "to another drive"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a system renames: in one step, by taking the name first, or by copying."""
    rename = moves._rename

    def elsewhere(old: Path, new: Path) -> None:
        if old.parent != new.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(old), None, str(new))
        rename(old, new)

    if request.param != "at once" and sys.platform != "win32":
        monkeypatch.setattr(moves, "_renamed_by_linux", lambda *_: False)
    if request.param == "to another drive":
        monkeypatch.setattr(moves, "_rename", elsewhere)
    return str(request.param)


@pytest.fixture
def old(old: Path) -> Path:
    """With a time of its own, and a picture of somebody's beside it."""
    old.with_suffix(".jpg").write_bytes(b"my holiday")
    os.utime(old, ns=(10**18, 10**18 + 123_456_789))
    return old


def test_a_move_leaves_pictures_alone(way: str, old: Path, tmp_path: Path) -> None:
    there, stamp = tmp_path / "there", files.stamp_of(old)
    (there / "X.jpg").write_bytes(b"another picture")
    assert files.move(old, there, never) == "X.mp4"
    assert {p.name: p.read_bytes() for p in there.iterdir()} == {
        "X.mp4": b"mine",
        "X.jpg": b"another picture",
    }
    assert [p.read_bytes() for p in old.parent.iterdir()] == [b"my holiday"]
    assert files.stamp_of(there / "X.mp4") == stamp


def test_a_move_never_overwrites(way: str, old: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "X.mp4").write_bytes(b"another's")
    assert files.move(old, there, lambda name: name == "X-2.mp4") == "X-3.mp4"
    assert (there / "X.mp4").read_bytes() == b"another's"
    assert (there / "X-3.mp4").read_bytes() == b"mine"
    (there / "folder.mp4").mkdir()
    with pytest.raises(FileExistsError):
        moves.move(there / "X.mp4", there / "folder.mp4")


def test_a_longest_name_gives_way_to_one_that_the_system_takes(way: str, old: Path) -> None:
    longest = "ü" * 125 + "x.mp4"
    old.rename(old.with_name(longest))
    (old.parent.parent / "there" / longest).write_bytes(b"another's")
    name = files.move(old.with_name(longest), old.parent.parent / "there", never)
    assert name.endswith("-2.mp4")
    assert len(name.encode()) <= files.NAME_BYTES


def test_a_file_moves_to_a_second_drive_for_real(old: Path, second_drive: Path) -> None:
    if old.stat().st_dev == second_drive.stat().st_dev:
        pytest.skip("no second drive here")
    (second_drive / "X.mp4").write_bytes(b"another's")
    assert files.move(old, second_drive, never) == "X-2.mp4"
    assert (second_drive / "X-2.mp4").read_bytes() == b"mine"
    assert not old.exists()
    assert files.move(second_drive / "X.mp4", old.parent, never) == "X.mp4"
    assert old.read_bytes() == b"another's"


def test_the_same_file_is_known_by_its_time_or_by_its_bytes(old: Path) -> None:
    identity = Identity.of(old)
    assert Identity.from_row(*identity.to_row()) == identity
    os.utime(old, (1, 1))
    stamp = files.stamp_of(old)
    assert stamp
    assert identity.fits(old, stamp), "a touched file is the same one"
    old.write_bytes(b"MINE")
    stamp = files.stamp_of(old)
    assert stamp
    assert not identity.fits(old, stamp)
    assert Identity(identity.stamp).fits(old, stamp), "nobody knows the bytes of a row of before"
    assert not Identity(identity.stamp).fits(old, (stamp[0], 5))
    assert Identity.from_row(None, None).fits(old, stamp)
    late = Identity((2**63 * 10, 5), None)
    assert Identity.from_row(*late.to_row()) == late, "a time that SQLite has no integer for"
