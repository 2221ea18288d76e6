"""How numbers and states read on the page."""

from engine.guard.duration import Duration
from engine.jobs import Job, State
from engine.presets import Presets
from engine.request import Size
from engine.worker.progress import Progress, TimeLeft

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
