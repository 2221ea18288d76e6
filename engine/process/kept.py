"""A small JSON file of what the newest few machines, cards or versions answered; a damaged one
counts as none. Processes of several cards write it, so it is replaced as a whole."""

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger("headroom.kept")


def held(file: Path) -> dict[str, Any]:
    """What ``file`` holds, by its keys, the newest last."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def keep(file: Path, key: str, value: object, most: int) -> None:
    """Have ``file`` hold ``value`` under ``key``, and of the others the newest of at most ``most``
    in all. One that can't be written is no fault: the answer is found again."""
    others = [(name, kept) for name, kept in held(file).items() if name != key]
    newest = dict(others[max(0, len(others) + 1 - most) :])
    write(file, {**newest, key: value})


def write(file: Path, value: object) -> None:
    """Have ``file`` hold ``value``, replaced as a whole; one that can't be written is no fault."""
    text = json.dumps(value, indent=1)
    half = file.with_suffix(f".{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(text, encoding="utf-8")
        half.replace(file)
    except OSError as error:
        log.warning("%s can't be written: %s", file, error)
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
