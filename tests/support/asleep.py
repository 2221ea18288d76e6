"""A clip in the making while its processes are held, as by a closed lid or a paused container."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from engine.home import PROJECT, Home
from engine.jobs import Jobs, State
from engine.store import Store
from tests.conftest import TESTS, Gate, wait_until

# The program as it is, but for how long a worker may be silent.
PROGRAM = (
    "import sys, app, engine.worker.process as process\n"
    "process.SILENCE_SECONDS = float(sys.argv.pop(1))\n"
    "sys.exit(app.main())"
)
CLIP = ("--model", "scripted", "--seed", "1")


@dataclass(frozen=True)
class Slept:
    """How the command ended and what it said; its job's state and attempts."""

    code: int
    said: str
    state: str
    attempts: int


def sleep_through(
    seconds: float, silence: float = 60.0, page: bool = True, page_first: bool = True
) -> Slept:
    """Make a clip, hold its worker for ``seconds`` in the middle, and see what comes of it.

    Args:
        silence: after so many seconds without a word a worker counts as hung.
        page: hold the page's process, too.
        page_first: which of the two goes on first afterwards, a fifth of a second earlier.
    """
    with TemporaryDirectory(prefix="headroom-asleep-") as folder:
        gate = Gate(Path(folder) / "open")
        home = Home(Path(folder))
        home.create()
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(silence), "generate", f"{gate} steps=12", *CLIP],
            cwd=PROJECT,
            env={
                **os.environ,
                "HEADROOM_HOME": folder,
                "HEADROOM_PRESETS": str(TESTS / "fixtures/presets"),
            },
            stdout=subprocess.DEVNULL,
            stderr=(home.logs / "said").open("wb"),
        )
        said = home.logs / "said"
        wait_until(lambda: "step 3" in said.read_text(), "the third step", 60)
        worker = next(
            child
            for child in psutil.Process(program.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        )
        held = [program.pid, worker.pid] if page else [worker.pid]
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        gate.open()
        time.sleep(seconds)  # what is tried is that time goes by
        for pid in held if page_first else reversed(held):
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGCONT)
            time.sleep(0.2)
        code = program.wait(60)
        store = Store(home.database)
        job = Jobs(store).ended(1, *State)[0]
        store.close()
        return Slept(code, said.read_text(), job.state.value, job.attempts)
