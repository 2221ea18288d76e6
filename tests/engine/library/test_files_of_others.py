"""Files that somebody else named, made or spoilt: read by one rule, and within limits."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.commands.main import main
from engine.home import PROJECT
from engine.library import reader_limits, reader_process
from engine.library.mp4 import MOST_PIXELS, ClipError, read_receipt, shown_name
from engine.library.receipt import checked, for_others, receipt_lines
from engine.text import Text
from tests.support.clipfiles import receipt, write
from tests.support.strange_files import NAMES, bomb, with_comment, with_handler, with_sides

pytestmark = pytest.mark.starts


def refused(path: Path) -> str:
    answer = reader_process.receipts([path])[path]
    assert isinstance(answer, ClipError)
    return answer.sentence.id


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_files_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor a pattern, an option or UTF-8; from the folder in which it lies, too."""
    data = write(tmp_path / "good.mp4", receipt()).read_bytes()
    monkeypatch.chdir(tmp_path)
    paths = [Path(name) for name in (*NAMES, os.fsdecode(b"\xe9\xff.mp4"))]
    for path in paths:
        path.write_bytes(data)
    found = reader_process.receipts(paths)
    assert [path for path in paths if isinstance(found[path], ClipError)] == []
    stills = {path: tmp_path / f"{number}.jpg" for number, path in enumerate(paths)}
    reader_process.posters(stills)
    assert [path for path, still in stills.items() if not still.is_file()] == []


def test_tags_that_arent_utf8_are_read_over(tmp_path: Path) -> None:
    path = write(tmp_path / "it.mp4", receipt())
    path.write_bytes(with_handler(path.read_bytes(), b"Vid\xe9o-Spur\xff\xfe"))
    assert isinstance(reader_process.receipts([path])[path], dict)
    reader_process.posters({path: tmp_path / "still.jpg"})
    assert (tmp_path / "still.jpg").is_file()


