"""Before a model is loaded: what changed since it was hashed is hashed again.

A hash is kept with the file's size, times and number, so that nobody waits for 22 GB at each start.
"""

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from engine.presets import ModelPreset
from engine.text import Text, listed
from engine.weights.checkpoint import Parts, files_of, find_parts, get_it
from engine.weights.fetch import digest
from engine.weights.hub import WeightsError, explain
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.pins import Pins

log = logging.getLogger("headroom.weights")

AT_ONCE = 4  # files; the disk is the limit


@dataclass(frozen=True)
class _Read:
    """A file that is going to be read, and what may stand in it: any of ``known``."""

    place: Path
    known: tuple[Promise, ...]
    pinned: bool

    @property
    def path(self) -> str:
        return self.known[0].path

    def is_right(self) -> bool:
        kinds = {one.sha256 is None: one for one in self.known}
        found = {digest(self.place, one) for one in kinds.values()}
        return not found.isdisjoint(one.sha256 or one.git for one in self.known)


def check_at_use(folder: Path, preset: ModelPreset) -> int:
    """Look at each file that would be loaded, and hash those that nobody hashed as they are now.

    Returns:
        how many were hashed.

    Raises:
        WeightsMissing: some aren't there.
        WeightsError: some aren't what was promised, or can't be read.
    """
    manifest = Manifest.load(folder)
    try:
        parts = find_parts(folder, preset)
        files = _files(parts, preset, manifest)
    except OSError as error:
        raise explain(error, preset.name) from error
    looks = {file.place: manifest.verdict(file.path, file.place) for file in files}
    changed = [file for file in files if looks[file.place] is None]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        hashed = [*pool.map(_hash, changed)]
    for file, (good, found) in zip(changed, hashed, strict=True):
        manifest.note(file.path, file.place, good, found)
        looks[file.place] = good
    if changed:
        log.info("%d files hashed in %.1f s", len(changed), time.monotonic() - began)
        _keep(manifest)
    damaged = [file for file in files if looks[file.place] is False]
    if _is_another_revision(parts, files, damaged):
        log.warning("%s: another revision, used as it is", parts["transformer"])
        damaged = [file for file in damaged if file.known[0].role != "transformer"]
    if damaged:
        raise WeightsError(
            Text("weights.damaged_files", files=listed(*(str(file.place) for file in damaged))),
            get_it(preset),
        )
    return len(changed)


def _files(parts: Parts, preset: ModelPreset, manifest: Manifest) -> list[_Read]:
    """Those of ``parts`` whose hash is known: from the model's record, else from the pins."""
    promised = {(one.role, one.within): one for one in manifest.promises.values()}
    pins = Pins.load(manifest.folder)
    found, trusted = [], []
    for role, within, place in files_of(parts):
        promise, file = promised.get((role, within)), preset.weight_file(role)
        known = [promise] if promise else pins.of(file, within, place) if file else []
        if known:
            found.append(_Read(place, tuple(known), promise is None))
        else:
            trusted.append(str(place))
    if trusted:
        log.warning("no hash is known, used as they are: %s", ", ".join(trusted))
    return found


def _is_another_revision(parts: Parts, files: Sequence[_Read], damaged: Sequence[_Read]) -> bool:
    """Whether somebody brought another revision of the transformer, which ``weights verify`` uses
    as it is, too: none of its files is what the pins name. Its headers are read all the same."""
    mine = [file for file in files if file.known[0].role == "transformer"]
    return (
        os.path.isdir(parts.get("transformer", ""))
        and all(file.pinned for file in mine)
        and len(mine) > 1
        and all(file in damaged for file in mine)
    )


def _hash(file: _Read) -> tuple[bool, os.stat_result]:
    try:
        found = file.place.stat()  # before it is read: what changes meanwhile is hashed again
        return file.is_right(), found
    except OSError as error:
        raise explain(error, str(file.place)) from error


def _keep(manifest: Manifest) -> None:
    """Write down what was found, unless a download does so now or the folder can't be written to:
    then it is hashed again the next time."""
    try:
        with FileLock(manifest.folder / OURS / "lock", is_singleton=False).acquire(timeout=0):
            manifest.save()
    except (Timeout, OSError) as error:
        log.info("what was hashed is not kept: %s", error)
