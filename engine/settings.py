"""What the user set once and for all: names and JSON values in the store."""

import json
from collections.abc import Callable
from typing import Any

from engine.store import Store


class Settings:
    """See the module's docstring. Each name's owner knows its default and its meaning."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, name: str, default: Any = None) -> Any:
        rows = self._store.rows("select value from settings where name = ?", (name,))
        return json.loads(rows[0]["value"]) if rows else default

    def set(self, name: str, value: Any) -> None:
        self.change(name, lambda _: value)

    def change(self, name: str, change: Callable[[Any], Any]) -> None:
        """Set what ``change`` makes of the value, None where there is none yet; nobody else sets it
        in between. Whatever it raises leaves the value as it was."""
        with self._store.transaction() as db:
            row = db.execute("select value from settings where name = ?", (name,)).fetchone()
            value = change(None if row is None else json.loads(row["value"]))
            db.execute(
                "insert into settings (name, value) values (?, ?)"
                " on conflict (name) do update set value = excluded.value",
                (name, json.dumps(value, ensure_ascii=False)),
            )
