"""The one line above the primary button, and what that button does next.

Both are derived in one place from the verdict, the weights and the queue as they are this moment,
so that no two parts of the page say different things about the same choice.
"""

import html
from dataclasses import dataclass
from enum import StrEnum

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import nearest_open
from engine.guard.duration import Duration
from engine.guard.verdict import Verdict, Word
from engine.pipelines import is_here
from engine.presets import ModelPreset
from engine.request import Size
from engine.text import NOTHING, FileSize, Memory, Said, Text, joined
from engine.weights.progress import WORKING, DownloadProgress
from ui import wording
from ui.wording import say


class Step(StrEnum):
    """What a press of the primary button does."""

    GENERATE = "generate"
    QUEUE = "queue"  # as GENERATE: it waits, for other clips or for memory that others hold
    TEST = "test"
    DOWNLOAD = "download"
    PICTURE = "picture"  # choose what the clip begins with
    SMALLER = "smaller"  # choose the nearest size that fits
    NONE = "none"  # there is nothing to press: something is under way, or nothing fits


@dataclass(frozen=True)
class Truth:
    """``said`` in a line, ``why`` behind it, ``label`` on the button; ``size`` is what SMALLER
    chooses."""

    verdict: Verdict
    step: Step
    said: Text
    why: Text
    label: Text
    size: Size | None = None


def truth_of(
    engine: Engine,
    preset: ModelPreset,
    size: Size,
    verdict: Verdict,
    duration: Duration | None,
    clips: int = 1,
    lacks_picture: bool = False,
) -> Truth:
    """What holds for ``size`` now.

    Args:
        clips: how many a press would make.
        lacks_picture: the model begins with a picture, and the form holds none.
    """
    word = verdict.word
    unknown = Text("truth.takes_unknown") if verdict.open and duration is None else NOTHING
    why = joined(verdict.reason, verdict.remedy, unknown)

    def truth(step: Step, said: Text, label: Text, use: Size | None = None) -> Truth:
        return Truth(verdict, step, said, why, label, use)

    if word is Word.IMPOSSIBLE:
        fits = _nearest(engine, preset, size)
        said = joined(Text("truth.impossible"), verdict.reason)
        if fits is None:
            return truth(Step.NONE, said, Text("truth.do_nothing_fits"))
        return truth(Step.SMALLER, said, _use(preset, size, fits), fits)
    if not is_here(preset):
        return truth(Step.NONE, _fits(verdict, duration), Text("truth.do_installing"))
    missing = _missing(engine, preset)
    if missing is not None:
        if missing.phase in WORKING:
            return truth(Step.NONE, Text("truth.downloading"), Text("truth.do_downloading"))
        left = FileSize(_bytes_to_fetch(preset, missing))
        said = Text("truth.missing", fits=_fits(verdict, duration), size=left)
        return truth(Step.DOWNLOAD, said, Text("truth.do_download", size=left))
    if word is Word.LOCKED:
        if _probing(engine, preset, size):
            return truth(Step.NONE, _untested(verdict), Text("truth.do_testing"))
        return truth(Step.TEST, _untested(verdict), Text("truth.do_test"))
    if lacks_picture:
        return truth(Step.PICTURE, Text("truth.lacks_picture"), Text("truth.do_picture"))
    if word is Word.BUSY:
        said = joined(Text("truth.busy"), verdict.reason)
        return truth(Step.QUEUE, said, _count("queue_it", clips))
    said = _fits(verdict, duration)
    waiting = engine.jobs.count_waiting()
    if waiting or not engine.has_idle_lane(preset.id):
        return truth(Step.QUEUE, said, joined(_count("queue", clips), _behind(waiting)))
    return truth(Step.GENERATE, said, _count("generate", clips))


def truth_html(truth: Truth, model: str, size: Size) -> str:
    """The line for people; for the stage it names what is chosen, as data."""
    why = say(truth.why)
    more = (
        f"<details><summary>{html.escape(say(Text('truth.why')))}</summary>"
        f"<p>{html.escape(why)}</p></details>"
    )
    word = truth.verdict.word.value
    return (
        f"<div class='truth {word}' data-step='{truth.step.value}' "
        f"data-model='{html.escape(model, quote=True)}' data-wide='{size.width}' "
        f"data-high='{size.height}'>"
        f"<span class='mark' aria-hidden='true'></span><div><p>{html.escape(say(truth.said))}</p>"
        f"{more if why else ''}</div>"
        f"<span class='sr-only' role='status'>{html.escape(say(truth.verdict.word.text))}</span>"
        "</div>"
    )


def _fits(verdict: Verdict, duration: Duration | None) -> Text:
    """For an open verdict and, until the weights are here, for one that may become it."""
    if verdict.word is Word.LOCKED:
        return _untested(verdict)
    takes = NOTHING
    if duration is not None:
        time = wording.seconds(duration.seconds)
        takes = Text(f"truth.takes_{duration.basis}", time=time)
    return Text("truth.fits", memory=_memory(verdict), takes=takes)


def _memory(verdict: Verdict) -> Text:
    if verdict.peak is None:
        return NOTHING
    peak, budget = Memory(verdict.peak), Memory(verdict.budget)
    return Text(f"truth.memory_{verdict.hedge}", peak=peak, budget=budget)


def _untested(verdict: Verdict) -> Text:
    if verdict.peak is None:
        return Text("truth.untested")
    return Text("truth.untested_about", memory=_memory(verdict))


def _nearest(engine: Engine, preset: ModelPreset, wanted: Size) -> Size | None:
    """The open size on offer most like ``wanted``: one that its radios can be set to."""
    offered = engine.guard.offered(preset.id)
    verdicts = engine.guard.verdicts(preset.id, offered)
    return nearest_open(wanted, set(offered), {s: v.open for s, v in verdicts.items()})


def _use(preset: ModelPreset, wanted: Size, fits: Size) -> Text:
    """Only what would change: "Use 3 s", "Use 832 × 480", or both."""
    seconds = Text("truth.length", seconds=preset.seconds(fits.frames))
    sides = Text("truth.sides", width=fits.width, height=fits.height)
    same_picture = (wanted.height, wanted.width) == (fits.height, fits.width)
    if same_picture:
        return Text("truth.do_use", what=seconds)
    if wanted.frames == fits.frames:
        return Text("truth.do_use", what=sides)
    both = wording.size(fits, preset.fps)
    return Text("truth.do_use", what=both)


def _missing(engine: Engine, preset: ModelPreset) -> DownloadProgress | None:
    """How far the weights of ``preset`` are, where they aren't ready; None where they are."""
    try:
        engine.check_ready(preset.id)
    except HeadroomError:
        return engine.downloads.progress(preset.id)
    return None


def _bytes_to_fetch(preset: ModelPreset, progress: DownloadProgress) -> int:
    total = sum(file.bytes for file in preset.weights)
    return max(0, total - (progress.done if progress.total else 0)) or total


def _probing(engine: Engine, preset: ModelPreset, size: Size) -> bool:
    jobs = [*engine.jobs.waiting(50), *engine.jobs.all_running()]
    return any(
        j.kind == "probe" and j.request.model == preset.id and j.request.size == size for j in jobs
    )


def _count(step: str, clips: int) -> Text:
    return Text(f"truth.one_{step}") if clips == 1 else Text(f"truth.many_{step}", n=clips)


def _behind(waiting: int) -> Said:
    return Text("truth.behind", n=waiting) if waiting else NOTHING
