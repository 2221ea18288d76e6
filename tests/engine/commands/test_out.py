"""``--out``: refused before anything is computed, or copied whole, or it says where the clip is."""

import json
import os
import sys
from pathlib import Path

import pytest

from engine.commands.main import main
from engine.commands.out import NotCopied, OutError, copy, out_file, out_folder
from engine.home import Home
from engine.jobs import Jobs
from engine.store import Store

LONG = "x" * 300 + ".mp4"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and devices")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with what is no place for a clip."""
    folder = tmp_path / "place"
    (folder / "folder.mp4").mkdir(parents=True)
    (folder / "file").touch()
    if sys.platform != "win32":
        os.mkfifo(folder / "pipe.mp4")
        (folder / "full.mp4").symlink_to("/dev/full")
        (folder / "loop.mp4").symlink_to("loop.mp4")
        (folder / "nowhere.mp4").symlink_to("/no/such/folder/x.mp4")
        (folder / "to-folder.mp4").symlink_to("folder.mp4")
    monkeypatch.chdir(folder)
    return folder


@POSIX
@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("folder.mp4", "that is a folder"),
        ("to-folder.mp4", "that is a folder"),
        ("new.mp4/", "that is a folder"),
        ("no/x.mp4", "no such folder"),
        ("file/x.mp4", "no such folder"),
        ("nowhere.mp4", "no such folder"),
        ("~/x.mp4", "no such folder"),
        (LONG, "File name too long"),
        ("/".join(["y"] * 3000) + "/x.mp4", "File name too long"),
        ("loop.mp4", "can't be written"),
        ("pipe.mp4", "that isn't a regular file"),
        ("full.mp4", "that isn't a regular file"),
        ("/dev/full", "Use a name that ends in .mp4"),
        ("-", "Use a name that ends in .mp4"),
        ("a\0b.mp4", "can't be written"),
        ("/proc/x.mp4", "can't be written"),
    ],
)
def test_what_cant_be_written_is_refused_before_anything_is_made(
    place: Path, named: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.iterdir())
    asked = ["generate", "go", "--model", "scripted", "--json", "--out", named]
    assert main(asked) == 2
    told = json.loads(capfd.readouterr().out)
    assert said in told["error"] + told["remedy"]
    assert sorted(place.iterdir()) == before
    store = Store(Home.find().database)
    assert Jobs(store).latest() is None
    store.close()


def test_the_librarys_own_folders_are_no_place_for_a_copy(place: Path) -> None:
    home = Home.find()
    (home.clips / "00001-a-clip.mp4").write_bytes(b"a clip")
    for file in (home.clips / "00001-a-clip.mp4", home.clips / "new.mp4", home.trash / "x.mp4"):
        with pytest.raises(OutError, match="the library's own clips"):
            out_file(str(file), home)
    if sys.platform != "win32":
        (place / "link.mp4").symlink_to(home.clips / "00001-a-clip.mp4")
        with pytest.raises(OutError, match="the library's own clips"):
            out_file("link.mp4", home)
    assert (home.clips / "00001-a-clip.mp4").read_bytes() == b"a clip"


@pytest.mark.skipif(sys.platform == "win32", reason="permissions")
@pytest.mark.skipif(hasattr(os, "getuid") and os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_or_a_file_that_nobody_may_change_is_refused(place: Path) -> None:
    (place / "kept.mp4").write_bytes(b"kept")
    (place / "kept.mp4").chmod(0o444)
    with pytest.raises(OutError, match="Permission denied"):
        out_file("kept.mp4", Home.find())
    place.chmod(0o555)
    with pytest.raises(OutError, match="Permission denied"):
        out_file("new.mp4", Home.find())
    with pytest.raises(OutError, match="Permission denied"):
        out_folder(place)
    place.chmod(0o755)


def test_a_file_that_is_there_is_replaced_once_the_copy_is_whole(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = place / "clip"
    clip.write_bytes(b"new")
    (place / "here.mp4").write_bytes(b"old")
    out = out_file("here.mp4", Home.find())
    assert out.read_bytes() == b"old", "it was only looked at"

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"ne")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfile", full)
        with pytest.raises(NotCopied) as failed:
            copy(clip, out)
    assert out.read_bytes() == b"old"
    assert failed.value.exit_code == 4
    assert failed.value.to_json()["path"] == str(clip)
    assert str(failed.value) == (
        f"--out {out}: No space left on device. The clip was made; it is at {clip}"
    )
    assert copy(clip, out).read_bytes() == b"new"
    assert not list(place.glob(".headroom*"))


@POSIX
@pytest.mark.parametrize("named", ["file", "file/in", LONG, "loop.mp4", "/dev/null", "/proc"])
def test_the_folder_for_benchs_card_is_judged_at_once(
    place: Path, named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--json", "--out", named]) == 2
    assert f"--out {named}: " in json.loads(capfd.readouterr().out)["error"]


def test_the_folder_for_benchs_card_is_made(place: Path) -> None:
    made = out_folder(Path("cards/of today"))
    assert made == (place / "cards" / "of today").resolve()
    assert list(made.iterdir()) == []
    assert out_folder(made) == made


def test_half_a_copy_that_a_kill_left_is_in_nobodys_way(place: Path) -> None:
    """In a container every process has the number 1."""
    home, clip = Home.find(), place / "clip.mp4"
    clip.write_bytes(b"a clip")
    kept = [place / ".headroom-mine.part", place / f".headroom-{os.getpid()}.part"]
    for file in kept:
        file.write_bytes(b"half")
    old = place / ".headroom-1.part"
    old.write_bytes(b"half")
    for file in (old, kept[0]):
        os.utime(file, (1e9, 1e9))
    assert out_folder(place) == place.resolve()
    assert copy(clip, out_file("new.mp4", home)).read_bytes() == b"a clip"
    assert copy(clip, out_file("new.mp4", home)).read_bytes() == b"a clip"
    assert sorted(place.glob(".headroom-*")) == sorted(kept)
