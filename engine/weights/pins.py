"""What the hub said the first time it was asked, kept beside the models' folders.

A model that is deleted and fetched again comes from the same revision, and under that the hub can't
name another content. ``weights/.headroom/MODEL.json`` may be deleted to follow the hub anew.
"""

import contextlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from engine.presets import WeightFile
from engine.text import Text
from engine.weights.hub import FetchError
from engine.weights.manifest import OURS, Promise, write_json

log = logging.getLogger("headroom.weights")

FORMAT = 1
SHA256 = 64  # hex digits; git's SHA-1 has 40


@dataclass
class Pins:
    """``commits`` by repository; ``hashes`` by repository, commit and path, joined by spaces."""

    file: Path
    commits: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Pins":
        """Those of the model whose files lie in ``folder``; none where the file can't be read."""
        pins = cls(folder.parent / OURS / f"{folder.name}.json")
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            told = json.loads(pins.file.read_text(encoding="utf-8"))
            if told["format"] == FORMAT:
                pins.commits = _texts(told["commits"])
                pins.hashes = _texts(told["hashes"])
        return pins

    def of(self, file: WeightFile, within: str, place: Path) -> list[Promise]:
        """What was promised of the file at ``place``, by each source that it may have come from.

        Args:
            within: its name inside a part of many files, else "".

        Returns:
            promises whose ``bytes`` are 0: the pins don't have the size.
        """
        found = []
        for source in file.sources:
            path = f"{source.path}/{within}" if within else source.path
            if not within and PurePosixPath(path).name != place.name:
                continue
            named = {
                commit: value
                for repo, commit, of, value in self._each()
                if (repo, of) == (source.repo, path)
            }
            now = self.commits.get(source.repo)
            for commit in [now] if now in named else named:
                value = named[commit]
                sha256, git = (value, "") if len(value) == SHA256 else (None, value)
                found.append(Promise(file.role, source.repo, commit, path, within, 0, sha256, git))
        return found

    def _each(self) -> Iterator[tuple[str, str, str, str]]:
        for name, value in self.hashes.items():
            repo, commit, path = [*name.split(" ", 2), "", ""][:3]
            yield repo, commit, path, value

    def keep(self, promises: Iterable[Promise]) -> None:
        """Compare what the hub says now with what it said of the same revision, and keep it.

        Raises:
            FetchError: it names another content.
        """
        fresh = {f"{p.repo} {p.commit} {p.path}": p for p in promises}
        for name, promise in fresh.items():
            if self.hashes.get(name, _hash(promise)) != _hash(promise):
                raise FetchError(
                    Text("weights.other_than_seen", path=promise.path, repo=promise.repo),
                    Text("weights.delete_pins", file=str(self.file)),
                )
        for promise in fresh.values():
            before = self.commits.get(promise.repo, promise.commit)
            if before != promise.commit:
                log.warning("%s has moved from %s to %s", promise.repo, before, promise.commit)
            self.commits[promise.repo] = promise.commit
        kept = {name: _hash(promise) for name, promise in fresh.items()}
        if not kept.items() <= self.hashes.items():
            self.hashes |= kept
            told = {"format": FORMAT, "commits": self.commits, "hashes": self.hashes}
            with contextlib.suppress(OSError):  # the model's own record has it as well
                write_json(self.file, told)


def _hash(promise: Promise) -> str:
    return promise.sha256 or promise.git


def _texts(told: Mapping[str, str]) -> dict[str, str]:
    return {str(name): str(value) for name, value in told.items()}
