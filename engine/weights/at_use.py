"""Before a model is loaded: what changed since it was hashed is hashed again.

A hash is kept with the file's size, times and number, so that nobody waits for 22 GB at each start.
"""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock, Timeout

from engine.presets import ModelPreset
from engine.text import Text, listed
from engine.weights.checkpoint import get_it
from engine.weights.fetch import digest
from engine.weights.hub import WeightsError, explain
from engine.weights.manifest import OURS, Manifest, Promise
from engine.weights.state import places

log = logging.getLogger("headroom.weights")

AT_ONCE = 4  # files; the disk is the limit


def check_at_use(folder: Path, preset: ModelPreset) -> int:
    """Look at each file that the hub promised, and hash those that nobody hashed as they are now.

    Returns:
        how many were hashed.

    Raises:
        WeightsError: some aren't what was promised, or can't be read.
    """
    manifest = Manifest.load(folder)
    where = places(folder, preset, manifest)
    here = [one for one in manifest.promises.values() if os.path.isfile(where[one.path])]
    looks = {one.path: manifest.verdict(one.path, where[one.path]) for one in here}
    changed = [one for one in here if looks[one.path] is None]
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # As it was before it was read: what changes meanwhile is hashed again.
        hashed = [*pool.map(lambda one: _hash(one, where[one.path]), changed)]
    for one, (good, found) in zip(changed, hashed, strict=True):
        manifest.note(one.path, where[one.path], good, found)
        looks[one.path] = good
    if changed:
        log.info("%d files hashed in %.1f s", len(changed), time.monotonic() - began)
        _keep(manifest)
    damaged = [str(where[path]) for path, good in looks.items() if good is False]
    if damaged:
        raise WeightsError(
            Text("weights.damaged_files", files=listed(*damaged)),
            get_it(preset),
        )
    return len(changed)


def _hash(promise: Promise, place: Path) -> tuple[bool, os.stat_result]:
    try:
        found = place.stat()
        return digest(place, promise) == (promise.sha256 or promise.git), found
    except OSError as error:
        raise explain(error, str(place)) from error


def _keep(manifest: Manifest) -> None:
    """Write down what was found, unless a download does so now or the folder can't be written to:
    then it is hashed again the next time."""
    try:
        with FileLock(manifest.folder / OURS / "lock", is_singleton=False).acquire(timeout=0):
            manifest.save()
    except (Timeout, OSError) as error:
        log.info("what was hashed is not kept: %s", error)
