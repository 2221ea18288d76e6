"""Databases that are damaged, or held by another program."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.home import Home
from tests.conftest import wait_until


@contextmanager
def locked_elsewhere(database: Path) -> Iterator[None]:
    code = (
        "import sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)\n"
        "db.execute('begin immediate')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "db.execute('rollback')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            other.communicate("")


def damage(database: Path, first: int = 1) -> None:
    """Overwrite all pages from ``first`` on, with everything in the file itself."""
    with sqlite3.connect(database) as db:
        db.execute("pragma wal_checkpoint(truncate)")
        size = db.execute("pragma page_size").fetchone()[0]
    db.close()
    with database.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        length = file.tell()
        file.seek(first * size)
        file.write(b"\x55" * (length - first * size))


def settle(home: Home) -> None:
    """As if the clips had come some time ago; younger ones are taken in a little later."""
    for file in home.clips.iterdir():
        os.utime(file, (time.time() - 60, time.time() - 60))
    wait_until(
        lambda: all(time.time() - f.stat().st_ctime > 3 for f in home.clips.iterdir()), "age"
    )
