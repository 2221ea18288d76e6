"""Starts the page in one hostile environment after the other and says what it didn't keep to.

``python -m tests.tools.hostile_environments [WORD ...]`` takes those with a word in their name.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from engine.home import PROJECT
from tests.support.hostile import HOSTILE, LOOPBACK, faults
from tests.support.served import serve


def tried(name: str, variables: Mapping[str, str], host: str, folder: Path) -> list[str]:
    """Serve on ``host`` with ``variables``; returns what went wrong."""
    own = {
        "HEADROOM_HOME": str(folder / "home"),
        "HEADROOM_PRESETS": str(PROJECT / "tests/fixtures/presets"),
    }
    program = (sys.executable, PROJECT / "app.py", "serve", "--host", host)
    log = folder / "serve.log"
    try:
        served = serve(log, environment={**os.environ, **own, **variables}, program=program)
    except Exception as error:
        return [f"it doesn't start: {str(error)[-300:]}"]
    children = psutil.Process(served.pid).children(recursive=True)
    try:
        found = faults(served.pid, served.url)
    finally:
        code = served.end(signal.SIGTERM)
    if code != 0:
        found.append(f"it ends with {code}")
    psutil.wait_procs(children, timeout=10)
    found += [f"{one.pid} was left behind" for one in children if one.is_running()]
    if "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
        found.append("a traceback")
    return found


def main(words: list[str]) -> int:
    together = {k: v for one in HOSTILE.values() for k, v in one.items()}
    environments = {**HOSTILE, "all of them": together}
    chosen = {n: v for n, v in environments.items() if not words or any(w in n for w in words)}
    began, bad = time.monotonic(), 0
    for number, (name, variables) in enumerate(chosen.items()):
        with tempfile.TemporaryDirectory() as folder:
            found = tried(name, variables, LOOPBACK[number % len(LOOPBACK)], Path(folder))
        bad += bool(found)
        sys.stdout.write(f"{name}: {'; '.join(found) or 'ok'}\n")
        sys.stdout.flush()
    seconds = round(time.monotonic() - began)
    sys.stdout.write(f"{len(chosen)} environments, {bad} with faults, {seconds} s\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
