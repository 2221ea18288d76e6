"""Files that come and go by hand, and crashes between a file's move and its row."""

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.jobs import Jobs
from engine.library import folder_sync, reader_process
from engine.library.folder_sync import FolderSync
from engine.library.library import Library, Query
from engine.library.mp4 import ClipError
from engine.library.receipt import checked
from engine.text import Text
from tests.conftest import Ask, wait_until
from tests.support.clipfiles import receipt, write

pytestmark = pytest.mark.starts


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were opened, in order."""
    seen: list[str] = []
    read = reader_process.receipts

    def watched(paths: list[Path]) -> dict[Path, dict[str, Any] | ClipError]:
        seen.extend(path.name for path in paths)
        return read(paths)

    monkeypatch.setattr(reader_process, "receipts", watched)
    return seen


def files(library: Library) -> list[str]:
    return sorted(clip.file for clip in library.newest())


def test_a_file_added_by_hand_is_taken_in_once(
    care: FolderSync, library: Library, opened: list[str]
) -> None:
    brought = write(library.home.clips / "brought.mp4", receipt("a brought ball"))
    os.utime(brought, (1_600_000_000, 1_600_000_000))
    assert (care.scan().added, care.scan().added) == (1, 0)
    clip = library.newest()[0]
    assert (clip.job, clip.file, clip.request.prompt) == (None, "brought.mp4", "a brought ball")
    assert clip.created.startswith("2020-09-13T12:26:40")
    assert opened == ["brought.mp4"]
    assert library.page(Query(words="BROUGHT")).count == 1


def test_a_file_that_went_hides_its_row_until_it_is_back(
    care: FolderSync, library: Library, tmp_path: Path
) -> None:
    path = write(library.home.clips / "one.mp4", receipt())
    care.scan()
    library.favourite(library.newest()[0].id, True)
    kept = library.newest()[0]
    path.replace(tmp_path / "one.mp4")
    assert care.scan().added == 0
    assert library.newest() == []
    (tmp_path / "one.mp4").replace(path)
    assert care.scan().added == 0
    assert library.newest() == [kept]


def test_the_row_of_a_renamed_file_follows_it(care: FolderSync, library: Library) -> None:
    path = write(library.home.clips / "one.mp4", receipt())
    care.scan()
    kept = library.newest()[0]
    path.rename(path.with_name("My best ball.mp4"))
    care.scan()
    assert [(c.id, c.file) for c in library.newest()] == [(kept.id, "My best ball.mp4")]


def test_foreign_and_damaged_files_are_told_and_opened_once(
    care: FolderSync, library: Library, opened: list[str]
) -> None:
    write(library.home.clips / "holiday.mp4", None)
    (library.home.clips / "broken.mp4").write_bytes(b"no video at all")
    (library.home.clips / "notes.txt").write_text("not even named like one")
    hostile = receipt("x")
    hostile["request"]["height"] = "<script>alert(1)</script>"
    write(library.home.clips / "hostile.mp4", hostile)
    told = dict(care.scan().refused)
    assert told.keys() == {"holiday.mp4", "broken.mp4", "hostile.mp4"}
    assert told["holiday.mp4"] == Text("library.no_receipt", file="holiday.mp4")
    assert told["broken.mp4"] == Text("library.no_mp4", file="broken.mp4")
    assert "request.height is invalid" in str(told["hostile.mp4"])
    assert told["hostile.mp4"].values["reason"].id == "library.field_wrong"
    assert library.newest() == []
    assert dict(FolderSync(library).scan().refused) == told, "another start remembers"
    assert len(opened) == 3
    write(library.home.clips / "holiday.mp4", receipt())
    (library.home.clips / "broken.mp4").unlink()
    found = care.scan()
    assert (found.added, [name for name, _ in found.refused]) == (1, ["hostile.mp4"])


def test_refusals_that_a_version_before_kept_are_told_as_they_are(
    care: FolderSync, library: Library, opened: list[str]
) -> None:
    holiday = write(library.home.clips / "holiday.mp4", None)
    about = holiday.stat()
    why = "holiday.mp4 has no Headroom receipt."
    kept = {"holiday.mp4": [about.st_mtime_ns, about.st_size, why]}
    (library.home.cache / "not-taken-in.json").write_text(json.dumps(kept))
    assert [str(told) for _, told in care.scan().refused] == [why]
    assert opened == []


def test_what_is_not_whole_or_just_came_is_left_alone(
    care: FolderSync, library: Library, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 60.0)
    write(library.home.clips / ".partial-7.mp4", receipt())
    write(library.home.clips / "young.mp4", receipt())
    found = care.scan()
    assert (found.added, found.young, found.refused, opened) == (0, 1, (), [])
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.0)
    care.scan()
    assert files(library) == ["young.mp4"]


def test_a_clip_that_the_engine_is_moving_in_stays_the_engines(
    care: FolderSync, library: Library, jobs: Jobs, ask: Ask
) -> None:
    """Between the rename and the row, as a ``kill -9`` would leave it, too."""
    job = jobs.add(ask())
    jobs.claim()
    jobs.made(job.id, "mine.mp4", receipt())
    write(library.home.clips / "mine.mp4", receipt())
    assert care.scan().added == 0
    jobs.finish(job.id, "mine.mp4", receipt())
    care.scan()
    assert [(c.file, c.job) for c in library.newest()] == [("mine.mp4", job.id)]


@pytest.mark.parametrize("back", [False, True])
def test_a_crash_between_a_move_and_its_row_is_made_good(
    care: FolderSync, library: Library, back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(library.home.clips / "one.mp4", receipt())
    care.scan()
    number = library.newest()[0].id
    if back:
        library.trash(number)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(library, "write", crash)
        with pytest.raises(KeyboardInterrupt):
            (library.restore if back else library.trash)(number)
    assert care.scan().added == 0
    clip = library.get(number)
    assert clip is not None
    assert (clip.trashed is None, clip.missing) == (back, False)
    assert library.place(clip).exists()
    assert len(library.store.rows("select 1 from clips")) == 1


def test_clips_moved_into_the_trash_by_hand_are_deleted(care: FolderSync, library: Library) -> None:
    for name in ("known.mp4", "stranger.mp4"):
        write(library.home.clips / name, receipt(name))
        if name == "known.mp4":
            care.scan()
        (library.home.clips / name).replace(library.home.trash / name)
    assert care.scan().added == 1
    assert library.newest() == []
    assert {c.file for c in library.page(Query(trash=True)).clips} == {"known.mp4", "stranger.mp4"}


def test_a_folder_that_cant_be_listed_loses_nothing(care: FolderSync, library: Library) -> None:
    """A drive that isn't mounted, say."""
    write(library.home.clips / "one.mp4", receipt())
    care.scan()
    library.home.clips.rename(library.home.root / "away")
    assert "can't be listed" in str(care.scan().problem)
    assert files(library) == ["one.mp4"]
    (library.home.root / "away").rename(library.home.clips)
    shutil.rmtree(library.home.trash)
    assert care.scan().problem == ""


