"""The folder that everything is written to: one that can't be is a sentence and exit code 5."""

import json
import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from engine.commands.main import main
from engine.doctor.report import without_persons
from engine.engine import Engine
from engine.home import PROJECT, Home, HomeError, drive_of, free_bytes
from engine.store import StoreError
from engine.store_repair import open_store
from engine.weights.hub import WeightsError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="links, devices, and names as bytes")
COMMANDS = [
    ["serve", "--no-browser"],
    ["generate", "go", "--json"],
    ["check", "--height", "64", "--width", "64", "--frames", "5", "--json"],
    ["measure", "--height", "64", "--width", "64", "--frames", "5", "--json"],
    ["clips", "--json"],
    ["plan", "--json"],
    ["weights", "list", "--json"],
    ["doctor", "--json"],
    ["bench", "--only", "mp4", "--json"],
]


@POSIX
@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("~nosuch/x", "can't be '~nosuch/x'"),
        ("loop", ""),
        ("loop/x", ""),
        ("file", "can't write to its folder"),
        ("file/x", "can't write to its folder"),
        ("/dev/null", "can't write to its folder"),
        ("/proc/x", "can't write to its folder"),
        ("x" * 300, "File name too long"),
        ("/".join(["y"] * 3000), "File name too long"),
        (os.fsdecode(b"\xff\xfe"), "isn't UTF-8"),
        ("a\nb", "a line break"),
        ("a\x1b[31mb", "another control character"),
    ],
)
def test_a_folder_that_cant_be(
    named: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setenv("HEADROOM_HOME", named)
    assert main(["clips", "--json"]) == 5
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert said in told["error"]
    assert "HEADROOM_HOME" in told["remedy"]
    assert err.count("\n") == 1, "one line, however the folder is called"
    assert "\x1b" not in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_command_says_it(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADROOM_HOME", "~nosuch/x")
    assert main(command) == 5
    out, err = capfd.readouterr()
    assert err.startswith("Headroom's folder can't be '~nosuch/x': ")
    assert ("--json" in command) == ("error" in (json.loads(out) if out else {}))


@pytest.mark.parametrize("raises", [True, False])
def test_a_number_without_a_user_has_no_home(
    raises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> Path:
        if raises:
            raise RuntimeError("could not determine the home directory")
        return Path("~/.local/share/Headroom")

    monkeypatch.setattr(platformdirs, "user_data_path", unknown)
    monkeypatch.setenv("HEADROOM_HOME", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HomeError, match="This user has no home folder"):
        Home.find()
    assert not list(tmp_path.iterdir()), 'no folder is called "~"'


@POSIX
@pytest.mark.starts
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="root becomes nobody")
def test_a_user_that_nobody_knows_needs_only_a_folder(tmp_path: Path) -> None:
    """As ``docker run --user 54321``; the program's own folder has to be readable for that."""
    if not _readable_by_all(PROJECT) or not _readable_by_all(Path(sys.executable).resolve()):
        pytest.skip("others can't read the program here")
    kept = {name: os.environ[name] for name in ("PATH", "HEADROOM_PRESETS")}
    asked = [sys.executable, str(PROJECT / "app.py"), "doctor", "--report"]
    lost = subprocess.run(asked, env=kept, user=54321, group=54321, capture_output=True, text=True)
    assert lost.returncode == 5
    assert lost.stderr.startswith("This user has no home folder to hold Headroom's.")


def _readable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o5 == 0o5 for folder in (path, *path.parents))


def test_a_report_needs_no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert without_persons(f"{tmp_path}/clips", tmp_path, set()) == "[Headroom's folder]/clips"


@pytest.mark.parametrize("named", ["~nosuch/x", "x" * 300, "a\0b"])
def test_weights_of_a_folder_that_cant_be(engine: Engine, named: str) -> None:
    with pytest.raises(WeightsError, match="doesn't exist"):
        engine.downloads.use("wan2.1-t2v-14b-fp8", named)


def test_a_database_that_cant_be_begun_is_about_the_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a full disk; where there is one, what refuses it is no question of set-up."""

    def full(path: Path) -> None:
        raise StoreError("The disk is full.", "Free some space.")

    monkeypatch.setattr("engine.store_repair.Store", full)
    home = Home.find()
    with pytest.raises(HomeError, match=r"The disk is full\. Free some space\."):
        open_store(home)
    home.database.write_bytes(b"a database")
    with pytest.raises(StoreError, match="The disk is full"):
        open_store(home)


@POSIX
def test_a_folder_that_cant_be_looked_at_is_a_sentence(tmp_path: Path) -> None:
    """As of a network drive that died: ``stat`` fails, and not because nothing is there."""
    home = Home(tmp_path / "home")
    home.create()
    home.clips.rmdir()
    home.clips.symlink_to(tmp_path / ("x" * 300))
    for judge in (home.check, home.made, home.writable):
        with pytest.raises(HomeError, match=r"clips is a link to .*, which doesn't exist\."):
            judge(home.clips)
        with pytest.raises(HomeError, match=r"clips is a link to .*, which doesn't exist\."):
            judge(home.clips / "below")
        with pytest.raises(HomeError, match="can't be read: File name too long"):
            judge(home.root / ("x" * 300))
    assert free_bytes(home.clips) == 0
    assert drive_of(home.root / ("x" * 300)) == home.root
    home.check(home.weights / "not there yet")
