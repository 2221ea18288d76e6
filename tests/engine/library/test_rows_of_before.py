"""Rows of version 0.1.0 kept names only: another file of such a name isn't theirs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.library import folder_sync, rows_of_before
from engine.library.folder_sync import FolderSync
from engine.library.library import Clip, Library
from tests.support.clipfiles import receipt, write
from tests.support.data_of_before import FIXTURES, OFFICE, opened, unpack

pytestmark = pytest.mark.starts


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.0)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Engine]:
    """What 0.1.0 left, before anybody scanned it."""
    with opened(unpack(FIXTURES / "data-of-0.1.0", tmp_path / "before"), OFFICE) as engine:
        yield engine


def clip(library: Library, number: int) -> Clip:
    found = library.get(number)
    assert found is not None
    return found


@pytest.mark.parametrize("missing", [0, 1])
def test_a_file_of_another_clip_isnt_taken_for_its_name(kept: Engine, missing: int) -> None:
    library = kept.library
    red, star = clip(library, 1), library.home.clips / "from a friend.mp4"
    stranger = write(library.home.cache / "stranger.mp4", receipt("the stranger"))
    with library.store.transaction() as db:
        db.execute("update clips set missing = ? where id = 1", (missing,))
    star.unlink()  # a copy of clip 1, which would take its row
    shutil.copy(stranger, library.home.clips / red.file)
    kept.folder_sync.scan()
    assert clip(library, 1).missing
    shown = {found.file: found.request.prompt for found in library.newest()}
    assert shown[red.file] == "the stranger"


def test_a_missing_row_is_found_by_its_receipt(kept: Engine) -> None:
    library = kept.library
    with library.store.transaction() as db:
        db.execute("update clips set missing = 1 where id = 1")
    (library.home.clips / "from a friend.mp4").unlink()
    kept.folder_sync.scan()
    assert not clip(library, 1).missing


def test_the_rows_of_a_small_library_have_bytes_after_one_scan(kept: Engine) -> None:
    library = kept.library
    kept.folder_sync.scan()
    rows = library.store.rows("select id from clips where missing = 0 and digest is null")
    assert len(rows) == 0


@pytest.fixture
def library(jobs: Jobs) -> Library:
    """X.mp4, Y.mp4 and Z.mp4, whose rows know nothing of them."""
    library = Library(Home.find(), jobs.store)
    for name in ("X", "Y", "Z"):
        write(library.home.clips / f"{name}.mp4", receipt(name))
    FolderSync(library).scan()
    with library.store.transaction() as db:
        db.execute("update clips set stamp = null, digest = null")
    return library


def test_rows_of_before_take_the_file_of_their_name(library: Library) -> None:
    """Also one that holds no receipt, as its maker may have wanted it."""
    write(library.home.clips / "X.mp4", None)
    os.utime(library.home.clips / "Y.mp4", (5, 5))
    found = FolderSync(library).scan()
    assert (found.changed, found.refused) == (0, ())
    assert {c.file: c.request.prompt for c in library.newest()} == {
        f"{name}.mp4": name for name in ("X", "Y", "Z")
    }
    assert all(c.identity.stamp and c.identity.digest for c in library.newest())


def test_two_files_that_changed_names_before_the_first_scan_have_their_rows(
    library: Library,
) -> None:
    clips, numbers = library.home.clips, {c.request.prompt: c.id for c in library.newest()}
    (clips / "X.mp4").rename(clips / "other")
    (clips / "Y.mp4").rename(clips / "X.mp4")
    (clips / "other").rename(clips / "Y.mp4")
    FolderSync(library).scan()
    assert {c.request.prompt: (c.id, c.file) for c in library.newest()} == {
        "X": (numbers["X"], "Y.mp4"),
        "Y": (numbers["Y"], "X.mp4"),
        "Z": (numbers["Z"], "Z.mp4"),
    }


def test_bytes_are_learned_a_few_a_scan_and_then_a_swap_is_seen(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_of_before, "AT_ONCE", 2)
    care, clips = FolderSync(library), library.home.clips

    def known() -> int:
        return sum(c.identity.digest is not None for c in library.newest())

    counts = []
    for _ in range(2):
        care.scan()
        counts.append(known())
    assert counts == [2, 3]
    assert (clips / "X.mp4").stat().st_size == (clips / "Y.mp4").stat().st_size
    shutil.copy(clips / "Y.mp4", clips / "X.mp4")
    os.utime(clips / "X.mp4", (5, 5))
    care.scan()
    assert {c.file: c.request.prompt for c in library.newest()} == {
        "X.mp4": "Y",
        "Y.mp4": "Y",
        "Z.mp4": "Z",
    }


def test_without_a_reader_no_row_loses_its_file(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.library.reader_process.sys.executable", "no python")
    assert FolderSync(library).scan().problem
    assert len(library.newest()) == 3
