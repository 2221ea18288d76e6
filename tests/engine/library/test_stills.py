"""A still belongs to its clip's bytes: names change hands, and pictures beside clips are users'."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.library.folder_sync import FolderSync
from engine.library.library import TRASH_DAYS, Clip, Library, Query
from engine.library.mp4 import write_clip
from engine.library.posters import Posters
from tests.conftest import wait_until
from tests.support.clipfiles import receipt

pytestmark = pytest.mark.starts

MINE = b"a picture of the user's own"


@pytest.fixture
def posters(library: Library) -> Posters:
    return Posters(library)


def plain(path: Path, prompt: str, light: int) -> Path:
    """A clip of one grey, so that its still tells which clip it shows."""
    write_clip(path, np.full((3, 32, 48, 3), light, np.uint8), 8, lambda: receipt(prompt))
    return path


@pytest.fixture
def two(library: Library, posters: Posters) -> dict[str, Clip]:
    """X.mp4, which is dark, and Y.mp4, which is light; both have their stills."""
    clips = library.home.clips
    plain(clips / "X.mp4", "dark", 40), plain(clips / "Y.mp4", "light", 200)
    FolderSync(library).scan()
    assert shown(library, posters) == {"dark": "dark", "light": "light"}
    return {clip.request.prompt: clip for clip in library.newest()}


def shown(library: Library, posters: Posters) -> dict[str, str]:
    """What the still of each clip shows, by prompt."""
    found = {}
    for clip in library.newest():

        def still(clip: Clip = clip) -> Path | None:
            return posters.of(clip)

        wait_until(still, "the still")
        with Image.open(still() or "") as picture:
            grey = picture.convert("L").getpixel((20, 20))
        assert isinstance(grey, int | float)
        found[clip.request.prompt] = "dark" if grey < 80 else "light" if grey > 160 else "middle"
    return found


def test_two_clips_that_change_names_keep_their_stills(
    library: Library, posters: Posters, two: dict[str, Clip]
) -> None:
    clips = library.home.clips
    (clips / "X.mp4").rename(clips / "Z")
    (clips / "Y.mp4").rename(clips / "X.mp4")
    (clips / "Z").rename(clips / "Y.mp4")
    FolderSync(library).scan()
    assert shown(library, posters) == {"dark": "dark", "light": "light"}


def test_a_clip_under_a_name_that_another_had_shows_itself(
    library: Library, posters: Posters, two: dict[str, Clip]
) -> None:
    clips = library.home.clips
    (clips / "X.mp4").rename(clips / "Z.mp4")
    FolderSync(library).scan()
    plain(clips / "X.mp4", "middle", 120)
    FolderSync(library).scan()
    assert shown(library, posters) == {"dark": "dark", "light": "light", "middle": "middle"}


def test_a_still_is_never_drawn_from_a_file_that_another_replaced(
    library: Library, posters: Posters, two: dict[str, Clip]
) -> None:
    dark = two["dark"]
    (posters.of(dark) or Path()).unlink()
    plain(library.home.clips / "X.mp4", "middle", 120)
    assert posters.of(dark) is None
    wait_until(lambda: not posters._making, "the end of that")
    assert posters.of(dark) is None
    FolderSync(library).scan()
    assert shown(library, posters) == {"light": "light", "middle": "middle"}


def test_a_picture_beside_a_clip_is_its_users(
    library: Library, posters: Posters, two: dict[str, Clip]
) -> None:
    """Whether another clip takes the name, or the clip is deleted, restored, or ends for good."""
    clips, trash, picture = library.home.clips, library.home.trash, library.home.clips / "X.jpg"
    (clips / "X.mp4").unlink()
    FolderSync(library).scan()
    picture.write_bytes(MINE)
    plain(clips / "X.mp4", "middle", 120)
    FolderSync(library).scan()
    assert shown(library, posters) == {"light": "light", "middle": "middle"}
    middle = library.newest()[0] if library.newest()[0].file == "X.mp4" else library.newest()[1]
    library.trash(middle.id)
    (trash / "X.jpg").write_bytes(MINE)
    library.restore(middle.id)
    library.trash(middle.id)
    library._change(middle.id, "trashed", "2001-01-01T00:00:00.000+00:00")
    assert library.purge() == 1
    assert [p.read_bytes() for p in (picture, trash / "X.jpg")] == [MINE, MINE]
    assert {p.name for p in clips.iterdir()} == {"X.jpg", "Y.mp4"}


def test_a_still_goes_with_the_last_clip_of_its_bytes(
    library: Library, posters: Posters, two: dict[str, Clip]
) -> None:
    clips, still = library.home.clips, posters.of(two["dark"])
    assert still is not None
    shutil.copy2(clips / "X.mp4", clips / "copy.mp4")
    FolderSync(library).scan()
    for clip in library.newest():
        if clip.request.prompt == "dark":
            assert still.exists()
            library.trash(clip.id)
            week_ago = time.gmtime(time.time() - (TRASH_DAYS + 1) * 86_400)
            library._change(clip.id, "trashed", time.strftime("%Y-%m-%dT%H:%M:%S", week_ago))
            assert library.purge() == 1
    assert library.page(Query(trash=True)).clips == []
    assert not still.exists()
    assert posters.of(two["light"])


@pytest.mark.skipif(os.name == "nt", reason="its names are shorter in a long path")
@pytest.mark.parametrize("suffix", [".MP4", ".mp4"])
def test_a_clip_of_the_longest_name_has_a_still(
    library: Library, posters: Posters, suffix: str
) -> None:
    plain(library.home.clips / ("x" * 251 + ".mp4"), "dark", 40)
    (library.home.clips / ("x" * 251 + ".mp4")).rename(library.home.clips / ("x" * 251 + suffix))
    FolderSync(library).scan()
    assert shown(library, posters) == {"dark": "dark"}
