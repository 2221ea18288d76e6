"""Runs a command, and ends it, with all that it started, as soon as whoever wanted it is gone.

``python -m engine.joined.cluster.held FOLDER COMMAND ...``: lives as long as its standard input is
open, and removes FOLDER ("" for none) at the end. Ray's daemons end with their starter, but for two
that stay behind when that is killed.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading

PATIENCE = 3.0  # seconds, for a polite end


def main(folder: str, command: list[str]) -> int:
    os.setsid()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    threading.Thread(target=_until_alone, args=(child, folder), daemon=True).start()
    code = child.wait()
    _end_group(folder)
    return code


def _until_alone(child: "subprocess.Popen[bytes]", folder: str) -> None:
    sys.stdin.buffer.read()
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE)
    _end_group(folder)


def _end_group(folder: str) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
