"""The small pictures in the library: made where one is missing, once."""

import sys
from pathlib import Path

import pytest

from engine.library import reader_process
from engine.library.folder_sync import FolderSync
from engine.library.library import Library
from engine.library.posters import Posters
from tests.conftest import wait_until
from tests.support.clipfiles import receipt, write

pytestmark = pytest.mark.starts


def test_posters_are_made_once_and_only_where_they_miss(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(library.home.clips / "one.mp4", receipt(), frames=5)
    write(library.home.clips / "two.mp4", receipt("two"))
    FolderSync(library).scan()
    posters = Posters(library)
    one, two = sorted(library.newest(), key=lambda clip: clip.file)
    assert (posters.of(one), posters.of(two)) == (None, None), "nobody waits for them"
    wait_until(lambda: posters.of(one) and posters.of(two), "both posters")
    wait_until(lambda: not posters._making, "the end of that")
    assert len(list(library.home.stills.iterdir())) == 2, "nothing half-made is left"
    assert {path.name for path in library.home.clips.iterdir()} == {"one.mp4", "two.mp4"}
    asked: list[Path] = []
    monkeypatch.setattr(reader_process, "posters", asked.extend)
    assert posters.of(one)
    (posters.of(two) or Path()).unlink()
    assert posters.of(two) is None
    wait_until(lambda: not posters._making, "the end of that")
    assert posters.of(two) is None
    assert asked == [library.home.clips / "two.mp4"], "it isn't tried again and again"


def test_a_reader_that_cant_begin_is_tried_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(library.home.clips / "one.mp4", receipt())
    FolderSync(library).scan()
    posters, clip = Posters(library), library.newest()[0]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "no python")
        assert posters.of(clip) is None
        wait_until(lambda: not posters._making, "the end of that")
    wait_until(lambda: posters.of(clip), "the poster, asked for again")
