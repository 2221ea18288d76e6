"""Where Headroom writes: one folder for database, clips and logs, moved whole by HEADROOM_HOME."""

import contextlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.errors import ExitCode, HeadroomError, first_line

NAME_A_FOLDER = "Set HEADROOM_HOME to a folder that you may write to."
PROJECT = Path(__file__).resolve().parent.parent


class HomeError(HeadroomError):
    """The folder for Headroom's files can't be used."""

    exit_code = ExitCode.SETUP_MISSING


@dataclass(frozen=True)
class Home:
    """The places under one root; nothing else in the program decides where files go."""

    root: Path

    @classmethod
    def find(cls) -> "Home":
        """The folder named by HEADROOM_HOME, else the platform's user data folder; created.

        Raises:
            HomeError: the folder can't be made or written to.
        """
        named = os.environ.get("HEADROOM_HOME", "").strip()
        home = cls(_whole(named) if named else _usual())
        home.create()
        return home

    @property
    def database(self) -> Path:
        return self.root / "headroom.sqlite3"

    @property
    def clips(self) -> Path:
        return self.root / "clips"

    @property
    def trash(self) -> Path:
        """Deleted clips, for some days."""
        return self.root / "trash"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def cache(self) -> Path:
        """What may be deleted at any time: the page's copies of clips."""
        return self.root / "cache"

    @property
    def weights(self) -> Path:
        """One folder a model id; a link to a folder elsewhere will do."""
        return self.root / "weights"

    @property
    def engine_lock(self) -> Path:
        """Held by the one process whose engine works on this folder's queue."""
        return self.root / "engine.lock"

    def create(self) -> None:
        _check_name(self.root)
        try:
            for folder in (self.clips, self.trash, self.logs, self.cache):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / ".writable"
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise HomeError(
                f"Headroom can't write to its folder {self.root}: {error.strerror or error}.",
                "Make the folder writable, or set HEADROOM_HOME to another folder.",
            ) from error


def _usual() -> Path:
    """The platform's user data folder. A number without a user, as a container may have, has no
    home; some versions of platformdirs say so, with others "~" would be a folder of that name."""
    with contextlib.suppress(RuntimeError):
        found = platformdirs.user_data_path("Headroom", False)
        if found.is_absolute():
            return _whole(str(found))
    raise HomeError("This user has no home folder, where Headroom's would be.", NAME_A_FOLDER)


def _whole(named: str) -> Path:
    """The absolute path, without links and "~"."""
    try:
        return Path(named).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # no such user; a loop of links
        why = first_line(error).rstrip(".")
        raise HomeError(
            f"There can be no folder {named!r} for Headroom: {why}.", NAME_A_FOLDER
        ) from error


def _check_name(root: Path) -> None:
    """Names go into the database, into JSON and to the terminal."""
    name = str(root)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise HomeError(
            f"Headroom can't use the folder {name!r}: its name has a line break or another control "
            "character, or isn't UTF-8.",
            NAME_A_FOLDER,
        )
