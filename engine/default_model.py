"""Which model makes a clip when nobody names one: the best that is ready on this machine. And which
one suits this machine best, ready or not."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.verdict import Word
from engine.kernels.tasks import own_model
from engine.kernels.told import alike, seconds
from engine.machine.cards import card_name
from engine.pictures.cut import size_for
from engine.presets import ModelPreset, Task
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Said, Text, as_text, joined

FIRST = "fp8"  # the precision that the weights were made for
# So many times as fast as the first precision another one has to be before it is recommended: 22 GB
# lie between them, and the kernel test says the least, not all of a clip's seconds.
CLEARLY_FASTER = 1.1


@dataclass(frozen=True)
class DefaultModel:
    """A model, and why it is the usual one."""

    preset: ModelPreset
    reason: Text

    @property
    def sentence(self) -> Text:
        return joined(Text("default_model.is", model=self.preset.name), self.reason)


@dataclass(frozen=True)
class Candidate:
    """A model, as this machine sees it. ``barred``: why it can't run here, whatever its weights
    are; NOTHING where it can. ``reason``: why it is the recommended one; NOTHING for the others.
    ``least``: seconds that its default clip takes here at least, None where that isn't known."""

    preset: ModelPreset
    barred: Said = NOTHING
    reason: Text = NOTHING
    least: float | None = None

    @property
    def recommended(self) -> bool:
        return bool(self.reason)


def default_model(engine: Engine, task: Task = "t2v") -> DefaultModel:
    """A model for NVIDIA's GPUs that is ready, the recommended one first, else the CPU default.

    Args:
        task: what the request asks for: "i2v" where it holds a picture.
    """
    presets = engine.presets
    large = [p for p in presets.with_files if p.runs_on == "nvidia" and p.task == task]
    large.sort(key=lambda preset: preset.precision != FIRST)
    why_not = {preset.id: _why_not(engine, preset) for preset in large}
    ready = [preset for preset in large if not why_not[preset.id]]
    if ready:
        best = _fastest_first(ready, least_seconds(engine))[0]
        return DefaultModel(best, Text("default_model.ready"))
    missed = next(iter(why_not.values()), NOTHING)
    anywhere = presets.default
    if task != anywhere.task and anywhere.from_picture in presets.models:
        anywhere = presets.models[str(anywhere.from_picture)]
    return DefaultModel(anywhere, joined(Text("default_model.anywhere"), missed))


def with_files(engine: Engine) -> list[Candidate]:
    """``candidates`` without drafts, which have no files of their own, and what changes clips and
    has some."""
    makers = [candidate for candidate in candidates(engine) if candidate.preset.draft_of is None]
    fetched = [preset for preset in engine.presets.changers if preset.weights]
    return makers + [Candidate(preset, barred(engine, preset.id)) for preset in fetched]


def candidates(engine: Engine) -> list[Candidate]:
    """Every model: the one recommended for this machine first, what can't run here last.

    Recommended is the model for NVIDIA's GPUs that makes clips of words alone and can run here,
    else the CPU default: FP8, or what the kernel test found to be clearly faster.
    """
    models = sorted(engine.presets.makers, key=_by_use)
    why_not = {preset.id: barred(engine, preset.id) for preset in models}
    able = [preset for preset in models if not why_not[preset.id]]
    large = [p for p in able if p.runs_on == "nvidia" and _makes_clips_of_words(p)]
    least = least_seconds(engine)
    best = next(iter(_fastest_first(large, least)), engine.presets.default)
    reason = NOTHING if why_not[best.id] else _why_best(engine, best, models, why_not)
    if large and best is not large[0]:
        reason = _why_faster(engine, best, large[0], least)
    first = Candidate(best, why_not[best.id], reason, least.get(best.id))
    rest = [
        Candidate(preset, why_not[preset.id], least=least.get(preset.id))
        for preset in models
        if preset is not best
    ]
    return [first, *sorted(rest, key=lambda candidate: bool(candidate.barred))]


def least_seconds(engine: Engine) -> dict[str, float]:
    """By model: what its default clip takes here at least, as far as the kernel test can tell."""
    machine = engine.machine()
    if machine.gpu is None:
        return {}
    preset = own_model(machine, engine.presets)
    times = engine.kernel_test.times(preset)
    if times is None:
        return {}
    return seconds(times, engine.plans, alike(engine.presets, machine, preset))


