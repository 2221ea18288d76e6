"""What the hub promised of a model's files and what was found of it, in a small JSON beside them.

With it files can be verified offline, and a download that goes on later stays with one revision.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.presets import Role

OURS = ".headroom"  # in a model's folder; LightX2V reads no hidden files
NAME = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Promise:
    """One file as the hub describes it.

    ``path`` is its place in ``repo`` at ``commit``; ``within`` its name inside a part of many files
    ("" where the part is this file). ``sha256`` is None for the small files that the hub keeps in
    git itself; those have ``git``, their blob's id.
    """

    role: Role
    repo: str
    commit: str
    path: str
    within: str
    bytes: int
    sha256: str | None
    git: str

    @property
    def part_name(self) -> str:
        """Where its bytes gather: named by content, so that another source can go on with them."""
        return f"{self.sha256 or self.git}.part"


@dataclass(frozen=True)
class Check:
    """What hashing the file at ``place`` found; it lapses when the file's size, number or times
    change: that of its content can be set back, that of its entry can't.

    0 where a version before didn't keep it.
    """

    place: str
    bytes: int
    mtime_ns: int
    good: bool
    ctime_ns: int = 0
    inode: int = 0

    def is_of(self, place: Path, found: os.stat_result) -> bool:
        """Whether it is of the file at ``place`` as it is now."""
        return (
            (self.place, self.bytes, self.mtime_ns)
            == (str(place), found.st_size, found.st_mtime_ns)
            and self.ctime_ns in (0, found.st_ctime_ns)
            and self.inode in (0, found.st_ino)
        )


@dataclass
class Manifest:
    """``promises`` and ``checks`` by the path in the repository. ``folder`` is the model's."""

    folder: Path
    promises: dict[str, Promise] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """What is known; nothing where the file is missing or damaged, for it can be had again."""
        manifest = cls(folder)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads((folder / OURS / NAME).read_text(encoding="utf-8"))
            if told["format"] == FORMAT:
                promises = {entry["path"]: Promise(**entry) for entry in told["files"]}
                checks = {path: Check(**entry) for path, entry in told["checks"].items()}
                manifest.promises, manifest.checks = promises, checks
        return manifest

    def save(self) -> None:
        told = {
            "format": FORMAT,
            "files": [asdict(promise) for promise in self.promises.values()],
            "checks": {path: asdict(check) for path, check in self.checks.items()},
        }
        write_json(self.folder / OURS / NAME, told)

    def of(self, role: Role) -> list[Promise]:
        return [promise for promise in self.promises.values() if promise.role == role]

    def promise(self, role: Role, promises: Iterable[Promise]) -> None:
        """Take ``promises`` for this role, in place of any earlier ones."""
        fresh = {promise.path: promise for promise in promises}
        kept = {path: p for path, p in self.promises.items() if p.role != role}
        for path, old in self.promises.items():
            new = fresh.get(path)
            if new is not None and new.part_name != old.part_name:
                self.checks.pop(path, None)  # it was right, and isn't any more
        self.promises = kept | fresh

    def note(self, path: str, place: Path, good: bool, found: os.stat_result | None = None) -> None:
        """Keep what hashing ``place`` found; ``found`` is how it was before it was read."""
        found = found or place.stat()
        self.checks[path] = Check(
            str(place), found.st_size, found.st_mtime_ns, good, found.st_ctime_ns, found.st_ino
        )

    def verdict(self, path: str, place: Path) -> bool | None:
        """Whether the file at ``place`` is what was promised; None as long as nobody looked."""
        promise, check = self.promises.get(path), self.checks.get(path)
        try:
            found = place.stat()
        except OSError:
            return False
        if promise is not None and found.st_size != promise.bytes:
            return False
        if check is None or not check.is_of(place, found):
            return None
        return check.good


def write_json(file: Path, value: Any) -> None:
    """The whole file or the old one, never half of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}.new")
    try:
        fresh.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
        os.replace(fresh, file)
    finally:
        fresh.unlink(missing_ok=True)
