"""``app.py bench``: the design's numbers, each beside its reference in the same run, as ratios.

Everything is made in a folder of its own, so that the user's queue and measurements stay as they
are. On a busy machine the ratios hold better than the seconds.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.commands.bench import card, clips, first_load, lanes, machines, model, page, report
from engine.commands.bench.row import IDLE, IDLE_REACH, BenchError, BenchRow, Say
from engine.engine import Engine
from engine.errors import HeadroomError, first_line
from engine.home import Home
from engine.machine.facts import Machine, this_machine

log = logging.getLogger("headroom.bench")

PREFIX = "headroom-bench-"  # of the folders that the parts work in

Measure = Callable[[Path, Say], Iterator[BenchRow]]
MODEL = "model"
LANES_REACH = round(1 / 1.9, 3)  # of one lane's time: 1.9 times as fast


def page_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """The page's start and memory beside a bare Gradio page of as many components."""
    found = page.starts(folder, say)
    ours, bare = found["ours"], found["bare"]
    count = f"a bare page of {found['components']} components"
    yield BenchRow("start to the first answer", ours.seconds, "s", bare.seconds, count, 1.3)
    yield BenchRow("the same, processor", ours.processor, "s", bare.processor, count)
    yield BenchRow("memory of the page's process", ours.megabytes, "MB", bare.megabytes, count, 1.3)


def load_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """What a first visit of the page costs, in bytes and in seconds."""
    if not first_load.can_measure():
        say("load: left out, for it takes Chromium and Playwright.")
        return
    ours, bare, components = first_load.first_loads(folder, say)
    against = f"a bare page of {components} components"
    size, time_taken = "bytes of the first load", "first load until the form is usable"
    yield BenchRow(size, ours.kilobytes, "kB", bare.kilobytes, against, 1.15)
    yield BenchRow(time_taken, ours.seconds, "s", bare.seconds, against, 1.0)


def gauge_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """What open pages cost the page's process."""
    for pages, share in page.gauge(folder, say).items():
        reach = 10.0 if pages == f"{page.TABS[-1]} open pages" else None
        yield BenchRow(f"gauge, {pages}", share, "% of a core", reach=reach)


def library_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """The page and its library with 10,000 clips beside an empty one."""
    for name, (none, full) in page.libraries(folder, say).items():
        # An empty library answers a search without a search: the limit is for the page.
        reach = None if name == page.SEARCH else 1.5
        yield BenchRow(name, full, "s", none, "an empty library", reach)


def clip_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """What the engine adds to a warm clip, and how soon a cancel takes effect."""
    found = clips.clips(folder, say)
    yield BenchRow(
        "a warm clip, asked to kept",
        found.whole,
        "s",
        found.own,
        "the pipeline's seconds",
        1.03,
        found.size,
    )
    yield BenchRow("the engine adds", round(1000 * (found.whole - found.own)), "ms", reach=150.0)
    yield BenchRow(IDLE, found.idle, "s", reach=IDLE_REACH, told="of several that wait")
    yield BenchRow(
        "cancel, pressed to stopped", found.cancel, "s", found.block, "a transformer block", 1.0
    )


def mp4_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """Writing the MP4 with its receipt beside the bare encoder."""
    ours, bare, against = clips.encoding(folder, say)
    yield BenchRow("writing the MP4, 832 × 480, 81 frames", ours, "s", bare, against)


def prediction_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """How far off the predicted peaks are once two sizes were measured."""
    for size, predicted, measured in clips.predictions(folder, say):
        off = round(100 * abs(predicted - measured) / measured, 1)
        told = f"predicted {predicted / 2**20:.0f}, measured {measured / 2**20:.0f} MiB"
        yield BenchRow(f"prediction at {size}", off, "% off", reach=5.0, told=told)


