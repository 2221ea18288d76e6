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
from engine.request import Size
from engine.text import LANGUAGES, Language, Said, Text, rendered, tables
from engine.worker.progress import Progress, TimeLeft

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
    return rendered(said, language or _language.get(), tables(*FOLDERS))


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


STAGE_WORDS = {
    "load": "Starting",
    "encode": "Reading the prompt",
    "denoise": "Denoising",
    "decode": "Decoding the picture",
    "save": "Saving",
}

# What of a plan the user can choose.
CHOICES = {
    "attention": "Attention",
    "matmul": "Multiplication of weights",
    "text_encoder": "Multiplication in the text encoder",
    "offload": "Where the weights wait",
    "decode": "Decoding",
    "rope_chunk": "Rotary chunk, in tokens (0: all)",
    "compile": "torch.compile",
}
CHOOSE = "If you know better than the reasons above. A new choice is measured like a new machine."
DECIDES = "the program decides again."
NEXT_CLIP = "The next clip uses it; the engine restarts by itself for that."


def choice(name: str) -> str:
    """A plan's key as people read it."""
    said = CHOICES.get(name, name.replace("_", " ").capitalize())
    return said.replace("Fp16", "FP16")


def seconds(count: float) -> str:
    if count < 9.95:
        return f"{count:.1f} s"
    whole = round(count)  # first: rounded apart, 119.7 s would be "1 min 60 s"
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"


def roughly(count: float) -> str:
    """For a time that lies ahead, in steps that a guess is worth."""
    if count < 55:
        return f"{max(10, round(count / 10) * 10)} s"
    if count < 3570:
        return f"{max(1, round(count / 60))} min"
    return f"{count / 3600:.1f} h"


def takes(duration: Duration | None) -> str:
    """What a clip takes, and how that is known."""
    if duration is None:
        return "How long a clip takes, the first one will tell."
    return {
        "measured": f"A clip takes about {seconds(duration.seconds)}.",
        "scaled": f"A clip takes about {seconds(duration.seconds)}, judged by another size's here.",
        "elsewhere": f"A clip takes perhaps {seconds(duration.seconds)}, judged by another card's.",
    }[duration.basis]


def stage(progress: Progress) -> str:
    words = STAGE_WORDS[progress.stage]
    if progress.steps:
        return f"{words}, step {min(progress.step + 1, progress.steps)} of {progress.steps}"
    return words


def time_left(left: TimeLeft | None) -> str:
    if left is None:
        return ""
    if left.seconds < 1:
        return "" if left.at_least else "nearly done"
    return f"{'at least' if left.at_least else 'about'} {seconds(left.seconds)} left"


def size(value: Size, fps: int) -> str:
    """As the page says a size: width first, the way people name pictures."""
    if value.width == value.height:
        form = "square"
    else:
        form = "landscape" if value.width > value.height else "portrait"
    return f"{value.width} × {value.height}, {form}, {value.frames / fps:.1f} s"


def size_of(presets: Presets, model: str, value: Size) -> str:
    """Likewise, of a model that may be unknown here."""
    return size(value, fps_of(presets, model))


def fps_of(presets: Presets, model: str) -> int:
    """Frames a second; of a model that is unknown here they count as 16."""
    return presets.models[model].fps if model in presets.models else 16


def outcome(job: Job | None) -> tuple[str, str]:
    """The last job's end as a sentence, and its kind: "", good, bad or plain."""
    if job is None:
        return "", ""
    match job.state:
        case State.DONE:
            return (f"Done. {job.note}".strip(), "good")
        case State.FAILED:
            return (f"{job.note} {job.remedy}".strip(), "bad")
        case _:
            return ("Cancelled. The prompt is still here.", "plain")
