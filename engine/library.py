"""The clips made here: rows of the store, files in the clips folder."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from engine.home import Home
from engine.request import ClipRequest
from engine.store import Store


@dataclass(frozen=True)
class Clip:
    """A finished clip: ``file`` is its name in the clips folder. ``job`` is None for one that came
    by hand, ``trashed`` when it was deleted, ``missing`` whether its file is gone."""

    id: int
    job: int | None
    created: str
    file: str
    receipt: dict[str, Any]
    favourite: bool
    trashed: str | None
    missing: bool

    @property
    def request(self) -> ClipRequest:
        return ClipRequest(**self.receipt["request"])


class Library:
    """What was made here, newest first."""

    def __init__(self, home: Home, store: Store) -> None:
        self.home, self.store = home, store

    def newest(self, limit: int = 1000) -> list[Clip]:
        rows = self.store.rows(
            "select * from clips where trashed is null and not missing"
            " order by created desc, id desc limit ?",
            (limit,),
        )
        return [as_clip(row) for row in rows]

    def get(self, number: int) -> Clip | None:
        rows = self.store.rows("select * from clips where id = ?", (number,))
        return as_clip(rows[0]) if rows else None

    def of_job(self, job: int) -> Clip | None:
        rows = self.store.rows("select * from clips where job = ?", (job,))
        return as_clip(rows[0]) if rows else None


def add_clip(
    db: sqlite3.Connection, job: int | None, created: str, file: str, receipt: dict[str, Any]
) -> None:
    """Give the file of that name in the clips folder its row, within the caller's transaction.

    Raises:
        sqlite3.IntegrityError: the file, or the job, has one already.
    """
    request = receipt["request"]
    db.execute(
        "insert into clips (job, created, file, receipt, prompt, model, height, width, frames)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job,
            created,
            file,
            json.dumps(receipt, ensure_ascii=False),
            *(request[name] for name in ("prompt", "model", "height", "width", "frames")),
        ),
    )


def as_clip(row: sqlite3.Row) -> Clip:
    return Clip(
        row["id"],
        row["job"],
        row["created"],
        row["file"],
        json.loads(row["receipt"]),
        bool(row["favourite"]),
        row["trashed"],
        bool(row["missing"]),
    )
