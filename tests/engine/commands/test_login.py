"""The page's login, without standing in the list of processes."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.commands.login import LoginError, read_login
from engine.commands.main import main
from engine.home import PROJECT
from engine.process.variables import AUTH

ME = ("me", "se:cret ü")


def test_the_command_line_is_taken_with_a_warning_that_has_no_password() -> None:
    said: list[str] = []
    assert read_login("me:se:cret ü", None, None, said.append) == ME
    (warning,) = said
    assert "list of processes" in warning
    assert "cret" not in warning


def test_a_variable_and_a_file_are_taken_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "login"
    for content in ("me:se:cret ü\n", "\ufeffme:se:cret ü\r\nmore\n", "me:se:cret ü"):
        file.write_text(content, encoding="utf-8", newline="")
        file.chmod(0o600)
        assert read_login(None, file, None, said.append) == ME
    assert read_login(None, None, "me:se:cret ü", said.append) == ME
    assert read_login(None, None, None, said.append) is None
    assert said == []


def test_the_command_line_counts_before_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("you:x")
    assert read_login("me:y", None, "he:z", lambda _: None) == ("me", "y")
    assert read_login(None, file, "he:z", lambda _: None) == ("you", "x")
    with pytest.raises(LoginError, match="can't be combined"):
        read_login("me:y", file, None, lambda _: None)


@pytest.mark.skipif(os.name != "posix", reason="POSIX's rights")
def test_a_file_that_others_can_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("me:secret")
    file.chmod(0o644)
    said: list[str] = []
    assert read_login(None, file, None, said.append) == ("me", "secret")
    assert "chmod 600" in said[0]
    assert "secret" not in said[0]


@pytest.mark.parametrize("text", ["", "me", "me:", ":secret9", "m\x1be:secret9", "me:se\tcret9"])
def test_what_is_no_login_is_a_sentence_without_a_password(text: str, tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text(text)
    file.chmod(0o600)
    for given, where, variable in ((text, None, None), (None, file, None), (None, None, text)):
        with pytest.raises(LoginError) as caught:
            read_login(given, where, variable, lambda _: None)
        assert caught.value.exit_code == 2
        assert "cret9" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe:x", b"a:" + b"x" * 5000, b"\nme:x"])
def test_a_file_of_something_else_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_bytes(content)
    with pytest.raises(LoginError, match="holds no login"):
        read_login(None, file, None, lambda _: None)


@pytest.mark.parametrize("name", ["nothing here", ".", "nul\0"])
def test_a_file_that_isnt_one_is_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(LoginError, match="--auth-file"):
        read_login(None, tmp_path / name, None, lambda _: None)


def test_no_command_leaves_the_login_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTH, "me:secret")
    assert main(["clips"]) == 0
    assert AUTH not in os.environ


ASK = "from engine.commands.login import read_login; print(read_login('-', None, None, print))"


@pytest.mark.starts
@pytest.mark.parametrize(
    ("piped", "out"),
    [("me:secret\n", "('me', 'secret')"), ("", "USER:PASS"), ("me\n", "USER:PASS")],
)
def test_a_dash_reads_what_is_piped_in(piped: str, out: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=piped, capture_output=True, text=True, cwd=PROJECT
    )
    assert out in done.stdout + done.stderr


@pytest.mark.starts
@pytest.mark.skipif(os.name != "posix", reason="POSIX's terminals")
def test_a_dash_asks_at_a_terminal_and_doesnt_show_the_password() -> None:
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(PROJECT)
        os.execv(sys.executable, [sys.executable, "-c", ASK])
    shown = b""
    for expected, typed in ((b"User:", b"me\n"), (b"Password:", b"s3cret\n")):
        while expected not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, typed)
    before_the_result = len(shown)
    with contextlib.suppress(OSError):  # Linux's way of saying that it ended
        while more := os.read(terminal, 1000):
            shown += more
    os.waitpid(child, 0)
    assert b"('me', 's3cret')" in shown
    assert shown[before_the_result:].count(b"s3cret") == 1, "only in the result"
