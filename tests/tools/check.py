"""The loop of the day, within a minute: ``./launch.sh check``.

Linters, types, the rooms' order, and the tests that start no server, browser, model or process (the
others have the marker ``starts``). Everything runs, also after a failure, and says how long it
took. CI runs the same linters and every test.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.home import PROJECT

LINTERS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    # It has no module to run.
    "import-linter": ("-c", "from importlinter.cli import lint_imports_command as lint; lint()"),
    "mypy": ("-m", "mypy"),
}
QUICK = ("pytest", "-m", "not starts and not model and not browser", "--starts-nothing")


def run(name: str, *arguments: str) -> tuple[bool, str]:
    """Whether it passed, and what to say: its output only where it didn't."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    passed, took = done.returncode == 0, time.monotonic() - began
    said = f"{name:14} {'ok' if passed else 'FAILED':7} {took:5.1f} s"
    return passed, said if passed else f"{said}\n{done.stdout.rstrip()}"


def linters() -> bool:
    """All of them, one process beside another."""
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda item: run(item[0], *item[1]), LINTERS.items()))
    for _, said in results:
        sys.stdout.write(said + "\n")
    sys.stdout.flush()
    return all(passed for passed, _ in results)


def main(arguments: list[str]) -> int:
    if arguments == ["--linters"]:  # what .ci/run wants beside its tests
        return 0 if linters() else 1
    began = time.monotonic()
    clean = linters()
    tests = subprocess.run(
        [sys.executable, "-m", *QUICK, "-n", "2", "--dist", "loadfile", *arguments], cwd=PROJECT
    )
    sys.stdout.write(f"All of it took {time.monotonic() - began:.0f} s.\n")
    return 0 if clean and tests.returncode == 0 else 1


if __name__ == "__main__":
    assert Path.cwd().samefile(PROJECT), "start it with ./launch.sh check"
    sys.exit(main(sys.argv[1:]))
