"""A clip is its content, not its name: people copy, rename and replace files."""

import os
import shutil
from pathlib import Path

import pytest

from engine.library import folder_sync, reader_process
from engine.library.folder_sync import FolderSync
from engine.library.library import Clip, Library, LibraryError, Query, add_clip
from engine.library.mp4 import ClipError
from engine.process.own_files import sha256_of
from engine.text import Text
from tests.support.clipfiles import receipt, write

pytestmark = pytest.mark.starts


@pytest.fixture
def first(library: Library, care: FolderSync) -> Clip:
    """X.mp4, in the library."""
    write(library.home.clips / "X.mp4", receipt("the first"))
    care.scan()
    return library.newest()[0]


@pytest.fixture
def another(tmp_path: Path) -> Path:
    return write(tmp_path / "another.mp4", receipt("the other"))


def shows(library: Library, trash: bool = False) -> dict[str, str]:
    """The names of the clips by prompt; each lies where its row says, with its own bytes."""
    clips = library.page(Query(trash=trash)).clips
    for clip in clips:
        assert sha256_of(library.place(clip)) == clip.identity.digest
    return {clip.request.prompt: clip.file for clip in clips}


def test_another_clip_under_a_deleted_ones_name_is_another_clip(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    library.trash(first.id)
    shutil.copy2(another, library.home.clips / "X.mp4")
    assert care.scan().added == 1
    assert shows(library) == {"the other": "X.mp4"}
    assert shows(library, trash=True) == {"the first": "X-2.mp4"}
    library.trash(library.newest()[0].id)
    assert shows(library, trash=True) == {"the first": "X-2.mp4", "the other": "X.mp4"}
    for clip in library.page(Query(trash=True)).clips:
        library.restore(clip.id)
    assert shows(library) == {"the first": "X-2.mp4", "the other": "X.mp4"}
    assert (care.scan().changed, care.scan().refused) == (0, ())


def test_a_clip_comes_back_beside_a_file_that_took_its_name(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    library.trash(first.id)
    shutil.copy2(another, library.home.clips / "X.mp4")
    library.restore(first.id)  # nobody has looked into the folder since
    assert shows(library) == {"the first": "X-2.mp4"}
    care.scan()
    assert shows(library) == {"the first": "X-2.mp4", "the other": "X.mp4"}


def test_a_file_that_was_replaced_is_another_clip(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    library.favourite(first.id, True)
    shutil.copy2(another, library.home.clips / "X.mp4")
    with pytest.raises(LibraryError) as told:
        library.trash(first.id)
    assert told.value.sentence.id == "library.another_file"
    care.scan()
    assert shows(library) == {"the other": "X.mp4"}
    assert not library.newest()[0].favourite
    old = library.get(first.id)
    assert old is not None
    assert old.missing
    write(library.home.clips / "back again.mp4", receipt("the first"))
    care.scan()
    assert shows(library) == {"the first": "back again.mp4", "the other": "X.mp4"}
    found = library.get(first.id)
    assert found is not None
    assert not found.missing, "its row found it"


def test_a_file_that_was_touched_or_copied_over_itself_is_the_same_clip(
    library: Library, care: FolderSync, first: Clip, tmp_path: Path
) -> None:
    library.favourite(first.id, True)
    path = library.home.clips / "X.mp4"
    os.utime(path, (1, 1))
    assert care.scan().changed == 0
    shutil.copy(path, tmp_path / "backup")
    path.unlink()
    care.scan()
    assert shows(library) == {}
    shutil.copy(tmp_path / "backup", path.with_name("renamed too.mp4"))
    care.scan()
    assert [(c.id, c.file, c.favourite) for c in library.newest()] == [
        (first.id, "renamed too.mp4", True)
    ]


def test_two_files_that_change_names_keep_their_rows(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    clips = library.home.clips
    shutil.copy2(another, clips / "Y.mp4")
    care.scan()
    library.favourite(first.id, True)
    (clips / "X.mp4").rename(clips / "Z")
    (clips / "Y.mp4").rename(clips / "X.mp4")
    (clips / "Z").rename(clips / "Y.mp4")
    assert care.scan().added == 0
    assert shows(library) == {"the first": "Y.mp4", "the other": "X.mp4"}
    kept = library.get(first.id)
    assert kept is not None
    assert kept.favourite


def test_a_name_that_is_taken_in_the_trash_is_left_alone(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    strange = library.home.trash / "X.mp4"
    shutil.copy2(another, strange)
    library.trash(first.id)
    assert shows(library, trash=True) == {"the first": "X-2.mp4"}
    care.scan()
    assert shows(library, trash=True) == {"the first": "X-2.mp4", "the other": "X.mp4"}


def test_emptying_the_trash_removes_what_was_deleted_and_nothing_else(
    library: Library, care: FolderSync, first: Clip, another: Path
) -> None:
    library.trash(first.id)
    with library.store.transaction() as db:
        db.execute("update clips set trashed = '2001-01-01T00:00:00.000+00:00'")
    there = library.home.trash / "X.mp4"
    mine = there.read_bytes()
    shutil.copy2(another, there)
    assert library.purge() == 0
    assert sha256_of(there) == sha256_of(another)
    there.write_bytes(mine)
    shutil.copy2(another, library.home.clips / "X.mp4")
    assert library.purge() == 1
    assert not there.exists()
    assert (library.home.clips / "X.mp4").exists()


def test_a_file_without_a_receipt_under_a_deleted_ones_name_is_refused(
    library: Library, care: FolderSync, first: Clip
) -> None:
    library.trash(first.id)
    holiday = write(library.home.clips / "X.mp4", None)
    assert [why.id for _, why in care.scan().refused] == ["library.no_receipt"]
    assert shows(library, trash=True) == {"the first": "X.mp4"}
    library.restore(first.id)
    assert shows(library) == {"the first": "X-2.mp4"}
    assert holiday.exists()


STRANGE = {
    "of a German Windows": b"K\xe4tzchen.mp4",
    "of a Chinese Windows": "视频.mp4".encode("gbk"),
    "half a character": b"\xf0\x9f\x98.mp4",
}


@pytest.mark.skipif(os.name == "nt", reason="its names are text")
@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_a_name_that_isnt_utf_8_is_refused_alone(
    library: Library, care: FolderSync, name: bytes
) -> None:
    write(library.home.clips / "good.mp4", receipt())
    strange = Path(os.fsdecode(os.path.join(os.fsencode(library.home.clips), name)))
    try:
        shutil.copyfile(library.home.clips / "good.mp4", strange)
    except OSError:
        pytest.skip("this drive has UTF-8 names only")
    report = care.scan()
    assert (report.added, shows(library)) == (1, {"a red ball": "good.mp4"})
    ((_, why),) = report.refused
    assert why.id == "library.name_bytes"
    assert "\\x" in str(why).encode().decode(), "its bytes are shown"
    assert care.scan().refused == report.refused
    library.trash(library.newest()[0].id)


@pytest.mark.skipif(os.name == "nt", reason="pipes and sockets in folders")
def test_what_is_no_file_is_told_and_never_opened(library: Library, care: FolderSync) -> None:
    clips = library.home.clips
    (clips / "folder.mp4").mkdir()
    os.mkfifo(clips / "pipe.mp4")
    (clips / "link.mp4").symlink_to("/etc/passwd")
    told = {name: why.id for name, why in care.scan().refused}
    assert told == {
        "folder.mp4": "files.is_folder",
        "pipe.mp4": "files.is_special",
        "link.mp4": "library.is_link",
    }


@pytest.mark.parametrize("seconds", [-2_177_000_000, 9_300_000_000, 600_000_000_000])
def test_a_time_in_any_year_is_taken_or_told(
    library: Library, care: FolderSync, seconds: int
) -> None:
    path = write(library.home.clips / "one.mp4", receipt())
    write(library.home.clips / "two.mp4", receipt("two"))
    os.utime(path, (seconds, seconds))
    kept = path.stat().st_mtime  # some drives know fewer years
    report = care.scan()
    assert {clip.file for clip in library.newest()} >= {"two.mp4"}
    if kept < 253_402_300_800:
        assert (report.added, report.refused) == (2, ())
    else:
        assert report.refused == (("one.mp4", Text("library.time_beyond", file="one.mp4")),)


def test_one_file_that_no_row_takes_leaves_the_others(
    library: Library, care: FolderSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write(library.home.clips / f"{name}.mp4", receipt(name))
    add = add_clip

    def picky(db: object, job: object, created: object, file: str, *rest: object) -> None:
        add(db, job, created, file, *rest)  # type: ignore[arg-type]
        if file == "b.mp4":
            raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")

    monkeypatch.setattr(folder_sync, "add_clip", picky)
    report = care.scan()
    assert (report.added, sorted(shows(library))) == (2, ["a", "c"])
    assert [(name, why.id) for name, why in report.refused] == [("b.mp4", "library.no_row")]
    assert "UnicodeEncodeError" in str(report.refused[0][1])


def test_a_file_that_may_not_be_read_is_looked_at_again(
    library: Library, care: FolderSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(library.home.clips / "locked.mp4", receipt())
    why = Text("library.cant_read", file="locked.mp4", reason="Permission denied")
    with monkeypatch.context() as patch:
        patch.setattr(reader_process, "receipts", lambda _: {path: ClipError(why)})
        assert care.scan().refused == (("locked.mp4", why),)
        assert care.scan().refused == (("locked.mp4", why),)
    found = FolderSync(library).scan()
    assert (found.added, found.refused) == (1, ())


def test_a_file_that_goes_on_growing_is_left_for_later(
    library: Library, care: FolderSync, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(library.home.clips / "growing.mp4", receipt())
    read = reader_process.receipts

    def meanwhile(paths: list[Path]) -> object:
        found = read(paths)
        with path.open("ab") as more:
            more.write(b"more")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(reader_process, "receipts", meanwhile)
        assert (care.scan().added, care.scan().refused) == (0, ())
    path.unlink()
    monkeypatch.setattr(reader_process, "receipts", lambda _: {path: None})
    assert care.scan().refused == ()
