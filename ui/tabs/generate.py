"""The controls that make a request, and the panel that shows how it is going."""

import html
import secrets
from dataclasses import dataclass
from typing import Any

import gradio as gr

from engine.default_model import can_run, default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import PROBE_PROMPT
from engine.guard.duration import Duration
from engine.guard.verdict import Verdict, Word
from engine.pipelines import is_here
from engine.presets import ModelPreset, Presets
from engine.prompts.batch import expand
from engine.request import (
    PROMPT_LIMIT,
    RANDOM_SEED,
    SEED_LIMIT,
    ClipRequest,
    RequestError,
    Size,
    whole,
)
from engine.units import gigabytes
from ui import wording
from ui.tabs import cards, prompts
from ui.tabs.gauge import GAUGE
from ui.theme import ASSETS
from ui.wiring import QUIET

HEAD = """
<div class="head">
  <h1>Headroom</h1>
  <p class="tagline">Text-to-video on the computer you have.</p>
  <p class="shared" data-live="share-short" hidden></p>
  %s
</div>
"""
PANEL = """
<div class="live-panel">
  <p class="notice" role="alert" data-live="offline" hidden></p>
  <p class="engine"><span class="dot" aria-hidden="true"></span><span data-live="engine"
    >Connecting…</span></p>
  <p class="engine" data-live="label" hidden></p>
  <p class="notice" role="alert" data-live="notice" hidden></p>
  <div class="now">
    <img class="preview" data-live="preview" alt="Rough preview of the clip being made" hidden>
    <div class="words">
      <p class="title" data-live="title"></p><i hidden><i data-live="job"></i></i>
      <div class="line"><span aria-live="polite" data-live="stage"></span><span
        data-live="left"></span></div>
      <div class="progress" role="progressbar" aria-label="This clip" aria-valuemin="0"
        aria-valuemax="100" aria-valuenow="0" data-live="bar"><span></span></div>
    </div>
  </div>
  <p class="outcome" aria-live="polite" data-live="outcome" hidden></p>
  <p class="notice" data-live="waiting-for" hidden></p>
</div>
"""


@dataclass(frozen=True)
class Controls:
    """The inputs, in the order in which ``request_values`` takes them."""

    prompt: gr.Textbox
    model: gr.Dropdown
    size: gr.Radio
    frames: gr.Radio
    seed: gr.Number
    lock: gr.Checkbox
    helped: prompts.PromptHelp

    def as_list(self) -> list[Any]:
        return [self.prompt, self.model, self.size, self.frames, self.seed, self.lock]


def build_head() -> None:
    script = (ASSETS / "page/desk.js").read_text(encoding="utf-8")
    gr.HTML(HEAD % GAUGE, elem_id="head", js_on_load=script)


def build_panel() -> gr.HTML:
    """The live panel; it fires ``change`` whenever a job has ended."""
    script = (ASSETS / "page/live.js").read_text(encoding="utf-8")
    return gr.HTML(PANEL, elem_id="panel", js_on_load=script)


def build_controls(engine: Engine) -> Controls:
    presets = engine.presets
    model = default_model(engine).preset
    prompt = gr.Textbox(
        label="Prompt",
        placeholder="What should the clip show?",
        lines=2,
        max_lines=8,
        max_length=PROMPT_LIMIT,
        elem_id="prompt",
        autofocus=True,
    )
    hint = gr.HTML("", elem_id="hint", js_on_load=None)
    helped = prompts.build_help(model)
    choices = model_choices(presets)
    chosen = gr.Dropdown(
        choices,
        value=model.id,
        label="Model",
        show_label=False,
        container=False,
        visible=len(choices) > 1,
        elem_id="model",
    )
    size = gr.Radio(**size_choices(presets, model.id), label="Size", elem_id="size")
    frames = gr.Radio(**frame_choices(presets, model.id), label="Length", elem_id="frames")
    with gr.Row(elem_id="seed-row"):
        seed = gr.Number(
            secrets.randbelow(SEED_LIMIT),
            label="Seed",
            precision=0,
            minimum=0,
            maximum=SEED_LIMIT - 1,
            elem_id="seed",
            min_width=150,
            container=False,
        )
        dice = gr.Button("Roll", icon=ASSETS / "page/dice.svg", elem_id="dice", min_width=90)
        lock = gr.Checkbox(
            False, label="Keep this seed", elem_id="lock", container=False, min_width=130
        )
    dice.click(
        lambda: (secrets.randbelow(SEED_LIMIT), True),
        None,
        [seed, lock],
        **QUIET,
    )
    gr.on(
        [prompt.change, chosen.change],
        lambda text, name: _written(engine, text, name),
        [prompt, chosen],
        hint,
        trigger_mode="always_last",  # one look a pause, not one a letter
        **QUIET,
    )
    prompts.wire(engine, helped, prompt, chosen)
    # Whoever types a seed wants that seed.
    seed.input(lambda: True, None, lock, **QUIET)
    return Controls(prompt, chosen, size, frames, seed, lock, helped)


