"""Shows a file in the file manager of the computer that runs the program."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from engine.library.library import LibraryError


def show(path: Path) -> None:
    """Open the folder of ``path``, with the file selected where the system can do that.

    Raises:
        LibraryError: the file is gone, or there is no file manager to ask.
    """
    if not path.exists():
        raise LibraryError(f"{path.name} is no longer in {path.parent}.", "Reload the page.")
    command = _command(path)
    if command is None:
        raise LibraryError("There is no file manager here to ask.", f"The folder is {path.parent}.")
    try:
        # Neither waited for nor ended with us: a file manager stays as long as its user likes.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise LibraryError(
            f"The file manager can't be started: {error.strerror or error}.",
            f"The folder is {path.parent}.",
        ) from error


def _command(path: Path) -> list[str] | str | None:
    if sys.platform == "win32":
        return f'explorer /select,"{path}"'  # its own quoting, which a list would spoil
    if sys.platform == "darwin":
        return ["open", "-R", str(path)]
    desktop = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opener = shutil.which("xdg-open")
    return [opener, str(path.parent)] if opener and desktop else None
