"""Rows of version 0.1.0, which kept the names of files only: what else is known of those.

The names alone would give a row whatever file somebody put in the place of its own.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.library import reader_process
from engine.library.library import Library
from engine.process.own_files import is_own_file
from engine.request import FIELDS, MORE_FIELDS, VERSION_FIELDS

AT_ONCE = 10  # files are read whole in a scan: some ten megabytes


def strangers(library: Library) -> set[tuple[int, Path]]:
    """Rows without a stamp, by number, and files of their name that hold another clip's receipt.
    Once a scan gave them stamps there are no such rows, and nothing is opened.

    Raises:
        ReaderError: the files can't be read now.
    """
    named = {}
    for row in library.store.rows(
        "select id, file, receipt from clips where stamp is null and missing = 0"
    ):
        for folder in (library.home.clips, library.home.trash):
            if is_own_file(path := folder / row["file"]):
                named[path] = row["id"], json.loads(row["receipt"])
    found = reader_process.receipts(list(named)) if named else {}
    return {
        (number, path)
        for path, (number, receipt) in named.items()
        if isinstance(read := found[path], dict) and _asked(read) != _asked(receipt)
    }


def _asked(receipt: Mapping[str, Any]) -> dict[str, Any]:
    every = (*FIELDS, *MORE_FIELDS, *VERSION_FIELDS)
    asked = {name: value for name, value in receipt["request"].items() if name in every}
    return asked | {"seed": receipt["seed"]}


def learn_some(library: Library) -> bool:
    """Write down the bytes of some files whose rows don't have them, so that another file of the
    same size is seen; returns whether there may be more."""
    learned = 0
    for row in library.store.rows(
        "select id from clips where digest is null and stamp is not null and missing = 0"
    ):
        if learned == AT_ONCE:
            return True
        clip = library.get(row["id"])
        learned += clip is not None and library.learn(clip) is not None
    return False
