"""LoRAs as people and programs name them: by name, by file, with a strength."""

import os
from collections.abc import Sequence
from pathlib import Path

from engine.adapters.store import Adapters
from engine.request import Adapter


def strength_of(named: str) -> tuple[str, float]:
    """A file or name and its strength, from ``FILE[:STRENGTH]``: what stands behind the last colon
    is a strength if it is a number, since ``C:\\zoom.safetensors`` has one, too."""
    name, colon, behind = named.rpartition(":")
    if colon and name:
        try:
            return name, float(behind)
        except ValueError:
            pass
    return named, 1.0


def chosen(store: Adapters, named: Sequence[str], files: bool = False) -> list[dict[str, object]]:
    """The ``adapters`` of a request, from ``NAME[:STRENGTH]`` each.

    Args:
        files: whether a name may be a file's path. One that isn't in the folder is taken in, so
            that whoever reads the receipt's hash finds it.

    Raises:
        AdapterError: one isn't in the folder, or no LoRA.
    """
    found: list[Adapter] = []
    for one in named:
        what, strength = strength_of(one)
        file = files and os.path.isfile(what)
        entry = store.add(Path(what)) if file else store.find(what)
        if entry.problem is not None:
            raise entry.problem
        found += entry.adapters(strength)
    return [{"sha256": adapter.sha256, "strength": adapter.strength} for adapter in found]
