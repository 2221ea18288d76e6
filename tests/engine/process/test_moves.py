"""A move to another drive breaks off without a loss; a replacement is there whole or not at all."""

import errno
import os
import sys
from pathlib import Path

import pytest

from engine.process import moves


@pytest.mark.skipif(sys.platform == "win32", reason="errno")
@pytest.mark.parametrize("step", ["shutil.copyfile", "os.fsync", "engine.process.moves._rename"])
def test_a_copy_to_another_drive_that_breaks_off_leaves_the_old_one(
    old: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(step, fail)
    with pytest.raises(OSError, match="No space left"):
        moves.carry(old, tmp_path / "there" / "X.mp4")
    assert old.read_bytes() == b"mine"
    assert list((tmp_path / "there").iterdir()) == [], "nothing half-made is left"


def test_what_cant_leave_its_drive_isnt_doubled(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == old:
            raise PermissionError(errno.EACCES, "read-only")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        moves.carry(old, tmp_path / "there" / "X.mp4")
    assert old.read_bytes() == b"mine"
    assert list((tmp_path / "there").iterdir()) == []


def test_what_a_crash_left_of_a_copy_is_cleared_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / f"{moves.HALF}1-2"
    half.write_bytes(b"hal")
    moves.clear_halves(tmp_path)
    assert half.exists(), "another process may be at it"
    monkeypatch.setattr(moves, "HALF_SECONDS", -1.0)
    moves.clear_halves(tmp_path)
    assert not half.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="errno")
def test_what_was_fetched_takes_its_place_on_another_drive(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def elsewhere(before: Path, after: Path) -> None:
        if Path(before).parent != Path(after).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(before, after)

    monkeypatch.setattr(os, "replace", elsewhere)
    damaged = tmp_path / "there" / "X.mp4"
    damaged.write_bytes(b"damaged")
    moves.replace(old, damaged)
    assert (damaged.read_bytes(), old.exists()) == (b"mine", False)
