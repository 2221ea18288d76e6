"""Readers that go away, and streams that are closed: quiet, and no clip that nobody waits for."""

import os
import pty
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.jobs import Jobs, State
from engine.store import Store
from tests.conftest import TESTS

pytestmark = [
    pytest.mark.starts,
    pytest.mark.skipif(sys.platform == "win32", reason="a shell's redirections, and signals"),
]
LONG = "generate 'steps=40 step_seconds=0.5' --model scripted"
SHORT = "generate 'steps=1' --model scripted --seed 1"
# What is asked, with which streams: the exit code, the job's state, and what stderr has to say.
ASKED = {
    "no reader of the answer": (f"{LONG} | true", 130, State.CANCELLED, "Cancelled."),
    "a reader that has enough": (f"{LONG} 2>&1 | head -1", 130, State.CANCELLED, ""),
    "stdout closed": (f"{LONG} >&-", 130, State.CANCELLED, "Cancelled."),
    "all streams closed": (f"{LONG} <&- >&- 2>&-", 130, State.CANCELLED, ""),
    "stdin and stderr closed": (f"{SHORT} <&- 2>&-", 0, State.DONE, ""),
    "stderr full": (f"{SHORT} 2>/dev/full", 0, State.DONE, ""),
    "stdout full": (
        f"{SHORT} --json >/dev/full",
        4,
        State.DONE,
        "The clip is at {clip}\nThe answer",
    ),
    "an error and stdout closed": ("read x.mp4 --json >&-", 2, None, "x.mp4 doesn't exist."),
    "a list without a reader": ("plan --model scripted | true", 130, None, ""),
    "help on a full disk": ("--help >/dev/full", 4, None, "can't be written: No space left"),
}
SAFE = f"{shlex.quote(sys.executable)} {shlex.quote(str(PROJECT / 'app.py'))} "


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[int, str, Path]]]:
    """Exit code, stderr and home of each; most of the time is spent importing."""

    def ask(name: str) -> tuple[int, str, Path]:
        home = tmp_path_factory.mktemp("home")
        shell = f"{SAFE}{ASKED[name][0]}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", shell],
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "",
                "HEADROOM_HOME": str(home),
                "HEADROOM_PRESETS": str(TESTS / "fixtures/presets"),
            },
            cwd=home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stderr, home

    with ThreadPoolExecutor(3) as pool:
        yield dict(zip(ASKED, pool.map(ask, ASKED), strict=True))


@pytest.mark.reliability("whoever reads the answer goes away")
@pytest.mark.parametrize("name", ASKED)
def test_a_stream_that_nobody_reads(answers: dict[str, tuple[int, str, Path]], name: str) -> None:
    _, expected, state, words = ASKED[name]
    code, said, home = answers[name]
    assert code == expected, said
    assert not [word for word in ("Traceback", "Exception ignored", "Errno") if word in said]
    clips = list((home / "clips").glob("*.mp4"))
    assert words.format(clip=clips[0] if clips else "") in said
    store = Store(home / "headroom.sqlite3")
    latest = Jobs(store).latest()
    store.close()
    assert (latest.state if latest else None) == state
    assert len(clips) == (state is State.DONE)


@pytest.mark.reliability("the terminal closed")
def test_a_closed_terminal_cancels_the_clip(tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = ["generate", "steps=40 step_seconds=0.5", "--model", "scripted"]
    program, terminal = pty.fork()
    if program == 0:
        os.environ["HEADROOM_HOME"] = str(home)
        os.execv(sys.executable, [sys.executable, str(PROJECT / "app.py"), *arguments])
    late = threading.Timer(60, os.kill, (program, signal.SIGKILL))
    late.start()
    said = b""
    while b"step 1" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    _, status = os.waitpid(program, 0)
    late.cancel()
    assert os.waitstatus_to_exitcode(status) == 130
    store = Store(home / "headroom.sqlite3")
    latest = Jobs(store).latest()
    store.close()
    assert latest is not None
    assert latest.state is State.CANCELLED


def test_the_ignored_hangup_of_nohup_stays_ignored() -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from engine.process.terminal import end_signals\n"
        "print([one.name for one in end_signals()])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout == "['SIGINT', 'SIGTERM']\n"


def test_a_file_that_is_opened_later_gets_no_closed_streams_number(tmp_path: Path) -> None:
    """A message to stderr would be written into it."""
    code = (
        "from engine.process import terminal; terminal.secure(); import os, sys\n"
        f"file = open({str(tmp_path / 'kept')!r}, 'w'); os.write(2, b'a message')\n"
        "print('another', file=sys.stderr); sys.exit(file.fileno() < 3)"
    )
    shell = f'exec {shlex.quote(sys.executable)} -c "$1" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", shell, "sh", code], cwd=PROJECT).returncode == 0
    assert (tmp_path / "kept").read_text() == ""
