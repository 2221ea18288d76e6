"""Runs a command, and ends it, with all that it started, as soon as whoever wanted it is gone.

``python -m engine.joined.cluster.held COMMAND ...``: lives as long as its standard input is open.
Ray's daemons end with their starter, but for two that stay behind when that is killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

PATIENCE = 3.0  # seconds, for a polite end


def main(command: list[str]) -> int:
    os.setsid()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_until_alone, args=(child,), daemon=True).start()
    code = child.wait()
    _end_group()
    return code


def _until_alone(child: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE)
    _end_group()


def _end_group() -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
