"""Where pictures lie, and when they go."""

import os
import time
from pathlib import Path

import pytest

from engine.home import Home
from engine.pictures.kept import SPARE_SECONDS, KeptPictures
from engine.process.own_files import sha256_of

OLD = SPARE_SECONDS + 60


@pytest.fixture
def kept(tmp_path: Path) -> KeptPictures:
    home = Home(tmp_path / "home")
    home.create()
    return KeptPictures(home)


def keep(kept: KeptPictures, tmp_path: Path, data: bytes, age: float = 0.0) -> str:
    source = tmp_path / "source"
    source.write_bytes(data)
    sha256 = sha256_of(source)
    file = kept.add(source, sha256, ".png")
    os.utime(file, (time.time() - age,) * 2)
    return sha256


def test_the_same_is_kept_once_and_counts_as_new_again(kept: KeptPictures, tmp_path: Path) -> None:
    first = keep(kept, tmp_path, b"one", age=OLD)
    source = tmp_path / "again"
    source.write_bytes(b"one")
    kept.add(source, first, ".png")
    assert [file.name for file in kept.home.pictures.iterdir()] == [f"{first}.png"]
    assert kept.settle((), ()) == 0, "it was asked for this moment"
    file = kept.find(first)
    assert file is not None
    assert sha256_of(file) == first


def test_one_goes_to_the_trash_with_the_last_clip_and_comes_back(
    kept: KeptPictures, tmp_path: Path
) -> None:
    sha256 = keep(kept, tmp_path, b"one", age=OLD)
    kept.settle({sha256}, {sha256})
    assert kept.find(sha256) == kept.home.pictures / f"{sha256}.png"
    kept.settle((), {sha256})
    assert kept.find(sha256) == kept.home.trash / "pictures" / f"{sha256}.png"
    kept.settle({sha256}, ())
    assert kept.find(sha256) == kept.home.pictures / f"{sha256}.png"


def test_what_nothing_names_goes_after_a_while_and_from_the_trash_at_once(
    kept: KeptPictures, tmp_path: Path
) -> None:
    young, old = keep(kept, tmp_path, b"young"), keep(kept, tmp_path, b"old", age=OLD)
    deleted = keep(kept, tmp_path, b"deleted")
    for sha256 in (young, old, deleted):
        kept.plain(sha256).parent.mkdir(parents=True, exist_ok=True)
        kept.plain(sha256).write_bytes(b"plain")
    kept.settle((), {deleted})
    assert (kept.find(young) is None, kept.find(old)) == (False, None)
    kept.settle((), ())
    assert kept.find(deleted) is None
    assert not kept.plain(deleted).exists()
    assert kept.plain(young).exists()


def test_somebody_elses_file_is_left_alone(kept: KeptPictures) -> None:
    own = kept.home.pictures / "holiday.png"
    own.write_bytes(b"mine")
    os.utime(own, (0, 0))
    linked = kept.home.pictures / ("a" * 64 + ".png")
    try:
        linked.symlink_to(own)
    except OSError:
        pytest.skip("no links here")
    assert kept.find("a" * 64) is None, "a link could name any file of this computer"
    kept.settle(("a" * 64,), ())
    assert own.read_bytes() == b"mine"


def test_halves_of_a_crash_are_cleared(kept: KeptPictures) -> None:
    half = kept.home.pictures / ".half-1-2"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    kept.settle((), ())
    assert not half.exists()
