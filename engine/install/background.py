"""Brings the packages that make clips while the page is already open, and says how far it is.

The set-up runs as a process of its own in the page's environment, to which it only adds. A failure
leaves the page as it was; it tells the reason and tries again when asked.
"""

import contextlib
import importlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import psutil

from engine.home import PROJECT, Home
from engine.install.installed import SETUP, engine_here, stamp
from engine.machine.facts import forget_packages
from engine.process import loops
from engine.process.loops import Faults, Loop
from engine.text import NOTHING, Said, Text

log = logging.getLogger("headroom.install")

LAST_LINES, LONGEST = 4, 160  # of what it said last; all of it is in the log
NOISE = re.compile(r"^(WARNING|\[notice\]|\s*$)")
COMMAND = (sys.executable, str(PROJECT / "engine/install"), "finish")

Phase = Literal["here", "working", "failed"]


@dataclass(frozen=True)
class InstallState:
    """Where it stands. ``doing``: the step at work; ``told`` and ``remedy``: why it failed. What
    set-up and pip say is kept as they say it."""

    phase: Phase
    doing: Said = ""
    began: float = 0.0
    told: Said = ""
    remedy: Said = ""

    def sentence(self) -> Text:
        """For the page's line about the engine; ``NOTHING`` where there is nothing to say."""
        if self.phase == "working":
            minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
            took = Text("install.seconds", seconds=seconds)
            if minutes:
                took = Text("install.minutes", minutes=minutes, seconds=seconds)
            return Text("install.at_work", doing=self.doing, time=took)
        if self.phase == "failed":
            return Text("install.failed")
        return NOTHING


class BackgroundInstall:
    """See the module's docstring; any thread may ask.

    Args:
        ready: called once, when clips can be made; at once by ``begin`` if they can already.
        command: the set-up; tests have their own.
        faults: where the page looks for what its thread ran into.
    """

    def __init__(
        self,
        home: Home,
        ready: Callable[[], None] = lambda: None,
        command: Sequence[str] = COMMAND,
        faults: Faults | None = None,
    ) -> None:
        self._loop = Loop("install", (faults or Faults()).tell)
        self._log_file = home.logs / "setup.log"
        self._ready, self._command = ready, list(command)
        self._lock = threading.Lock()
        self._state: InstallState | None = None
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    def look(self) -> InstallState:
        state = self._state
        if state is not None and state.phase == "working":
            return state
        if engine_here():
            return InstallState("here")
        return state or InstallState(
            "failed",
            told=Text("install.missing"),
            remedy=Text("install.run_setup", command=SETUP),
        )

    def begin(self) -> None:
        """Call ``ready`` if all is here; else start, unless set-up didn't make this environment."""
        if engine_here():
            self._ready()
        elif _ours():
            self.again()

    def again(self) -> None:
        """Try (again); does nothing while it is at work or where nothing is missing."""
        with self._lock:
            working = self._state is not None and self._state.phase == "working"
            if working or self._closed or engine_here():
                return
            self._state = InstallState("working", Text("install.beginning"), time.monotonic())
            try:
                loops.start(
                    threading.Thread(target=self._run, name="background install", daemon=True)
                )
            except loops.ThreadRefused as error:
                self._state = InstallState("failed", told=error.sentence, remedy=error.remedy)

    def close(self) -> None:
        """End a set-up that is at work; the next start goes on with it."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        # Windows ends a process without a word to its children: a pip would go on by itself.
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(process.pid).children(recursive=True)
            for member in [psutil.Process(process.pid), *family]:
                with contextlib.suppress(psutil.Error):
                    member.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=5)

    # ---- its own thread --------------------------------------------------------------------

    def _run(self) -> None:
        """Whoever sees that it failed has it tried again, so nothing may end it "at work"; what was
        to be called when it is here is called until that worked."""
        here = False
        with self._loop.turn():
            try:
                here = self._work()
            except Exception as error:
                why = Text("install.unexpected", error=loops.described(error))
                remedy = Text("install.log_has_it", file=self._log_file)
                self._state = InstallState("failed", told=why, remedy=remedy)
                raise
        while here and not self._closed:
            with self._loop.turn():
                self._ready()
                return
            time.sleep(self._loop.pause)

    def _work(self) -> bool:
        """Whether all is here after it."""
        told: Said
        try:
            code, told = self._install()
        except OSError as error:
            code, told = 1, Text("install.cant_start", reason=error.strerror or str(error))
        if code == 0 and engine_here():
            _look_again()
            self._state = InstallState("here")
            log.info("what makes clips was installed")
            return True
        log.warning("set-up ended with code %d: %s", code, told)
        remedy = Text("install.log_has_it", file=self._log_file)
        self._state = InstallState("failed", told=told, remedy=remedy)
        return False

    def _install(self) -> tuple[int, str]:
        """Exit code and last words."""
        last: deque[str] = deque(maxlen=LAST_LINES)
        self._log_file.parent.mkdir(exist_ok=True)
        with self._log_file.open("w", encoding="utf-8") as kept:
            with self._lock:
                if self._closed:
                    return 130, ""
                self._process = process = subprocess.Popen(
                    self._command,
                    cwd=PROJECT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    env={**os.environ, "PYTHONUTF8": "1"},
                )
            assert process.stdout is not None
            for line in process.stdout:
                kept.write(line)
                kept.flush()
                text = line.strip()
                if text.endswith("…") and self._state is not None:
                    last.clear()
                    self._state = replace(self._state, doing=text.removesuffix("…").strip())
                elif not NOISE.match(line):
                    last.append(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
            return process.wait(), " ".join(last)


def _ours() -> bool:
    """Whether set-up made the environment that runs this, and would add to the same one."""
    return stamp() is not None and Path(sys.prefix) == PROJECT / ".venv"


def _look_again() -> None:
    """What was looked up once is different now."""
    importlib.invalidate_caches()
    forget_packages()
