"""Whether the queue is paused. It stands in the settings: a restart doesn't end it, and of several
processes on one folder the one that works on the queue obeys it, whoever set it."""

from enum import StrEnum

from engine.settings import Settings
from engine.store import Store

NAME = "paused"
# Within the transaction that claims a job: once ``Pause.set`` has returned, none is claimed.
UNLESS_PAUSED = f"not exists (select 1 from settings where name = '{NAME}' and value != '\"\"')"


class Paused(StrEnum):
    """``NO`` is false. ``AFTER``: what runs is finished; ``NOW``: it goes back into the queue."""

    NO = ""
    AFTER = "after"
    NOW = "now"


class Pause:
    """Any thread of any process may ask and set it."""

    def __init__(self, store: Store) -> None:
        self._settings = Settings(store)

    def get(self) -> Paused:
        """What a later version may have written counts as ``AFTER``."""
        value = self._settings.get(NAME, "")
        return Paused(value) if value in list(Paused) else Paused.AFTER

    def set(self, paused: Paused) -> None:
        """Raises StoreError: it was not kept."""
        self._settings.set(NAME, paused.value)