def lane_rows(folder: Path, say: Say) -> Iterator[BenchRow]:
    """A queue on two lanes beside the same on one."""
    if not lanes.can_measure():
        say("lanes: left out, for it takes two cores.")
        return
    found = lanes.lanes(folder, say)
    cores = f"each with {found.cores} core{'s' if found.cores > 1 else ''} of the processor"
    each = f"{cores}; side by side a pipeline computes {found.slower:.2f} times as long"
    name, against = f"{lanes.CLIPS} clips on {lanes.LANES} lanes", "one lane"
    yield BenchRow(name, found.two, "s", found.one, against, LANES_REACH, each)
    yield BenchRow("a lane adds to a clip", round(1000 * found.adds), "ms", reach=150.0)
    if not machines.can_measure():
        say("lanes of other machines: left out, for they take Ray (./launch.sh serve --lanes).")
        return
    other = machines.machines(folder / "machines", say)
    adds, alone = round(1000 * other.adds), round(1000 * other.local)
    against = "this machine's own lane"
    yield BenchRow("another machine adds to a clip", adds, "ms", alone, against)
    yield BenchRow("the way there and back", adds - alone, "ms", reach=150.0)
    between = "and back, without a network between"
    yield BenchRow("a call to another machine", round(1000 * other.call, 1), "ms", told=between)
    at_home = round(1000 * other.processor)
    yield BenchRow("the head's processor for a clip made elsewhere", at_home, "ms")


PARTS: dict[str, Measure] = {
    "page": page_rows,
    "load": load_rows,
    "gauge": gauge_rows,
    "library": library_rows,
    "clip": clip_rows,
    "mp4": mp4_rows,
    "prediction": prediction_rows,
    "lanes": lane_rows,
}


@dataclass(frozen=True)
class BenchResult:
    """``card``: where the picture and its facts lie. ``failed``: why, by part."""

    machine: Machine
    rows: list[BenchRow]
    card: dict[str, str]
    failed: dict[str, str]
    seconds: float

    def as_json(self) -> dict[str, object]:
        return {
            "machine": {
                "processor": self.machine.processor,
                "cores": self.machine.cores,
                "device": self.machine.device,
            },
            "rows": [row.as_json() for row in self.rows],
            "card": self.card or None,
            "failed": self.failed,
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """For a person."""
        said = [row.line() for row in self.rows]
        said += [f"{name} failed: {why}" for name, why in self.failed.items()]
        if self.card:
            said.append(f"A card to share: {self.card['picture']}")
            said.append(f"Its numbers: {self.card['facts']}")
        return said


def run(engine: Engine, only: str | None, named: str | None, out: Path, say: Say) -> BenchResult:
    """All parts, or one.

    Args:
        engine: of the user's folder, not started.
        named: the model that the part ``model`` measures; None chooses (``model.choose``).
        out: the folder for the card.

    Raises:
        BenchError: there is no such part, or something else is at work.
        As ``model.choose``. A part that fails later is told under ``failed``, and the
        others go on.
    """
    names = [*PARTS, MODEL]
    if only is not None and only not in names:
        raise BenchError(
            f"There is no benchmark {only[:40]!r}.", f"Choose one of {', '.join(names)}."
        )
    began = time.perf_counter()
    rows: list[BenchRow] = []
    cards: dict[str, str] = {}
    failed: dict[str, str] = {}
    cache = engine.home.made(engine.home.cache)
    with model.alone(engine):
        for left in cache.glob(f"{PREFIX}*"):  # by a kill: nobody else measures now
            shutil.rmtree(left, ignore_errors=True)
        asked = only in (None, MODEL)
        request = model.choose(engine, named, say) if asked else None
        for name, part in PARTS.items():
            if only in (None, name):
                with _part(cache, name, failed, say) as folder:
                    for row in part(folder, say):
                        rows.append(row)  # those before a failure count
        if request is not None:
            with _part(cache, MODEL, failed, say) as folder:
                cost = model.cost(engine, request, folder, say)
                rows += report.rows(cost)
                picture, facts = card.write(report.card(cost), out)
                cards = {"picture": str(picture), "facts": str(facts)}
    seconds = round(time.perf_counter() - began, 1)
    return BenchResult(this_machine(), rows, cards, failed, seconds)


@contextmanager
def _part(cache: Path, name: str, failed: dict[str, str], say: Say) -> Iterator[Path]:
    """A folder for one part; its failure goes into ``failed``."""
    say(f"{name} …")
    # In our own folder: where the root can't be written to, there is no other.
    with tempfile.TemporaryDirectory(
        prefix=PREFIX, dir=cache, ignore_cleanup_errors=True
    ) as folder:
        Home(Path(folder)).create()
        try:
            yield Path(folder)
        except Exception as error:  # whatever it is, minutes of other parts were measured
            log.exception("the part %s failed", name)
            known = isinstance(error, HeadroomError)
            failed[name] = str(error) if known else first_line(error, type(error).__name__)
            say(f"{name} failed: {failed[name]}")
