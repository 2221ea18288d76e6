"""Processes that fetch something: each belongs to the program that started it, and ends with it.

Its standard input is what keeps it alive, so that nobody has to ask for its end.
"""

import contextlib
import os
import subprocess
import sys
import time
from typing import Any

from engine.home import PROJECT, Home
from engine.process.loops import Loop
from engine.process.patience import waited
from engine.text import Text

STOP_SECONDS = 3.0


def start(home: Home, module: str, *arguments: str) -> "subprocess.Popen[str]":
    """Begin ``python -m module arguments``, which works in ``home`` and tells on its output."""
    # In a group of its own: Ctrl-C is for the command, which then ends this in order.
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    presets = os.environ.get("HEADROOM_PRESETS", "").strip()
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            # A relative one would mean another folder there.
            "HEADROOM_HOME": str(home.root),
            "HEADROOM_PRESETS": presets and os.path.abspath(presets),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        **apart,
    )


def stop(process: "subprocess.Popen[str]") -> None:
    """It ends at once and in order when nobody holds its input; a kill would lose little."""

    def ended_within(seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return process.poll() is not None

    with contextlib.suppress(OSError):
        process.stdin.close()  # type: ignore[union-attr]
    if not waited(ended_within, STOP_SECONDS):
        process.kill()
        process.wait()


def how_it_ended(code: int) -> Text:
    """Of a process that ended without its last word, by its exit code."""
    how = Text("weights.signal" if code < 0 else "weights.exit_code", number=abs(code))
    return Text("weights.process_ended", how=how)


def until_its_end() -> None:
    """In such a process: standard input ends with the owner, and with nothing else."""
    loop = Loop("owner")
    while True:
        with loop.turn():
            while sys.stdin.buffer.read(1):
                pass
            return
        time.sleep(loop.pause)