def _written(engine: Engine, text: str, model: str) -> str:
    """What to say about a prompt that is being written; its model is loaded meanwhile."""
    preset = engine.presets.models[known_model(engine.presets, model)]
    if text and not engine.has_loaded and can_run(engine, preset):
        engine.expect(model)
    return prompts.vocabulary_hint(text, preset)


def opened(engine: Engine, model: str, size: object, frames: object) -> list[Any]:
    """Updates for the model and for what ``judged`` refreshes, when the page is opened: the usual
    model may be another one than when it was built."""
    usual = default_model(engine).preset.id
    if usual != model:
        size = frames = None
    return [models(engine, value=usual), *judged(engine, usual, size, frames)]


def models(engine: Engine, **more: Any) -> gr.Dropdown:
    """What can be chosen now; what is chosen stays, unless ``value`` is among ``more``."""
    choices = model_choices(engine.presets)
    return gr.Dropdown(choices, visible=len(choices) > 1, **more)


def build_buttons(engine: Engine, controls: Controls, more: list[Any]) -> list[Any]:
    """Verdict, buttons and refusals; returns what ``judged`` refreshes.

    Args:
        more: the inputs of ``More.as_list``, not rendered yet or elsewhere.
    """
    verdict = gr.HTML("", elem_id="verdict", js_on_load=None)
    with gr.Row():
        make = gr.Button("Generate", variant="primary", elem_id="generate", scale=3)
        probe = gr.Button("Measure", elem_id="probe", visible=False, scale=2)
        stop = gr.Button("Cancel", variant="secondary", elem_id="cancel", scale=1)
    refusal = gr.HTML("", elem_id="refusal", js_on_load=None)

    def submit(*values: Any) -> str:
        *asked, lines, seeds, embed = values
        try:
            count = int(seeds) if isinstance(seeds, int | float) else 0
            raw = request_values(*asked)
            engine.submit_all(expand(raw, bool(lines), count, engine.presets), bool(embed))
        except HeadroomError as error:
            return refusal_html(error)
        return ""

    make.click(submit, [*controls.as_list(), *more], refusal, **QUIET)

    def measure(*values: Any) -> str:
        raw = request_values(*values)
        raw["prompt"] = raw["prompt"] or PROBE_PROMPT
        try:
            engine.measure(ClipRequest.check(raw, engine.presets))
        except HeadroomError as error:
            return refusal_html(error)
        return ""

    probe.click(measure, controls.as_list(), refusal, **QUIET)
    # The one that was on show: another may run by the time that the press is here.
    stop.click(
        lambda job: cancel_current(engine, job),
        gr.Textbox(visible=False),
        None,
        js="() => document.querySelector('[data-live=job]')?.textContent ?? ''",
        **QUIET,
    )
    refreshed = [controls.size, controls.frames, verdict, probe]
    chosen = [controls.model, controls.size, controls.frames]
    gr.on(
        [controls.size.input, controls.frames.input],
        lambda *values: judged(engine, *values),
        chosen,
        refreshed,
        **QUIET,
    )
    controls.model.input(
        lambda name: judged(engine, name, None, None),
        controls.model,
        refreshed,
        **QUIET,
    )
    return refreshed


def judged(engine: Engine, model: str, size: object, frames: object) -> list[Any]:
    """The verdict on what is chosen, and every choice with its own: locked ones say so.

    Args:
        size, frames: the radios' values, which are left as they are: the user may be choosing
            another one this moment. None sets the model's default.
    """
    presets = engine.presets
    preset = presets.models[known_model(presets, model)]
    fresh = size is None
    count = preset.default.frames if frames is None else _as_count(frames)
    size = size or f"{preset.default.height}×{preset.default.width}"
    here = _as_size(size, count)
    sizes, lengths = size_choices(presets, model, size), frame_choices(presets, model, count)
    others = {value: _as_size(value, count) for _, value in sizes["choices"]}
    longer = [_as_size(size, value) for _, value in lengths["choices"]]
    verdicts = engine.guard.verdicts(model, [here, *others.values(), *longer])
    best = {f"{s.height}×{s.width}" for s in presets.sizes_for(model) if s.best}
    times = engine.guard.durations(model, [here, *others.values()])
    told = [
        (cards.label(name, value in best, verdicts[s], times[s]), value)
        for (name, value), s in zip(sizes["choices"], others.values(), strict=True)
    ]
    style = cards.style((value, s, verdicts[s]) for value, s in others.items())
    told_frames = [
        (text if verdicts[s].open else f"{text}, {verdicts[s].word}", value)
        for (text, value), s in zip(lengths["choices"], longer, strict=True)
    ]
    verdict = verdicts[here]
    return [
        gr.Radio(told, value=size) if fresh else gr.Radio(told),
        gr.Radio(told_frames, value=count) if fresh else gr.Radio(told_frames),
        style + verdict_html(verdict, preset, times[here]),
        gr.Button(visible=verdict.word is Word.LOCKED and is_here(preset)),
    ]


