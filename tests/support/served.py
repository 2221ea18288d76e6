"""A real page in a process of its own, for the boot and browser tests."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from engine.home import PROJECT
from tests.conftest import TESTS, wait_until

APP = (sys.executable, PROJECT / "app.py")
# A page where no model is loaded yet, and one whose default model is ready at once.
LAZY = (sys.executable, TESTS / "support" / "lazy_page.py")
SCRIPTED = (sys.executable, "-m", "tests.support.scripted_page")


@dataclass
class Served:
    """A running `app.py serve`."""

    process: subprocess.Popen[bytes]
    log_file: Path
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])

    def log(self) -> str:
        return self.log_file.read_text()

    def state(self, key: str) -> object:
        """One value of the first event of the live stream."""
        with httpx.stream("GET", f"{self.url}live", trust_env=False, timeout=120) as answer:
            line = next(line for line in answer.iter_lines() if line.startswith("data:"))
        return json.loads(line[5:])[key]

    def end(self, how: int) -> int:
        """Signal the whole group, as a terminal does; returns the exit code."""
        os.killpg(self.pid, how)
        return self.process.wait(timeout=120)


def serve(
    log_file: Path,
    port: int | None = None,
    environment: dict[str, str] | None = None,
    program: Sequence[str | Path] = APP,
) -> Served:
    """Start the page and wait for its address and its first 200.

    Args:
        program: what serves it; a launcher may have to install the page first.
    """
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*program, "--no-browser", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )

    def address() -> re.Match[str] | None:
        assert process.poll() is None, log_file.read_text()
        return re.search(r"Headroom is at (\S+)", log_file.read_text())

    wait_until(address, "the page's address", 240)
    found = address()
    assert found is not None
    served = Served(process, log_file, found[1])
    assert httpx.get(served.url, trust_env=False, timeout=120).status_code == 200
    return served


@contextmanager
def serving(
    folder: Path,
    presets: Path = TESTS / "fixtures/presets",
    program: Sequence[str | Path] = LAZY,
    **more: str,
) -> Iterator[Served]:
    """A page with a home of its own below ``folder``, ended politely.

    Args:
        more: variables besides.
    """
    own = {"HEADROOM_HOME": str(folder / "home"), "HEADROOM_PRESETS": str(presets)}
    environment = {**os.environ, **own, **more}
    running = serve(folder / "serve.log", environment=environment, program=program)
    try:
        yield running
    finally:
        running.end(signal.SIGTERM)


@contextmanager
def serving_as_it_comes(folder: Path) -> Iterator[Served]:
    """``serving`` without the tests' own models."""
    (folder / "none").mkdir()
    with serving(folder, presets=folder / "none", program=APP) as running:
        yield running
