"""Files that another model's folder has already: Wan's models have text encoder, tokenizer and VAE
in common, 7 GB that are fetched once.

A file counts that was verified there and is still as it was. It gets a second name in the own
folder, so that either model can be deleted; where the drive allows none, it is used where it lies.
"""

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from engine.presets import WeightFile
from engine.weights.checkpoint import is_whole
from engine.weights.linked_folders import link
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.pins import Pins

log = logging.getLogger("headroom.weights")


@dataclass(frozen=True)
class Held:
    """A verified file of the model whose folder is ``folder``."""

    folder: Path
    promise: Promise
    place: Path

    @property
    def model(self) -> str:
        return self.folder.name


def held_elsewhere(folder: Path) -> tuple[Held, ...]:
    """The verified files of the models whose folders lie beside ``folder``."""
    return tuple(_each(folder))


def _each(folder: Path) -> Iterator[Held]:
    others: list[Path] = []
    with suppress(OSError):
        others = sorted(other for other in folder.parent.iterdir() if other != folder)
    for other in others:
        manifest = Manifest.load(other) if other.name != OURS else Manifest(other)
        for path, promise in manifest.promises.items():
            check = manifest.checks.get(path)
            if check is not None and manifest.verdict(path, Path(check.place)):
                yield Held(other, promise, Path(check.place))


def shared_part(
    folder: Path, others: Iterable[Held], file: WeightFile, layers: int
) -> tuple[Held, ...]:
    """All of ``file``, as one other model has it from one of the same sources; () if none does.

    Args:
        folder: the own model's, which may have been promised another revision.
        others: ``held_elsewhere`` of it.
        layers: how many blocks the transformer has.
    """
    commits = Pins.load(folder).commits
    found: dict[tuple[Path, int], list[Held]] = {}
    for held in others:
        promise = held.promise
        for number, source in enumerate(file.sources):
            inside = promise.path.removesuffix(f"/{promise.within}") if promise.within else ""
            same = (source.repo, source.path) == (promise.repo, inside or promise.path)
            revision = commits.get(source.repo, source.revision)
            if same and promise.role == file.role and revision in ("main", promise.commit):
                found.setdefault((held.folder, number), []).append(held)
    for (_, number), files in sorted(found.items(), key=lambda one: one[0][1]):
        if is_whole({held.promise.within for held in files}, file.sources[number], layers):
            return tuple(files)
    return ()


def by_content(others: Iterable[Held]) -> Mapping[str, Held]:
    """What other models have, by the hash that the hub promised of it."""
    return {held.promise.part_name: held for held in others}


def share(manifest: Manifest, promise: Promise, held: Held) -> bool:
    """Have the file that ``held`` is serve as ``promise`` of ``manifest``'s model, too.

    Returns:
        whether it does now.
    """
    target = manifest.folder / promise.path
    if os.path.exists(target):
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(held.place.resolve(), target)
    except OSError as error:
        log.info("%s gets no second name: %s", held.place, error)
        top = _above(held.place, promise.path)
        if top is None:
            return False
        link(manifest.folder, [top])
        target = held.place
    manifest.note(promise.path, target, True)
    _note_again(held)
    log.info("%s is shared with %s", promise.path, held.model)
    return True


def shared_with(
    where: Mapping[str, Path], others: Iterable[Held], promises: Collection[Promise]
) -> str:
    """The model that has all these files, one and the same as those at ``where``, or ""."""
    wanted = {promise.part_name: where[promise.path] for promise in promises}
    found: dict[str, set[str]] = {}
    for held in others:
        own = wanted.get(held.promise.part_name)
        with suppress(OSError):
            if own is not None and os.path.samefile(own, held.place):
                found.setdefault(held.model, set()).add(held.promise.part_name)
    return next((model for model, names in sorted(found.items()) if len(names) == len(wanted)), "")


def _above(place: Path, path: str) -> Path | None:
    """The folder in which ``place`` has the name ``path``."""
    parts = Path(path).parts
    return Path(*place.parts[: -len(parts)]) if place.parts[-len(parts) :] == parts else None


def _note_again(held: Held) -> None:
    """A second name changes a file's entry, by which the other model's record knows it."""
    try:
        with FileLock(held.folder / OURS / "lock", is_singleton=False).acquire(timeout=0):
            manifest = Manifest.load(held.folder)
            check = manifest.checks.get(held.promise.path)
            found = held.place.stat()
            if check and (check.bytes, check.mtime_ns) == (found.st_size, found.st_mtime_ns):
                manifest.note(held.promise.path, held.place, check.good)
                manifest.save()
    except (Timeout, OSError) as error:
        log.info("%s will be hashed again for %s: %s", held.place, held.model, error)
