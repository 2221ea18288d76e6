"""Shows a file in the file manager of the computer that runs the program."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from engine.library.library import LibraryError
from engine.text import Text


def show(path: Path) -> None:
    """Open the folder of ``path``, with the file selected where the system can do that.

    Raises:
        LibraryError: the file is gone, or there is no file manager to ask.
    """
    if not os.path.exists(path):
        left = Text("library.left_folder", file=path.name, folder=path.parent)
        raise LibraryError(left, Text("library.reload"))
    command = _command(path)
    remedy = Text("library.folder_is", folder=path.parent)
    if command is None:
        raise LibraryError(Text("library.no_file_manager"), remedy)
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
        reason = error.strerror or str(error)
        raise LibraryError(Text("library.file_manager_fails", reason=reason), remedy) from error


def _command(path: Path) -> list[str] | str | None:
    if sys.platform == "win32":
        return f'explorer /select,"{path}"'  # its own quoting, which a list would spoil
    if sys.platform == "darwin":
        return ["open", "-R", str(path)]
    desktop = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    opener = shutil.which("xdg-open")
    return [opener, str(path.parent)] if opener and desktop else None
