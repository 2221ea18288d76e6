"""What was measured on this machine: each run's peaks by stage, kept with what it counts for.

The only place that knows the table. What the rows mean for a size is the guard's to judge.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.request import Kind, Size
from engine.store import Store, now

Outcome = Literal["ok", "out_of_memory", "over_budget", "failed"]


@dataclass(frozen=True)
class Measurement:
    """One run's peaks by stage. ``over_budget`` ran to its end, but left less than the margin."""

    size: Size
    outcome: Outcome
    peaks: Mapping[str, int]

    @property
    def ran(self) -> bool:
        return self.outcome in ("ok", "over_budget") and bool(self.peaks)

    @property
    def peak(self) -> int:
        return max(self.peaks.values(), default=0)


@dataclass(frozen=True)
class MeasurementRow:
    """A measurement as it is kept. ``seconds`` by stage, ``budget`` in bytes; ``runs`` of its size
    ended the same way."""

    measurement: Measurement
    kind: Kind
    created: str
    seconds: Mapping[str, float]
    budget: int
    runs: int = 1


class Measurements:
    """The table's verbs; any thread may ask."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(
        self,
        job: int,
        kind: Kind,
        model: str,
        fingerprint: str,
        measurement: Measurement,
        seconds: Mapping[str, float],
        budget: int,
    ) -> None:
        """Keep a run under the ``fingerprint`` that it counts for."""
        size = measurement.size
        with self._store.transaction() as db:
            db.execute(
                "insert into measurements (created, job, kind, model, fingerprint, height, width,"
                " frames, outcome, peaks, seconds, budget)"
                " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    now(),
                    job,
                    kind,
                    model,
                    fingerprint,
                    size.height,
                    size.width,
                    size.frames,
                    measurement.outcome,
                    json.dumps(measurement.peaks),
                    json.dumps(seconds),
                    budget,
                ),
            )

    def newest(self, model: str, fingerprints: Sequence[str], each: int) -> list[MeasurementRow]:
        """Of runs under one of ``fingerprints``, oldest first, the newest ``each`` of every size
        and outcome: there may be thousands."""
        marks = ", ".join("?" * len(fingerprints))
        rows = self._store.rows(
            "select * from (select *,"
            " row_number() over (partition by height, width, frames, outcome order by id desc)"
            " as age, count(*) over (partition by height, width, frames, outcome) as runs"
            f" from measurements where model = ? and fingerprint in ({marks}))"
            " where age <= ? order by id",
            (model, *fingerprints, each),
        )
        return [_row(dict(row)) for row in rows]

    def of_job(self, job: int) -> list[MeasurementRow]:
        """What one job measured, in its order."""
        rows = self._store.rows("select * from measurements where job = ? order by id", (job,))
        return [_row(dict(row)) for row in rows]

    def last_seconds(self, model: str, size: Size) -> Mapping[str, float]:
        """Seconds by stage of the newest clip of this size, whatever it counts for; {} if none."""
        rows = self._store.rows(
            "select seconds from measurements where model = ? and height = ? and width = ?"
            " and frames = ? and kind = 'clip' and outcome = 'ok' order by id desc limit 1",
            (model, size.height, size.width, size.frames),
        )
        return dict(json.loads(rows[0]["seconds"])) if rows else {}

    def fingerprints(self, model: str, at_least: Size) -> Iterator[dict[str, Any]]:
        """Of runs that were fine at ``at_least`` or a larger size, each once."""
        rows = self._store.rows(
            "select distinct fingerprint from measurements where model = ? and outcome = 'ok'"
            " and height * width >= ? and frames >= ?",
            (model, at_least.pixels, at_least.frames),
        )
        return (json.loads(row["fingerprint"]) for row in rows)


def _row(values: dict[str, Any]) -> MeasurementRow:
    size = Size(values["height"], values["width"], values["frames"])
    measurement = Measurement(size, values["outcome"], json.loads(values["peaks"]))
    seconds = json.loads(values["seconds"])
    kind, created, budget = values["kind"], values["created"], values["budget"]
    return MeasurementRow(measurement, kind, created, seconds, budget, values.get("runs", 1))
