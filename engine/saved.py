"""Settings that a person saved under a name: model, size, length, seed, how many, and what follows.

On the page they are called presets. In the code a preset is a model's file (presets.py).
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.letters import is_blank
from engine.request import Size
from engine.settings import Settings
from engine.store import Store
from engine.text import Text, begun

SETTING = "saved_settings"
NAME_LIMIT = 40  # characters: a line of the page's list
MOST = 100  # that a list shows without a search


class SavedError(HeadroomError):
    """A name that can't be, that is taken, or that nothing has."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Saved:
    """``seed`` -1 draws one for each clip; ``count``: how many clips of each prompt; ``smooth`` and
    ``side``: what follows each by itself, as for ``Engine.submit_all``."""

    name: str
    model: str
    height: int
    width: int
    frames: int
    seed: int
    count: int
    smooth: int = 0
    side: int = 0

    @property
    def size(self) -> Size:
        return Size(self.height, self.width, self.frames)


class SavedSettings:
    """The list in the database; each change is one transaction, whichever tab makes it."""

    def __init__(self, store: Store) -> None:
        self._settings = Settings(store)

    def all(self) -> tuple[Saved, ...]:
        """In the order of their names."""
        return tuple(_read(self._settings.get(SETTING)).values())

    def get(self, name: str) -> Saved:
        """Raises SavedError: there is none of that name."""
        return _one(_read(self._settings.get(SETTING)), name)

    def save(self, saved: Saved) -> Saved | None:
        """Keep ``saved``; returns what had its name before, which is replaced.

        Raises:
            SavedError: the name can't be, or there are too many.
        """
        before: list[Saved | None] = []
        clean = replace(saved, name=clean_name(saved.name))

        def change(kept: Any) -> list[dict[str, Any]]:
            found = _read(kept)
            before.append(found.pop(_key(clean.name), None))
            if len(found) >= MOST:
                raise SavedError(Text("saved.too_many", most=MOST), Text("saved.delete_one"))
            return _written({**found, _key(clean.name): clean})

        self._settings.change(SETTING, change)
        return before[-1]

    def rename(self, name: str, new: str) -> Saved:
        """Returns it under its new name.

        Raises:
            SavedError: there is none of that name, or the new one can't be, or is another's.
        """
        clean = clean_name(new)
        made: list[Saved] = []

        def change(kept: Any) -> list[dict[str, Any]]:
            found = _read(kept)
            made.append(replace(_one(found, name), name=clean))
            del found[_key(name)]
            if _key(clean) in found:
                taken = found[_key(clean)].name
                raise SavedError(Text("saved.taken", name=taken), Text("saved.another_name"))
            return _written({**found, _key(clean): made[-1]})

        self._settings.change(SETTING, change)
        return made[-1]

    def delete(self, name: str) -> Saved:
        """Returns what was deleted.

        Raises:
            SavedError: there is none of that name.
        """
        gone: list[Saved] = []

        def change(kept: Any) -> list[dict[str, Any]]:
            found = _read(kept)
            gone.append(_one(found, name))
            del found[_key(name)]
            return _written(found)

        self._settings.change(SETTING, change)
        return gone[-1]


def clean_name(name: str) -> str:
    """``name`` as it is kept: one line, without spaces around it.

    Raises:
        SavedError: nothing of it shows, or it is too long.
    """
    visible = "".join(c for c in name if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs"))
    clean = " ".join(unicodedata.normalize("NFC", visible).split())
    if is_blank(clean):
        raise SavedError(Text("saved.no_name"), Text("saved.name_it"))
    if len(clean) > NAME_LIMIT:
        long = Text("saved.long_name", count=len(clean), most=NAME_LIMIT)
        raise SavedError(long, Text("saved.shorter"))
    return clean


def _key(name: str) -> str:
    """What two names are the same by: not by case or width."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _one(found: Mapping[str, Saved], name: str) -> Saved:
    if not name:
        raise SavedError(Text("saved.none_chosen"), Text("saved.choose_first"))
    if (saved := found.get(_key(name))) is None:
        gone = Text("saved.gone", name=begun(name, NAME_LIMIT))
        raise SavedError(gone, Text("saved.choose"))
    return saved


def _read(kept: Any) -> dict[str, Saved]:
    """By name, in their order; what isn't as this version writes it is left out."""
    found, names = [], [field.name for field in fields(Saved)]
    for row in kept if isinstance(kept, list) else []:
        values: dict[str, Any] = {}
        if isinstance(row, dict):
            before = {"smooth": 0, "side": 0}  # of a version that kept nothing of it
            values = {name: row.get(name, before.get(name)) for name in names}
        words = {"name", "model"}
        if values and all(type(v) is (str if n in words else int) for n, v in values.items()):
            found.append(Saved(**values))
    return {_key(saved.name): saved for saved in sorted(found, key=lambda one: _key(one.name))}


def _written(found: Mapping[str, Saved]) -> list[dict[str, Any]]:
    return [asdict(saved) for saved in found.values()]
