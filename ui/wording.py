"""How numbers and states read on the page, and in which language a text becomes words.

Words are made here, at the page's edge: a request's language is what its browser asks for, held for
as long as the request is answered (``speak``). Nothing behind the page knows it.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from engine import text
from engine.guard.duration import Duration
from engine.jobs import Job, State
from engine.presets import Presets
from engine.request import ClipRequest, Size
from engine.text import (
    LANGUAGES,
    NOTHING,
    Language,
    Said,
    Text,
    joined,
    rendered,
    tables,
)
from engine.worker.progress import Progress, TimeLeft
from ui.server.catalogue import catalogue

COOKIE = "headroom-lang"  # texts.js sets it, to the language that the page is in
FOLDERS = (text.FOLDER, Path(__file__).parent / "texts")
_language: ContextVar[Language] = ContextVar("language", default="en")


def speak(language: Language) -> None:
    """Make words of this language for the rest of the present request."""
    _language.set(language)


def language_of(headers: Mapping[str, str]) -> Language:
    """What a browser asks for: its page's language in the cookie, else the first that it accepts
    and that we speak.

    Args:
        headers: a request's, with names in lower case.
    """
    for cookie in headers.get("cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if name == COOKIE and value in LANGUAGES:
            return value
    for accepted in headers.get("accept-language", "").split(","):
        tag = accepted.strip()[:2].lower()
        if tag in LANGUAGES:
            return tag
    return "en"


def say(said: Said, language: Language | None = None) -> str:
    """``said`` in words of the present request's language, or of ``language``."""
    wanted = language or _language.get()
    return rendered(said, wanted, tables(*FOLDERS), catalogue() if wanted == "zh" else None)


def spoken(value: Any, language: Language | None = None) -> Any:
    """``value`` for JSON, with words for every text within its dicts, lists and tuples."""
    match value:
        case Text():
            return say(value, language)
        case dict():
            return {name: spoken(part, language) for name, part in value.items()}
        case list() | tuple():
            return [spoken(part, language) for part in value]
    return value


# What of a plan the user can choose.
CHOICES = {
    "attention": "Attention",
    "matmul": "Matrix kernel",
    "text_encoder": "Matrix kernel, text encoder",
    "offload": "Weights",
    "decode": "Decoding",
    "rope_chunk": "Rotary chunk, in tokens (0: all)",
    "compile": "torch.compile",
}
CHOOSE = "Override the automatic choices. Sizes need testing again."


def choice(name: str) -> str:
    """A plan's key as people read it."""
    said = CHOICES.get(name, name.replace("_", " ").capitalize())
    return said.replace("Fp16", "FP16")


def seconds(count: float) -> Text:
    if count < 9.95:
        return Text("wording.tenths", n=count)
    whole = round(count)  # first: rounded apart, 119.7 s would be "1 min 60 s"
    if whole < 100:
        return Text("wording.seconds", n=whole)
    return Text("wording.minutes_seconds", minutes=whole // 60, seconds=whole % 60)


def roughly(count: float) -> Text:
    """For a time that lies ahead, in steps that a guess is worth."""
    if count < 55:
        return Text("wording.seconds", n=max(10, round(count / 10) * 10))
    if count < 3570:
        return Text("wording.minutes", n=max(1, round(count / 60)))
    return Text("wording.hours", n=count / 3600)


def takes(duration: Duration | None) -> Text:
    """What a clip takes, and how that is known."""
    if duration is None:
        return Text("wording.takes_unknown")
    return Text(f"wording.takes_{duration.basis}", time=seconds(duration.seconds))


def stage(progress: Progress) -> Text:
    told = Text(f"wording.stage_{progress.stage}")
    if progress.steps:
        step = min(progress.step + 1, progress.steps)
        return Text("wording.step", stage=told, step=step, steps=progress.steps)
    return told


def time_left(left: TimeLeft | None) -> Text:
    """Nothing where it can't be told."""
    if left is None:
        return NOTHING
    if left.seconds < 1:
        return NOTHING if left.at_least else Text("wording.nearly_done")
    time = seconds(left.seconds)
    return Text("wording.left_at_least" if left.at_least else "wording.left_about", time=time)


def size(value: Size, fps: int) -> Text:
    """As the page says a size: width first, the way people name pictures."""
    return value.text(fps)


def size_of(presets: Presets, model: str, value: Size) -> Text:
    """Likewise, of a model that may be unknown here."""
    return size(value, fps_of(presets, model))


def shape_of(presets: Presets, request: ClipRequest) -> Text:
    """The size of what ``request`` asks for, likewise."""
    return size(request.size, fps_of(presets, request))


def fps_of(presets: Presets, asked: str | ClipRequest) -> int:
    """Frames a second of a model's clips, or of what a request asks for; of a model that is unknown
    here they count as 16."""
    if isinstance(asked, ClipRequest) and asked.fps:
        return asked.fps
    model = asked if isinstance(asked, str) else asked.model
    return presets.models[model].fps if model in presets.models else 16


def outcome(job: Job | None) -> tuple[Text, str]:
    """The last job's end as a sentence, and its kind: "", good, bad or plain."""
    if job is None:
        return NOTHING, ""
    match job.state:
        case State.DONE:
            return joined(Text("wording.done"), job.note), "good"
        case State.FAILED:
            return joined(job.note, job.remedy), "bad"
        case _:
            return Text("wording.cancelled"), "plain"