def test_a_playlist_named_like_a_clip_opens_nothing(tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1\nhttp://127.0.0.1:9/x.ts\n")
    assert refused(path) == "library.no_mp4"


def test_what_is_no_file_is_a_sentence(tmp_path: Path) -> None:
    assert refused(tmp_path) == refused(tmp_path / "..") == "files.is_folder"
    for path in (tmp_path / "none.mp4", tmp_path / ("x" * 300 + ".mp4")):
        assert refused(path) == "files.none"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert refused(tmp_path / "pipe.mp4") == "files.is_special"


def test_a_still_is_judged_by_its_sides_before_it_is_decoded(tmp_path: Path) -> None:
    """Those of the header, and those in the packets where the header lies."""
    open_, hidden = bomb(tmp_path / "open.mp4", 6144, 2), tmp_path / "hidden.mp4"
    hidden.write_bytes(with_sides(open_.read_bytes(), 320, 240))
    small = write(tmp_path / "small.mp4", receipt())
    small.write_bytes(with_sides(small.read_bytes(), 65_535, 65_535))
    stills = {path: path.with_suffix(".jpg") for path in (open_, hidden, small)}
    answers = reader_process._answers("posters", list(stills), stills)
    for path in (open_, hidden):
        assert answers[path]["sentence"]["id"] in ("library.too_many_pixels", "library.cant_decode")
        assert not stills[path].exists()
    assert answers[small] == {}, "a header that lies harms no picture"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to the limit by itself")
def test_what_takes_too_much_memory_is_a_sentence(tmp_path: Path) -> None:
    data = write(tmp_path / "it.mp4", None).read_bytes()
    path = with_comment(tmp_path / "large.mp4", data, reader_limits.MEMORY * 3 // 2)
    good = write(tmp_path / "good.mp4", receipt())
    found = reader_process.receipts([path, good])
    told = found[path]
    assert isinstance(told, ClipError)
    assert told.sentence == Text("library.takes_memory", file="large.mp4")
    assert isinstance(found[good], dict), "the next one is read"


WITHIN = """
from engine.library import reader_limits
reader_limits.SECONDS_EACH = 0.2
with reader_limits.timed():
    {what}
print("through")
"""


def within_the_limit(what: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", WITHIN.format(what=what)]
    return subprocess.run(command, cwd=PROJECT, capture_output=True)


def test_what_computes_without_end_is_ended_and_what_sleeps_is_not() -> None:
    ended = within_the_limit("10 ** 10 ** 9")  # within C, where Python's own signals never run
    assert ended.returncode == (1 if sys.platform == "win32" else -signal.SIGPROF)
    if sys.platform != "win32":
        assert b"through" in within_the_limit("__import__('time').sleep(0.5)").stdout


@pytest.mark.parametrize("limit", ["memory", "looks"])
def test_a_child_that_the_system_doesnt_limit_is_ended(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit == "memory":
        monkeypatch.setattr(reader_limits, "STARTED", -reader_limits.MEMORY)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    with reader_limits.watched(child, 60 if limit == "memory" else 0.2):
        child.communicate()
    assert child.returncode != 0


STRANGE: dict[str, Any] = {
    "whole": {},
    "a list for a number": {"seed": [1]},
    "far too large": {"seed": 10**400},
    "not a number": {"stages": {"load": float("nan")}},
    "a name of 301 letters": {"model": "m" * 301},
    "without a request": {"request": None},
    "a text for stages": {"stages": "soon"},
    "an enormous string": {"label": "x" * 10**6},
    "half a character": {"device": "\ud800"},
    "a path of its own": {"path": "/etc/passwd"},
}


def test_the_command_line_reads_as_the_page_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``receipts`` is what a drop asks; tests/ui has that both say the same."""
    paths = {what: tmp_path / f"{what}.mp4" for what in STRANGE}
    found = reader_process.receipts(
        [write(path, {**receipt(), **STRANGE[what]}) for what, path in paths.items()]
    )
    taken = {path.stem for path, told in found.items() if isinstance(told, dict)}
    assert taken == {"whole", "a path of its own"}
    for what in ("a list for a number", "half a character", "a path of its own"):
        path = paths[what]
        told = found[path]
        if isinstance(told, ClipError):
            assert main(["read", str(path), "--json"]) == 2
            out, err = capsys.readouterr()
            assert (err, json.loads(out)["error"]) == (f"{told}\n", str(told.sentence))
        else:
            assert main(["read", str(path), "--json"]) == 0
            assert json.loads(capsys.readouterr().out) == {**told, "path": str(path)}


@pytest.mark.parametrize("without", ["stages", "peaks", "versions", "label", "device", "plan"])
def test_a_receipt_may_lack_what_isnt_asked_for(without: str) -> None:
    told = receipt()
    del told[without]
    lines = receipt_lines(checked(told, "it.mp4"))
    assert len(lines) == (8 if without in ("label", "plan") else 7)
    assert not any(line.split()[1:] == [] or "()" in line for line in lines)


def test_a_receipt_names_its_loras() -> None:
    told = receipt()
    told["adapters"] = [
        {"sha256": "a" * 64, "name": "zoom", "strength": 0.5},
        {"sha256": "b" * 64, "name": "", "strength": -1.0},
    ]
    checked_one = checked(told, "it.mp4")
    assert checked_one["adapters"] == told["adapters"]
    assert "loras    zoom × 0.5, bbbbbbbbbbbb × -1" in receipt_lines(checked_one)
    assert "adapters" not in checked(receipt(), "it.mp4")
    told["adapters"][0]["strength"] = "much"
    with pytest.raises(ClipError, match="adapters"):
        checked(told, "it.mp4")


def test_a_visitors_file_is_told_of_by_what_it_has() -> None:
    lines = receipt_lines(checked(for_others(receipt()), "it.mp4"))
    assert [line.split()[0] for line in lines] == ["prompt", "size", "seed", "model"]
    assert lines[-1] == f"model    {receipt()['model']}"


def test_what_a_receipt_lacks_is_named() -> None:
    told = receipt()
    del told["request"]["width"]
    with pytest.raises(ClipError, match=r"damaged: request\.width is missing\."):
        checked(told, "it.mp4")
    deep: dict[str, Any] = receipt()
    for _ in range(100):
        deep = {**receipt(), "x": deep}
    with pytest.raises(ClipError, match="damaged: it is nested too deeply"):
        checked(deep, "it.mp4")


def test_a_long_name_is_told_by_its_ends() -> None:
    assert shown_name("a.mp4") == "a.mp4"
    told = shown_name("a" * 300 + "-seed5.mp4")
    assert (len(told), told[-9:]) == (100, "seed5.mp4")
    assert "…" in told


def test_the_largest_picture_is_larger_than_any_models() -> None:
    assert MOST_PIXELS >= 3840 * 2160


@pytest.mark.skipif(sys.platform == "win32", reason="it keeps the current folder")
def test_in_a_folder_that_was_removed_nothing_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["read", "x.mp4", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "x.mp4 doesn't exist."
    assert main(["generate", "go", "--model", "scripted", "--out", "x.mp4"]) == 2
    assert "--out x.mp4: it can't be written" in capsys.readouterr().err
    assert main(["bench", "--only", "mp4", "--out", "x"]) == 2
    assert main(["serve", "--auth-file", "x"]) == 2


def test_a_file_that_cant_be_looked_at_isnt_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look at any, so the system's answer is put in its mouth."""
    path, real = tmp_path / "x.mp4", Path.stat

    def stat(self: Path, **how: Any) -> os.stat_result:
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, **how)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(ClipError, match=r"x\.mp4 can't be read: Permission denied\."):
        read_receipt(path)
