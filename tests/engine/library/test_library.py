"""The library's rows and files, on real SQLite and in real folders."""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.home import Home, HomeError
from engine.jobs import Jobs
from engine.library.library import (
    TRASH_DAYS,
    Clip,
    Library,
    LibraryError,
    Query,
    add_clip,
    days_left,
)
from engine.store import timestamp
from engine.worker.outcomes import Outcomes
from tests.support.clipfiles import receipt


@pytest.fixture
def library(jobs: Jobs) -> Library:
    return Library(Home.find(), jobs.store)


def keep(library: Library, prompt: str, file: str = "", age: float = 0, **request: Any) -> Clip:
    """A row and a file, which is no video: nobody here opens it."""
    file = file or f"{len(library.newest())}.mp4"
    with library.store.transaction() as db:
        add_clip(db, None, timestamp(time.time() - age), file, receipt(prompt, **request))
    (library.home.clips / file).write_bytes(file.encode())
    row = library.store.rows("select id from clips where file = ?", (file,))[0]
    clip = library.get(row["id"])
    assert clip is not None
    return clip


def prompts(library: Library, **query: Any) -> list[str]:
    return [c.request.prompt for c in library.page(Query(**query)).clips]


def test_all_words_must_occur_in_any_case_and_script(library: Library) -> None:
    for prompt in ("Ein GRÜNER Ball", "ein grüner Würfel", "100 % Straße", "1000 strasse_"):
        keep(library, prompt)
    assert prompts(library, words="grüner BALL") == ["Ein GRÜNER Ball"]
    assert prompts(library, words="grüner") == ["ein grüner Würfel", "Ein GRÜNER Ball"]
    assert prompts(library, words="STRASSE") == ["1000 strasse_", "100 % Straße"]
    assert prompts(library, words="%") == ["100 % Straße"]
    assert prompts(library, words="_") == ["1000 strasse_"]
    assert prompts(library, words="'; drop table clips --") == []
    assert len(prompts(library, words="  ")) == 4


def test_a_search_folds_what_a_reader_overlooks(library: Library) -> None:
    for prompt in ("İstanbul", "un Café", "นี้ดี", "นาดา"):
        keep(library, prompt)
    assert prompts(library, words="istanbul") == ["İstanbul"]
    assert prompts(library, words="CAFE un") == ["un Café"]
    assert prompts(library, words="นี") == ["นี้ดี"]
    assert prompts(library, words="\ud800") == []
    assert prompts(library, words="istanbul " * 3000) == ["İstanbul"]


def test_filters_narrow_and_are_counted(library: Library) -> None:
    small, wide = keep(library, "small"), keep(library, "wide", width=96)
    keep(library, "other", model="elsewhere")
    library.favourite(wide.id, True)
    assert prompts(library, width=96, height=32) == ["wide"]
    assert prompts(library, model="elsewhere") == ["other"]
    assert prompts(library, favourites=True) == ["wide"]
    assert library.page(Query(model="scripted")).count == 2
    assert library.kinds() == (["elsewhere", "scripted"], [(32, 48), (32, 96)])
    library.favourite(wide.id, False)
    assert prompts(library, favourites=True) == []
    assert library.get(small.id) == small