def test_two_scans_at_once_take_a_file_in_once(care: FolderSync, library: Library) -> None:
    for number in range(5):
        write(library.home.clips / f"{number}.mp4", receipt(str(number)))
    others = [care, care, FolderSync(library)]
    threads = [threading.Thread(target=one.scan) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(library) == [f"{number}.mp4" for number in range(5)]


def test_a_file_that_ends_the_reader_is_told_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, after = (write(tmp_path / f"{n}.mp4", receipt(n)) for n in ("good", "after"))
    bad = tmp_path / "bad.mp4"
    ask = reader_process._ask

    def dying(
        what: reader_process.What, paths: list[tuple[Path, Path | None]], index: int
    ) -> list[dict[str, Any]]:
        names = [path for path, _ in paths]
        return ask(what, paths[: names.index(bad)] if bad in names else paths, index)

    monkeypatch.setattr(reader_process, "_ask", dying)
    found = reader_process.receipts([good, bad, after])
    refusal = found[bad]
    assert isinstance(refusal, ClipError)
    assert refusal.sentence == Text("library.damaged", file="bad.mp4")
    assert refusal.remedy == Text("library.use_ours")
    assert [found[p]["request"]["prompt"] for p in (good, after)] == ["good", "after"]  # type: ignore[index]


def test_a_reader_that_cant_begin_blames_no_file(
    care: FolderSync, library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write(library.home.clips / "one.mp4", receipt())
    for python in (str(tmp_path / "no python"), shutil.which("false") or "false"):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", python)
            with pytest.raises(reader_process.ReaderError, match="can't be started"):
                reader_process.receipts([path])
            found = care.scan()
            assert (found.added, found.refused) == (0, ())
            assert "can't be started" in str(found.problem)
            library.store.rows("select 1")
    assert care.scan().added == 1


Spoil = Callable[[dict[str, Any]], object]
SPOILT: dict[str, Spoil] = {
    "no request": lambda r: r.pop("request"),
    "a request that is a list": lambda r: r.update(request=[1]),
    "a prompt that is a number": lambda r: r["request"].update(prompt=5),
    "no seed": lambda r: r.pop("seed"),
    "an enormous number": lambda r: r["request"].update(height=10**30),
    "seconds without end": lambda r: r["stages"].update(load=float("inf")),
    "not a number": lambda r: r.update(strange=float("nan")),
    "half a character": lambda r: r.update(strange="\ud800"),
    "half a character in the prompt": lambda r: r["request"].update(prompt="\ud800"),
    "a truth for a number": lambda r: r.update(seed=True),
    "a book": lambda r: r.update(strange="x" * 10**6),
    "a plan without values": lambda r: r.update(plan={"threads": 5}),
    "a thousand stages": lambda r: r.update(stages={str(n): 1 for n in range(1000)}),
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_strange_receipt_is_a_sentence(what: str) -> None:
    spoilt = receipt()
    SPOILT[what](spoilt)
    with pytest.raises(ClipError, match=r"The receipt in it\.mp4 is damaged: .+\. Use an MP4"):
        checked(spoilt, "it.mp4")


def test_a_receipt_nested_without_end_ends_nothing(tmp_path: Path) -> None:
    told: dict[str, Any] = receipt()
    inner = told
    for _ in range(900):
        inner["x"] = inner = {}
    deep, good = tmp_path / "deep.mp4", tmp_path / "good.mp4"
    found = reader_process.receipts([write(deep, told), write(good, receipt())])
    assert isinstance(found[good], dict)


def test_a_receipt_of_another_version_is_welcome(tmp_path: Path) -> None:
    told = {**receipt(model="of the future"), "new": {"what": ["ever"]}}
    for optional in ("label", "device", "plan", "versions", "frames_sha256"):
        del told[optional]
    path = write(tmp_path / "it.mp4", told)
    answer = reader_process.receipts([path])[path]
    assert isinstance(answer, dict)
    assert (answer["new"], answer["label"], answer["plan"]) == ({"what": ["ever"]}, "", {})


def test_the_thread_scans_at_its_start_and_ends(care: FolderSync, library: Library) -> None:
    write(library.home.clips / "one.mp4", receipt())
    care.start()
    wait_until(library.newest, "the scan")
    assert files(library) == ["one.mp4"]
    care.close()
    care._thread.join(10)
    assert not care._thread.is_alive()


def test_a_file_too_young_at_the_start_is_taken_in_a_little_later(
    care: FolderSync, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.5)
    write(library.home.clips / "one.mp4", receipt())
    care.start()
    wait_until(library.newest, "the second scan")
    care.close()
