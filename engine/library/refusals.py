"""Files that were opened once and aren't ours, with why, so that they aren't opened at every start.

In the cache, which may be removed at any time: then they are opened once more.
"""

import contextlib
import json

from engine.home import Home, HomeError
from engine.library.files import Stamp
from engine.text import Text, from_row, to_row

NAME = "not-taken-in.json"
Refusals = dict[str, tuple[Stamp, Text]]


def load(home: Home) -> Refusals:
    """By the file's name: what it was when it was refused, and why."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        kept = json.loads((home.cache / NAME).read_text(encoding="utf-8"))
        return {
            name: ((int(changed), int(size)), from_row(str(why)))
            for name, (changed, size, why) in kept.items()
        }
    return {}


def save(home: Home, refused: Refusals) -> None:
    kept = {name: [*mark, to_row(why)] for name, (mark, why) in refused.items()}
    with contextlib.suppress(OSError, HomeError):
        (home.made(home.cache) / NAME).write_text(json.dumps(kept), encoding="utf-8")
