"""Where Headroom writes: one folder for database, clips and logs, moved whole by HEADROOM_HOME."""

import contextlib
import os
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from engine.errors import ExitCode, HeadroomError, first_line
from engine.text import Text

LANE = "HEADROOM_LANE"  # of several lanes, the one that a worker is in
NAME_A_FOLDER = "Set HEADROOM_HOME to a writable folder."
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
    def pictures(self) -> Path:
        """What clips begin and end with, each named by its SHA-256."""
        return self.root / "pictures"

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
    def stills(self) -> Path:
        """The clips' small pictures, each named by its clip's SHA-256; made again where missing."""
        return self.cache / "stills"

    @property
    def weights(self) -> Path:
        """One folder a model id; a link to a folder elsewhere will do."""
        return self.root / "weights"

    @property
    def adapters(self) -> Path:
        """LoRAs, by hand or through the program; made when there is a first."""
        return self.root / "adapters"

    @property
    def engine_lock(self) -> Path:
        """Held by the one process whose engine works on this folder's queue."""
        return self.root / "engine.lock"

    @property
    def shares(self) -> Path:
        """A file for each share that is open, held by its process."""
        return self.root / "shares"

    @property
    def errands(self) -> Path:
        """Clips that were made for another machine, until it takes them home."""
        return self.root / "errands"

    @property
    def joining(self) -> Path:
        """The token of the machines that work together, and whom this one has joined."""
        return self.root / "machines"

    def create(self) -> None:
        _check_name(self.root)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            for folder in (self.clips, self.pictures, self.trash, self.logs, self.cache):
                self.made(folder)
            probe = self.root / ".writable"
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise HomeError(
                f"Headroom can't write to its folder {self.root}: {error.strerror or error}.",
                "Make the folder writable, or set HEADROOM_HOME to another folder.",
            ) from error

    def check(self, folder: Path) -> None:
        """Whether ``folder``, one of these or below one, is there or could be made.

        Raises:
            HomeError: all of this is gone, a link leads nowhere, or a drive doesn't answer.
        """
        # Not Path.is_dir and its like: they raise where a network drive died, or by a long name.
        if not os.path.isdir(self.root):
            raise HomeError(Text("home.gone", folder=self.root), Text("home.put_back"))
        for part in reversed([folder, *folder.parents]):
            if self.root not in part.parents:
                continue
            if os.path.islink(part) and not os.path.isdir(part):
                raise HomeError(
                    Text("home.leads_nowhere", folder=part, target=os.readlink(part)),
                    Text("home.plug_in", folder=part),
                )
            try:
                part.lstat()
            except FileNotFoundError:
                return
            except OSError as error:
                raise HomeError(
                    Text("home.silent", folder=part, why=error.strerror or str(error)),
                    Text("home.mount_again", folder=part),
                ) from error

    def made(self, folder: Path) -> Path:
        """``folder``, one of these or below one, made again where somebody removed it.

        Raises:
            HomeError: it can't be.
        """
        if not os.path.isdir(folder):
            self.check(folder)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = error.strerror or str(error)
                raise HomeError(
                    Text("home.cant_make", folder=folder, why=why),
                    Text("home.make_by_hand", folder=folder),
                ) from error
        return folder

    def writable(self, folder: Path) -> Path:
        """``folder`` as ``made`` has it, and what is made may be written there.

        Raises:
            HomeError: it can't be.
        """
        if not os.access(self.made(folder), os.W_OK | os.X_OK):
            raise HomeError(
                Text("home.read_only", folder=folder), Text("home.make_by_hand", folder=folder)
            )
        return folder


def drive_of(path: Path) -> Path:
    """A folder that is there, on the drive that ``path`` lies on or will: links are followed, also
    those in the middle."""
    there = Path(os.path.realpath(path))
    while not os.path.isdir(there) and there != there.parent:
        there = there.parent
    return there


def free_bytes(path: Path) -> int:
    """On the drive of ``path``, which needn't exist yet; 0 where a drive doesn't tell, or where a
    link leads nowhere."""
    try:
        parts = (path, *path.parents)
        if any(os.path.islink(part) and not os.path.exists(part) for part in parts):
            return 0
        return shutil.disk_usage(drive_of(path)).free
    except OSError:
        return 0


def _usual() -> Path:
    """The platform's user data folder. A number without a user, as a container may have, has no
    home; some versions of platformdirs say so, with others "~" would be a folder of that name."""
    with contextlib.suppress(RuntimeError):
        found = platformdirs.user_data_path("Headroom", False)
        if found.is_absolute():
            return _whole(str(found))
    raise HomeError("This user has no home folder to hold Headroom's.", NAME_A_FOLDER)


def _whole(named: str) -> Path:
    """The absolute path, without links and "~"."""
    try:
        return Path(named).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # no such user; a loop of links
        why = first_line(error).rstrip(".")
        raise HomeError(f"Headroom's folder can't be {named!r}: {why}.", NAME_A_FOLDER) from error


def _check_name(root: Path) -> None:
    """Names go into the database, into JSON and to the terminal."""
    name = str(root)
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        raise HomeError(
            f"Headroom can't use the folder {name!r}: its name has a line break or another control "
            "character, or isn't UTF-8.",
            NAME_A_FOLDER,
        )