def test_pages_follow_each_other_even_while_clips_come(library: Library) -> None:
    for number in range(7):
        keep(library, str(number), age=100 - number // 3)  # three of the same moment
    first = library.page(Query(), limit=3)
    assert (first.count, first.next is None) == (7, False)
    keep(library, "new")
    seen, after = [c.request.prompt for c in first.clips], first.next
    while after:
        page = library.page(Query(), after, 3)
        seen, after = seen + [c.request.prompt for c in page.clips], page.next
    assert seen == ["6", "5", "4", "3", "2", "1", "0"]


def test_a_clip_goes_to_the_trash_and_comes_back(library: Library) -> None:
    clip = keep(library, "regretted")
    library.trash(clip.id)
    library.trash(clip.id)  # twice is no error
    assert library.newest() == []
    assert prompts(library, trash=True) == ["regretted"]
    trashed = library.get(clip.id)
    assert trashed is not None
    assert trashed.trashed is not None
    assert days_left(trashed.trashed) == TRASH_DAYS
    assert library.place(trashed).read_bytes() == b"0.mp4"
    assert not list(library.home.clips.iterdir())
    library.restore(clip.id)
    assert library.newest() == [clip]
    assert library.place(clip).exists()


def test_the_trash_is_emptied_after_a_week_file_first(library: Library) -> None:
    old, young = keep(library, "old", "old.mp4"), keep(library, "young", "young.mp4")
    for clip in (old, young):
        library.trash(clip.id)
    week_ago = timestamp(time.time() - TRASH_DAYS * 86_400 - 60)
    library._change(old.id, "trashed", week_ago)
    assert days_left(week_ago) == 0
    assert library.purge() == 1
    assert library.get(old.id) is None
    assert [path.name for path in library.home.trash.glob("*.mp4")] == ["young.mp4"]
    assert library.purge() == 0
    # As a crash between file and row would leave it:
    library._change(young.id, "trashed", week_ago)
    (library.home.trash / "young.mp4").unlink()
    assert library.purge() == 1


def test_what_was_taken_out_of_the_trash_by_hand_is_not_purged(library: Library) -> None:
    clip = keep(library, "kept")
    library.trash(clip.id)
    library._change(clip.id, "trashed", "2020-01-01T00:00:00.000+00:00")
    (library.home.trash / clip.file).replace(library.home.clips / clip.file)
    assert library.purge() == 0
    assert library.get(clip.id) is not None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_that_cant_be_moved_is_a_sentence(library: Library) -> None:
    clip = keep(library, "stuck")
    library.home.trash.chmod(0o500)
    try:
        with pytest.raises(LibraryError, match=r"can't be moved.*is writable"):
            library.trash(clip.id)
    finally:
        library.home.trash.chmod(0o700)
    assert library.newest() == [clip]


def test_a_trash_that_is_no_folder_is_a_sentence(library: Library) -> None:
    clip = keep(library, "stuck")
    library.home.trash.rmdir()
    library.home.trash.write_bytes(b"in the way")
    with pytest.raises(HomeError, match=r"can't be created: .* a folder that is writable"):
        library.trash(clip.id)
    assert library.newest() == [clip]
    with pytest.raises(LibraryError, match="no longer in the library"):
        library.trash(999)


def test_days_left_are_rounded_up() -> None:
    def ago(**spent: float) -> str:
        return (datetime.now(UTC) - timedelta(**spent)).isoformat(timespec="milliseconds")

    assert [days_left(ago(hours=h)) for h in (1, 25, 24 * 6 + 23, 24 * 7 + 1)] == [7, 6, 1, 0]


def test_a_new_clip_never_takes_a_name_that_the_library_has(
    library: Library, jobs: Jobs, tmp_path: Path
) -> None:
    nothing: Any = SimpleNamespace()
    results = Outcomes(library.home, jobs, nothing, nothing, nothing)
    clip = keep(library, "brought", "00001-go-seed1.mp4")
    library.trash(clip.id)
    assert results.keeping._free_name("00001-go-seed1.mp4") == "00001-go-seed1-2.mp4"


@pytest.mark.skipif(sys.platform == "win32", reason="its clock counts sleep by itself")
def test_nights_that_the_computer_slept_keep_no_trash(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``time.monotonic`` stands still meanwhile, on Linux and macOS."""
    clip = keep(library, "old", "old.mp4")
    library.trash(clip.id)
    wall, since_boot, slept = time.time, time.clock_gettime, (TRASH_DAYS + 1) * 86_400.0
    monkeypatch.setattr(time, "time", lambda: wall() + slept)
    assert library.purge() == 0, "the clock alone was moved"
    monkeypatch.setattr(time, "clock_gettime", lambda which: since_boot(which) + slept)
    assert library.purge() == 1