def _fastest_first(models: list[ModelPreset], least: Mapping[str, float]) -> list[ModelPreset]:
    """``models``, with one before all others that is clearly faster than the first of them."""
    if not models or models[0].id not in least:
        return models
    best = min((preset for preset in models if preset.id in least), key=lambda one: least[one.id])
    if least[models[0].id] < CLEARLY_FASTER * least[best.id]:
        return models
    return [best, *(preset for preset in models if preset is not best)]


def _why_faster(
    engine: Engine, best: ModelPreset, usual: ModelPreset, least: Mapping[str, float]
) -> Text:
    gpu = engine.look().gpu
    return Text(
        "default_model.faster",
        card=card_name(gpu.name if gpu else ""),
        seconds=least[best.id],
        usual=usual.name,
        more=least[usual.id],
    )


def _makes_clips_of_words(preset: ModelPreset) -> bool:
    return preset.draft_of is None and not preset.begins_with_picture


def _by_use(preset: ModelPreset) -> tuple[bool, bool, bool, int, bool]:
    """Large models before the CPU's, of words before those that begin with a picture, FP8 before
    others, less to download before more, a draft behind the model whose files it has."""
    size = sum(file.bytes for file in preset.weights)
    draft, picture = preset.draft_of is not None, preset.begins_with_picture
    return preset.runs_on != "nvidia", picture, preset.precision != FIRST, size, draft


def _why_best(
    engine: Engine, best: ModelPreset, models: list[ModelPreset], why_not: Mapping[str, Said]
) -> Text:
    gpu = engine.look().gpu
    if best.runs_on != "nvidia" or gpu is None:
        return Text("default_model.anywhere")
    card = card_name(gpu.name)
    better = models[: models.index(best)]
    if not better:
        return Text("default_model.suits", card=card)
    why = as_text(why_not[better[0].id])
    return Text("default_model.next_best", card=card, model=better[0].name, why=why)


def barred(engine: Engine, model: str) -> Said:
    """Why ``model`` can't run on this machine, whatever its weights are; NOTHING where it can.

    Others may hold its memory now, and its sizes may have to be tested first.
    """
    baseline = engine.guard.rules(model).baseline
    verdicts = engine.guard.verdicts(model, engine.guard.offered(model))
    if any(verdict.word is not Word.IMPOSSIBLE for verdict in verdicts.values()):
        return NOTHING
    return verdicts[baseline].reason


def asked_for(engine: Engine, raw: Mapping[str, object], probe: bool = False) -> ClipRequest:
    """``ClipRequest.check`` for those who may leave the model out, and with a picture the size,
    which then follows its shape.

    Raises:
        RequestError: a field is refused.
        PictureError: a picture isn't kept here.
    """
    model, image = raw.get("model"), raw.get("image")
    if model is None or model == "":
        model = default_model(engine, "i2v" if image else "t2v").preset.id
    given = {**raw, "model": model}
    preset = engine.presets.models.get(str(model))
    if preset is not None and preset.begins_with_picture and isinstance(image, str) and image:
        given |= size_of_picture(engine, preset, image, raw)
    return ClipRequest.check(given, engine.presets, probe)


def size_of_picture(
    engine: Engine, preset: ModelPreset, image: str, raw: Mapping[str, object]
) -> dict[str, object]:
    """Height and width that follow a picture's shape; nothing where ``raw`` has one of them.

    Raises:
        PictureError: it isn't kept here.
    """
    if raw.get("height") is not None or raw.get("width") is not None:
        return {}
    picture = engine.intake.find(image)
    size = size_for(picture.width, picture.height, preset)
    return {"height": size.height, "width": size.width}


def can_run(engine: Engine, preset: ModelPreset) -> bool:
    """Whether it could make clips here; others may hold the memory for now."""
    return not _why_not(engine, preset)


def _why_not(engine: Engine, preset: ModelPreset) -> Text:
    """What keeps ``preset`` from making clips here; NOTHING if nothing does."""
    shape = preset.default
    size = Size(shape.height, shape.width, shape.frames)
    verdict = engine.guard.verdict(preset.id, size)
    if verdict.word is Word.IMPOSSIBLE and engine.guard.nearest(preset.id, size) is None:
        return as_text(verdict.reason)
    try:
        engine.check_ready(preset.id)
    except HeadroomError as error:
        return error.sentence
    return NOTHING
