"""What machines that joined are called: by whom they are known again, and what their owner calls
them. A machine is known by what it drew for itself: several may have one host name."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.errors import ExitCode, HeadroomError
from engine.settings import Settings
from engine.store import Store
from engine.text import Text

NAME = "machines"
LONGEST = 40


class MachineError(HeadroomError):
    """There is no such machine, or it can't be called so."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class KnownMachine:
    """``name``: what its lanes are called by; ``title``: its owner's word for it, "" for none."""

    name: str
    title: str = ""


class KnownMachines:
    """Kept in the settings; any thread of any process may ask."""

    def __init__(self, store: Store) -> None:
        self._settings = Settings(store)

    def all(self) -> dict[str, KnownMachine]:
        """By id."""
        told = self._settings.get(NAME, {})
        return {id: KnownMachine(one["name"], one.get("title", "")) for id, one in told.items()}

    def meet(self, id: str, host: str, taken: set[str]) -> KnownMachine:
        """The machine of that id, named after its host the first time.

        Args:
            taken: names that mean something else.
        """

        def change(told: Any) -> Any:
            told = dict(told or {})
            if id not in told:
                names = taken | {one["name"] for one in told.values()}
                told[id] = asdict(KnownMachine(_free(_slug(host), names)))
            return told

        self._settings.change(NAME, change)
        return self.all()[id]

    def rename(self, id: str, title: str) -> KnownMachine:
        """Raises MachineError: there is none of that id, or the title is too long."""
        title = " ".join(title.split())
        if len(title) > LONGEST:
            raise MachineError(Text("joined.long_title", most=LONGEST))
        if id not in self.all():
            raise MachineError(Text("joined.no_such_machine", id=id[:40]))

        def change(told: Any) -> Any:
            known = KnownMachine(told[id]["name"])
            return {**told, id: asdict(replace(known, title=title))}

        self._settings.change(NAME, change)
        return self.all()[id]

    def has_lane(self, lane: str) -> bool:
        """Whether the lane of that name is, or was, another machine's."""
        machine = lane.partition(":")[0]
        return any(machine == known.name for known in self.all().values())


def _slug(host: str) -> str:
    """``host`` as a word for command lines."""
    return re.sub(r"[^a-z0-9-]+", "-", host.lower()).strip("-")[:LONGEST] or "machine"


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}-{n}" for n in range(2, 10_000) if f"{name}-{n}" not in taken)
