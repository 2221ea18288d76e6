"""Folders that people already have: a model's files are looked for there as well, never copied.

A small file names them, not a symbolic link: Windows allows those to few people, and a model may
lie in several folders (the hub's cache keeps one for each repository).
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.presets import ModelPreset
from engine.weights.manifest import OURS, write_json

NAME = "linked.json"


def linked(folder: Path) -> list[Path]:
    """The folders that were linked to the model's ``folder``, whether they are there now or not."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return [Path(name) for name in json.loads((folder / OURS / NAME).read_text("utf-8"))]
    return []


def folders(folder: Path) -> list[Path]:
    """Where a model's files may lie: its own ``folder`` first, then the linked ones."""
    return [folder, *linked(folder)]


def link(folder: Path, others: Iterable[Path]) -> None:
    """Look in ``others`` from now on; they come before those that were linked earlier."""
    names = dict.fromkeys(str(other) for other in [*others, *linked(folder)])
    write_json(folder / OURS / NAME, list(names))


def unlink(folder: Path) -> None:
    """Forget all linked folders; nothing in them is touched."""
    (folder / OURS / NAME).unlink(missing_ok=True)


def likely_places(named: Path, preset: ModelPreset) -> list[Path]:
    """Where below the folder that somebody named the files may lie: itself, each folder in it, and
    in a cache of the hub the newest snapshot of each repository."""
    return [named, *_inside(named), *snapshots(named, preset)]


def snapshots(cache: Path, preset: ModelPreset) -> list[Path]:
    """The newest snapshot of each of the preset's repositories in a cache of huggingface_hub's
    layout; ``cache`` may be HF_HOME, its ``hub``, or one repository's folder in it."""
    repos = dict.fromkeys(source.repo for file in preset.weights for source in file.sources)
    found = []
    for repo in repos:
        name = "models--" + repo.replace("/", "--")
        for top in (cache / name, cache / "hub" / name, cache if cache.name == name else None):
            newest = max(_inside(top / "snapshots"), key=_age, default=None) if top else None
            if newest is not None:
                found.append(newest)
    return found


def own_cache() -> Path:
    """Where huggingface_hub keeps what other programs fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(place for place in folder.iterdir() if os.path.isdir(place))
    except OSError:
        return []


def _age(folder: Path) -> float:
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime
    return 0.0


def each_linked_that_is_gone(folder: Path) -> Iterator[Path]:
    """Linked folders that aren't there now: a drive isn't plugged in, or doesn't answer.

    ``Path.is_dir`` would raise of the latter; ``os.path`` says no, as everywhere in this room."""
    return (other for other in linked(folder) if not os.path.isdir(other))
