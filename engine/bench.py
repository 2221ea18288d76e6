"""``app.py bench``: the design's numbers, each beside its reference in the same run, as ratios.

Everything is made in a folder of its own, so that the user's queue and measurements stay as they
are. On a busy machine the ratios hold better than the seconds.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from engine import bench_clip, bench_page
from engine.errors import ExitCode, HeadroomError
from engine.home import Home
from engine.machine import this_machine


class BenchError(HeadroomError):
    """There is no such benchmark."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Row:
    """One number. ``reach`` is the design's limit for ``ratio``, or for ``value`` where there is
    no reference; None where the design sets none."""

    name: str
    value: float
    unit: str
    reference: float | None
    against: str
    reach: float | None
    told: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.reference else round(self.value / self.reference, 3)

    @property
    def reached(self) -> bool | None:
        if self.reach is None:
            return None
        compared = self.value if self.ratio is None else self.ratio
        return compared <= self.reach


Measure = Callable[[Path, Callable[[str], None]], Iterator[Row]]


def page(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """The page's start and memory beside a bare Gradio page of as many components."""
    found = bench_page.starts(folder, say)
    ours, bare = found["ours"], found["bare"]
    count = f"a bare page of {found['components']} components"
    yield Row("start to the first answer", ours.seconds, "s", bare.seconds, count, 1.3)
    yield Row("the same, processor", ours.processor, "s", bare.processor, count, None)
    yield Row("memory of the page's process", ours.megabytes, "MB", bare.megabytes, count, 1.3)


def gauge(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """What open pages cost the page's process."""
    shares = bench_page.gauge(folder, say)
    for pages, share in shares.items():
        reach = 10.0 if pages == f"{bench_page.TABS[-1]} open pages" else None
        yield Row(f"gauge, {pages}", share, "% of a core", None, "", reach)


def library(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """The page and its library with 10,000 clips beside an empty one."""
    for name, (none, full) in bench_page.libraries(folder, say).items():
        # An empty library answers a search without a search: the limit is for the page.
        reach = None if name == bench_page.SEARCH else 1.5
        yield Row(name, full, "s", none, "an empty library", reach)


def clip(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """What the engine adds to a warm clip, and how soon a cancel takes effect."""
    found = bench_clip.clips(folder, say)
    yield Row(
        "a warm clip, asked to kept", found.whole, "s", found.own, "the pipeline's seconds", None,
        found.size,
    )  # fmt: skip
    yield Row("the engine adds", round(1000 * (found.whole - found.own)), "ms", None, "", 150.0)
    yield Row(
        "cancel, pressed to stopped", found.cancel, "s", found.block, "a transformer block", None
    )


def mp4(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """Writing the MP4 with its receipt beside the bare encoder."""
    ours, bare, against = bench_clip.encoding(folder, say)
    yield Row("writing the MP4, 832 × 480, 81 frames", ours, "s", bare, against, None)


def prediction(folder: Path, say: Callable[[str], None]) -> Iterator[Row]:
    """How far off the predicted peaks are once two sizes were measured."""
    for size, predicted, measured in bench_clip.predictions(folder, say):
        off = round(100 * abs(predicted - measured) / measured, 1)
        told = f"predicted {predicted / 2**20:.0f}, measured {measured / 2**20:.0f} MiB"
        yield Row(f"prediction at {size}", off, "% off", None, "", 5.0, told)


PARTS: dict[str, Measure] = {
    "page": page, "gauge": gauge, "library": library, "clip": clip, "mp4": mp4,
    "prediction": prediction,
}  # fmt: skip


def run(only: str | None, say: Callable[[str], None]) -> dict[str, object]:
    """All parts, or one, as ``bench --json`` prints them.

    Raises:
        BenchError: there is no such part.
    """
    if only is not None and only not in PARTS:
        raise BenchError(f"There is no benchmark {only[:40]!r}.", f"There are: {', '.join(PARTS)}.")
    machine, began = this_machine(), time.perf_counter()
    rows: list[Row] = []
    for name, part in PARTS.items():
        if only in (None, name):
            say(f"{name} …")
            with _folder() as folder:
                rows += part(folder, say)
    return {
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "device": machine.device,
        },
        "rows": [{**asdict(row), "ratio": row.ratio, "reached": row.reached} for row in rows],
        "seconds": round(time.perf_counter() - began, 1),
    }


def lines(result: dict[str, object]) -> list[str]:
    """The result for a person."""
    rows = json.loads(json.dumps(result["rows"]))
    said = []
    for row in rows:
        text = f"{row['name']:<40} {row['value']:>9g} {row['unit']}"
        if row["ratio"] is not None:
            text += f"  {row['ratio']:g} × {row['against']} ({row['reference']:g} {row['unit']})"
        if row["reach"] is not None:
            text += f"  {'reached' if row['reached'] else 'NOT reached'}: {row['reach']:g}"
        said.append(f"{text}  {row['told']}".rstrip())
    return said


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="headroom-bench-", ignore_cleanup_errors=True) as name:
        Home(Path(name)).create()
        yield Path(name)
