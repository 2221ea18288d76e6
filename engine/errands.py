"""What this machine makes for another one's queue: jobs like its own, behind its own, whose clips
wait in a folder until that machine has taken them home.

Each has a key that the other machine drew. Asked for a key twice, it is made once.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.home import Home
from engine.jobs import Job, Jobs, State, add_row, end_row
from engine.process import moves
from engine.process.own_files import sha256_of
from engine.request import ClipRequest, Kind
from engine.text import NOTHING

KEY = re.compile(r"[0-9a-f]{64}")
KEPT_DAYS = 7  # of a clip that nobody has taken home


@dataclass(frozen=True)
class Made:
    """A clip that waits: its receipt, and what tells its file."""

    receipt: dict[str, Any]
    sha256: str
    bytes: int


class Errands:
    """Any thread may ask."""

    def __init__(self, home: Home, jobs: Jobs) -> None:
        self._home, self._jobs = home, jobs

    @property
    def folder(self) -> Path:
        return self._home.errands

    def clip(self, key: str) -> Path:
        return self.folder / f"{key}.mp4"

    def poster(self, key: str) -> Path:
        return self.folder / f"{key}.jpg"

    def find(self, key: str) -> Job | None:
        """The newest job of ``key``."""
        return next(iter(self._jobs.where("errand = ? order by id desc limit 1", key)), None)

    def add(
        self,
        key: str,
        request: ClipRequest,
        seed: int,
        kind: Kind,
        embed: bool,
        visitor: tuple[str, str],
        wanted: str,
        machine: str,
    ) -> Job:
        """Queue it.

        Args:
            visitor: the open share whose end cancels it, and the name of the machine that asks.
            machine: what that machine calls this one.
        """
        with self._jobs.store.transaction() as db:
            drawn = replace(request, seed=seed)
            job = add_row(db, drawn, kind, embed, visitor, wanted)
            db.execute(
                "update jobs set errand = ?, machine = ?, request = ? where id = ?",
                (key, machine, json.dumps(request.to_json(), ensure_ascii=False), job.id),
            )
        return self._jobs.get(job.id)

    def keep(self, job: Job, partial: Path, poster: Path, receipt: dict[str, Any]) -> None:
        """Put the whole clip of ``job`` where it waits, and end the job. May be called again where
        the database refused.

        Raises:
            OSError: the disk is full, or the folder can't be written to.
        """
        self._home.made(self.folder)
        clip = self.clip(job.errand)
        for source, target in ((partial, clip), (poster, self.poster(job.errand))):
            with contextlib.suppress(FileNotFoundError):  # it was moved before
                moves.replace(source, target)
        told = {"receipt": receipt, "sha256": sha256_of(clip), "bytes": clip.stat().st_size}
        with self._jobs.store.transaction() as db:
            made = json.dumps(told, ensure_ascii=False)
            db.execute("update jobs set made = ? where id = ?", (made, job.id))
            end_row(db, job.id, State.DONE, NOTHING, NOTHING)

    def made(self, job: Job) -> Made | None:
        """What ``job`` left; None where it left nothing, or that is gone."""
        rows = self._jobs.store.rows("select made from jobs where id = ?", (job.id,))
        if rows[0]["made"] is None or not os.path.isfile(self.clip(job.errand)):
            return None
        return Made(**json.loads(rows[0]["made"]))

    def unforgotten(self) -> list[Job]:
        """All whose end the other machine hasn't seen to yet, oldest first."""
        return self._jobs.where("errand != '' order by id")

    def bring(self, sha256: str, source: Path, receipt: dict[str, Any]) -> None:
        """Keep the other machine's clip of that SHA-256, which a job goes on from, or changes.

        Raises:
            OSError: the disk is full.
        """
        folder = self._home.made(self.folder)
        (folder / f"before-{sha256}.json").write_text(json.dumps(receipt), encoding="utf-8")
        moves.replace(source, folder / f"before-{sha256}.mp4")

    def brought(self, sha256: str) -> tuple[str, dict[str, Any]] | None:
        """The file that ``bring`` kept, and its receipt."""
        told = self.folder / f"before-{sha256}.json"
        with contextlib.suppress(OSError, ValueError):
            receipt: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
            return str(told.with_suffix(".mp4")), receipt
        return None

    def forget(self, key: str) -> None:
        """It is home, or nobody wants it any more: the files go, and of the jobs' rows the words
        and the key."""
        job = self.find(key)
        given = []
        if job is not None and job.request.clip and not self._others_need(job):
            given = list(self.folder.glob(f"before-{job.request.clip}.*"))
        for file in (self.clip(key), self.poster(key), *given):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        with self._jobs.store.transaction() as db:
            db.execute(
                "update jobs set errand = '', made = null, cleared = 1,"
                " request = json_set(request, '$.prompt', '')"
                " where errand = ? and state not in ('queued', 'running')",
                (key,),
            )

    def _others_need(self, job: Job) -> bool:
        """Whether another errand that isn't over has the same clip to go on from, or to change."""
        rows = self._jobs.where(
            "errand not in ('', ?) and state in ('queued', 'running')", job.errand
        )
        return any(other.request.clip == job.request.clip for other in rows)

    def forget_old(self) -> None:
        """What has waited for longer than ``KEPT_DAYS``."""
        rows = self._jobs.store.rows(
            "select distinct errand from jobs where errand != '' and ended is not null"
            f" and julianday('now') - julianday(ended) > {KEPT_DAYS}"
        )
        for row in rows:
            self.forget(row["errand"])