def known_model(presets: Presets, name: object) -> str:
    """``name``, if it is a model's: a list of choices lets nothing and a list pass.

    Raises:
        gr.Error: it isn't.
    """
    if isinstance(name, str) and name in presets.models:
        return name
    raise gr.Error("There is no such model here. Choose one.", print_exception=False)


def brought_back(engine: Engine, request: ClipRequest) -> tuple[list[Any], list[Any]]:
    """Updates for ``Controls.as_list()``, and for the verdict and the button beside it.

    A size or length that isn't on offer becomes a choice of its own, and stays one while it is
    chosen.
    """
    size, drawn = f"{request.height}×{request.width}", request.seed == RANDOM_SEED
    sizes, lengths, *verdict = judged(engine, request.model, size, request.frames)
    fields = [
        request.prompt,
        gr.Dropdown(model_choices(engine.presets), value=request.model),
        gr.Radio(sizes.choices, value=size),
        gr.Radio(lengths.choices, value=request.frames),
        gr.skip() if drawn else request.seed,
        not drawn,
    ]
    return fields, verdict


def _as_size(size: object, frames: int) -> Size:
    height, _, width = str(size).partition("×")
    return Size(_as_count(height), _as_count(width), frames)


def _as_count(value: object) -> int:
    """Raises gr.Error for what no radio of ours has sent."""
    count = whole(value)
    if count is None or not 0 < count < 10**5:
        raise gr.Error("There is no such size or length. Choose one.", print_exception=False)
    return count


def verdict_html(verdict: Verdict, preset: ModelPreset, duration: Duration | None) -> str:
    more = f"The budget is {gigabytes(verdict.budget)}. {wording.takes(duration)}"
    text = html.escape(f"{verdict.reason} {more if verdict.open else verdict.remedy}".strip())
    word = verdict.word.value
    return (
        f"<p class='verdict {word}' title='{html.escape(preset.name, quote=True)}' "
        f"aria-live='polite'><b>{word.capitalize()}.</b> {text}</p>"
    )


def model_choices(presets: Presets) -> list[tuple[str, str]]:
    """The models whose engine is here; the default one even while it is on its way."""
    default = presets.default.id
    models = presets.models.values()
    return [
        (preset.name, preset.id) for preset in models if is_here(preset) or preset.id == default
    ]


def size_choices(presets: Presets, model: str, also: object = None) -> dict[str, Any]:
    """Value and choices of the size radio: "height×width" behind what people read.

    Args:
        also: a value that has to be among them, because it is chosen.
    """
    default = presets.models[model].default
    sizes = [(s.name, s.height, s.width) for s in presets.sizes_for(model)]
    if (default.height, default.width) not in [(h, w) for _, h, w in sizes]:
        sizes.insert(0, ("", default.height, default.width))
    choices = [(f"{w} × {h} {name}".rstrip(), f"{h}×{w}") for name, h, w in sizes]
    if also and also not in [value for _, value in choices]:
        height, _, width = str(also).partition("×")
        choices.append((f"{width} × {height}", str(also)))
    return {"choices": choices, "value": f"{default.height}×{default.width}"}


def frame_choices(presets: Presets, model: str, also: object = None) -> dict[str, Any]:
    """Likewise for the length, in frames."""
    preset = presets.models[model]
    counts = {*presets.frames_for(model), *([int(str(also))] if also else [])}
    choices = [(f"{preset.seconds(n):.1f} s, {n} frames", n) for n in sorted(counts)]
    return {"choices": choices, "value": preset.default.frames}


def request_values(
    prompt: object, model: object, size: object, frames: object, seed: object, lock: object
) -> dict[str, object]:
    """What the controls hold, as a raw request; nothing here is trusted or corrected."""
    height, _, width = str(size).partition("×")
    return {
        "prompt": prompt,
        "model": model,
        "height": height,
        "width": width,
        "frames": frames,
        "seed": seed if lock else RANDOM_SEED,
    }


def refusal_html(error: HeadroomError) -> str:
    """The refused fields, one sentence each, near the button that was pressed."""
    lines = (
        [str(problem.sentence) for problem in error.problems]
        if isinstance(error, RequestError)
        else [str(error)]
    )
    text = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<div class="refusal" role="alert">{text}</div>'


def cancel_current(engine: Engine, shown: object = "") -> None:
    """Cancel the job that the panel shows, even if another one runs by now; where it shows none,
    what runs, else what is next. Nothing to cancel is no error."""
    jobs, number = engine.jobs, whole(shown)
    if number is not None and jobs.has(number):
        engine.cancel(number)
        return
    job = jobs.running() or next(iter(jobs.waiting(1)), None)
    if job is not None:
        engine.cancel(job.id)
