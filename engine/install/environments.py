"""The environments on disk: which one is in force, what it holds, and how a new one replaces it.

A new one is made beside the old one and tested there. Only renaming puts it in force, so whatever
interrupts a set-up leaves an environment that works. Standard library only.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.process import patience
from engine.process.console import say

STAMP = "headroom.json"
TRIAL = "HEADROOM_TRIAL"  # set while packages are tried that the stamp doesn't name yet
POLL_SECONDS = 0.5
ANSWER_SECONDS = 60.0
SCRIPT_BYTES = 1_000_000  # what has a path in its first line is far smaller


class SetupError(Exception):
    """Set-up can't go on; the text says what to do."""


@dataclass(frozen=True)
class Stamp:
    """What an environment holds, written once it was tested.

    ``files`` maps requirement files to their hashes; ``left_out`` optional packages to why.
    """

    python: str
    place: str
    target: str
    wish: str
    files: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def write(self, venv: Path) -> None:
        # At once, as the page reads it while a set-up adds to its environment.
        fresh = venv / f"{STAMP}.new"
        fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, venv / STAMP)


def read_stamp(venv: Path) -> Stamp | None:
    """None where no set-up was finished, or by a program so old that its stamp tells less."""
    try:
        told = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        return Stamp(**told)
    except (OSError, ValueError, TypeError):
        return None


def python_of(venv: Path) -> Path:
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return venv / folder / name


def answers(venv: Path) -> bool:
    """Whether its Python starts there and knows where it is."""
    code = "import os, sys; sys.exit(not os.path.samefile(sys.prefix, sys.argv[1]))"
    command = [str(python_of(venv)), "-I", "-c", code, str(venv)]
    try:
        return patience.run(command, ANSWER_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@dataclass(frozen=True)
class Environments:
    """The one in force and, while a set-up is at work, the next and the last one."""

    project: Path

    @property
    def now(self) -> Path:
        return self.project / ".venv"

    @property
    def new(self) -> Path:
        return self.project / ".venv.new"

    @property
    def old(self) -> Path:
        return self.project / ".venv.old"

    def recover(self) -> None:
        """Finish or undo what an interruption left: afterwards the old one is in force, if any."""
        if self.old.exists():
            if not self.now.exists():
                _rename(self.old, self.now)
            else:
                _remove(self.old)
        _remove(self.new)

    def swap(self) -> None:
        """Put the new one in force, unless it doesn't answer from its new place.

        Raises:
            SetupError: the old one can't be moved, or the new one fails where it is now.
        """
        if self.now.exists():
            _rename(self.now, self.old)
        try:
            _rename(self.new, self.now)
            rehome(self.now, str(self.new), str(self.now))
            if not answers(self.now):
                raise SetupError("The new environment doesn't start from its final folder.")
        except (SetupError, OSError):
            _remove(self.now)
            if self.old.exists():
                _rename(self.old, self.now)
            raise
        _remove(self.old)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One set-up at a time; waits for another one's end."""
        told = False
        with (self.project / ".venv.lock").open("a+b") as file:
            while not _lock(file.fileno()):
                if not told:
                    say("Another set-up of Headroom is running; waiting for it to finish.")
                told = True
                time.sleep(POLL_SECONDS)
            yield  # closing the file gives it back


def rehome(venv: Path, before: str, after: str) -> None:
    """Correct the paths in the scripts of an environment that was renamed.

    Python itself finds its environment from where it lies. Only the scripts beside it (``pip``,
    ``pytest``, ``activate``) name it; Windows' are programs, which ``python -m`` replaces.
    """
    for file in [venv / "pyvenv.cfg", *(venv / "bin").glob("*")]:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > SCRIPT_BYTES:
            continue
        text = file.read_bytes()
        if os.fsencode(before) in text and b"\0" not in text:
            file.write_bytes(text.replace(os.fsencode(before), os.fsencode(after)))


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        raise SetupError(
            f"{source} can't be renamed to {target.name}: {error.strerror or error}.\n"
            "Something is still using it: close Headroom and its windows, then start again."
        ) from error


def _remove(folder: Path) -> None:
    """Files that are still open can stay on Windows; the next set-up removes them."""
    shutil.rmtree(folder, ignore_errors=True)


def _lock(file: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            os.lseek(file, 0, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
