"""What reaches a terminal: one line a line, whatever it quotes, whatever the console can show."""

import ast
import io
import json
import logging
import sys
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine import logs
from engine.commands.main import main
from engine.home import PROJECT, Home
from engine.jobs import Jobs
from engine.library.library import Library
from engine.process.console import UNSAFE, Parser, one_line, say, tell, tell_json
from tests.support.clipfiles import receipt, write

HOSTILE = "a\x1b[2J\x9b31m\r\nred\x07\u2028ball\u202egpj\x00\udcff\U000e0041"
ENCODINGS = ("utf-8", "cp1252", "gbk", "ascii", "cp437", "utf-16")


def console(monkeypatch: pytest.MonkeyPatch, encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
    out, err = io.BytesIO(), io.BytesIO()
    for name, raw in (("stdout", out), ("stderr", err)):
        stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", write_through=True)
        monkeypatch.setattr(sys, name, stream)
    return out, err


def test_nothing_that_a_terminal_obeys_is_left() -> None:
    for code in range(sys.maxunicode + 1):
        kind = unicodedata.category(chr(code))
        if kind in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(chr(code)) in (
            *("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"),
        ):
            assert UNSAFE.match(chr(code)), hex(code)
    assert one_line(HOSTILE).isprintable()
    assert len(one_line(HOSTILE).splitlines()) == 1


def test_words_of_every_script_stay() -> None:
    for words in ("नमस्ते", "a\u200cb", "👨\u200d👩\u200d👧", "球 ☃ İß", "48 × 96", "שלום"):
        assert one_line(words) == words


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_console_shows_a_line_a_line(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = console(monkeypatch, encoding)
    say(f"球 {HOSTILE}")
    tell(f"48 × 96 {HOSTILE}", "two")
    for stream, count in ((err, 1), (out, 2)):
        text = stream.getvalue().decode(encoding)
        lines = text.replace("\r\n", "\n").split("\n")
        assert (len(lines), lines[-1]) == (count + 1, "")
        assert all(line.replace("\ufeff", "").isprintable() for line in lines)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_valid_everywhere(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = console(monkeypatch, encoding)
    value = {"prompt": f"球 {HOSTILE}", "name\x9b": [1, float("nan"), {"x": float("inf")}]}
    tell_json(value)
    told = out.getvalue()
    told.decode("utf-8" if encoding == "utf-8" else "ascii")
    assert not UNSAFE.search(told.decode().replace("\n", ""))
    assert json.loads(told) == {**value, "name\x9b": [1, None, {"x": None}]}


def test_a_mistake_on_the_command_line_quotes_no_sign_raw(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["clips", f"--{HOSTILE}"])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.split("\n")
    assert all(line.isprintable() for line in lines)


def test_the_help_is_shown_by_every_console(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = console(monkeypatch, "ascii")
    parser = Parser(prog="x", description="48 × 96")
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert b"48 ? 96" in out.getvalue()


@pytest.mark.starts
def test_a_receipt_of_others_is_shown_and_obeyed_by_nothing(
    jobs: Jobs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = receipt("a\x1b]0;owned\x07\nline\u202e", model="m\x9b")
    hostile |= {"device": "\x1b[31m", "versions": {"x\n\n": "\r"}}
    path = write(tmp_path / "it.mp4", hostile)
    assert main(["read", str(path)]) == 0
    shown = capsys.readouterr().out.split("\n")
    assert len(shown) == 9, "eight lines, whatever stands in them"
    assert all(line.isprintable() for line in shown)
    assert r"prompt   a\x1b]0;owned\x07\nline\u202e" in shown


def test_one_clip_is_one_line(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.library.library import add_clip

    library = Library(Home.find(), jobs.store)
    names = ["two\nlines.mp4", "\x1b[31m.mp4", "plain.mp4"]
    with jobs.store.transaction() as db:
        for name in names:
            add_clip(db, None, "2026-01-02T03:04:05.678+00:00", name, receipt("red\nball\u2029"))
    assert len(library.newest()) == 3
    # As this computer's clock showed it, and how far from UTC that is.
    here = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone().isoformat(" ")
    assert here[-6] in "+-"
    assert main(["clips"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 4
    assert lines[0].startswith(f"{here}  ")
    assert all(line.isprintable() for line in lines)
    assert main(["clips", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["clips"]
    assert {Path(clip["path"]).name for clip in found} == set(names)


def test_no_line_of_a_log_can_be_forged() -> None:
    form = logs.Form(logs.FORM)
    forged = "x\n2026-01-01 00:00:00,000 INFO headroom: all is well\u2028\x1b[2K"
    try:
        raise ValueError(forged)
    except ValueError:
        told = sys.exc_info()
    args: tuple[Any, ...] = (forged,)
    record = logging.LogRecord("a\nb", logging.ERROR, "f", 1, "no %s", args, told)
    first, *rest = form.format(record).split("\n")
    assert first.endswith(r"no x\n2026-01-01 00:00:00,000 INFO headroom: all is well\u2028\x1b[2K")
    assert rest
    assert all(line.startswith("  ") for line in rest)
    assert all(line.isprintable() for line in rest)


def test_a_log_keeps_prompts_out_however_they_are_written() -> None:
    form = logs.Form("%(message)s")
    prompt = 'zebra "finch"\n\u202equagga'
    logs.about(5, prompt)
    try:
        record = logging.LogRecord("n", logging.ERROR, "f", 1, "no %s", (prompt,), None)
        assert form.format(record) == f"no {logs.PROMPT}"
    finally:
        logs.about(None)


# Children that answer their parent through a pipe, in ASCII, and what is about the streams as such.
OTHERS = {
    "engine/process/console.py",
    "engine/process/terminal.py",
    "engine/commands/answer.py",  # flushes
    "engine/library/reader_process.py",
    "engine/weights/download_process.py",
    "engine/adapters/pull_process.py",
    "engine/pipelines/lightx2v/self_test.py",
    "engine/commands/login.py",  # asks for a name and a password, in words of its own
    "engine/worker/main.py",
    "engine/worker/process.py",
    "engine/install/__main__.py",  # hands its stderr to pip
    "engine/install/packages.py",
}


def test_nobody_else_writes_to_the_terminal() -> None:
    found = set()
    for folder in ("engine", "ui"):
        for file in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
                if name in ("sys.stdout", "sys.stderr", "print", "sys.__stdout__"):
                    found.add(file.relative_to(PROJECT).as_posix())
    apart = {file for file in found if "/wan_tiny/training/" in file}
    theirs = {"engine/pipelines/bench/upstream_command.py"}
    assert found - apart - OTHERS - theirs == {"engine/pipelines/kernel_test/main.py"}, (
        "to its parent"
    )
    assert "sys.std" not in (PROJECT / "app.py").read_text(encoding="utf-8")
