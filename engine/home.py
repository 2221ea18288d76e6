"""Where Headroom writes: one folder for database, clips and logs, moved whole by HEADROOM_HOME."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.errors import ExitCode, HeadroomError

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
        root = Path(named).expanduser() if named else platformdirs.user_data_path("Headroom", False)
        home = cls(root.resolve())
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

    @property
    def shares(self) -> Path:
        """A file for each share that is open, held by its process."""
        return self.root / "shares"

    def create(self) -> None:
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
