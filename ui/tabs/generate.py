"""The controls that make a request, and the panel that shows how it is going."""

import html
import secrets
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from engine.default_model import can_run, default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import PROBE_PROMPT
from engine.guard.duration import Duration
from engine.guard.verdict import Verdict, Word
from engine.pipelines import is_here
from engine.presets import ModelPreset
from engine.prompts.batch import expand
from engine.request import (
    RANDOM_SEED,
    SEED_LIMIT,
    ClipRequest,
    RequestError,
    whole,
)
from engine.text import Memory, Said, Text, joined
from ui import wording
from ui.tabs import cards, prompts
from ui.tabs.choices import (
    as_count,
    as_size,
    frame_choices,
    known_model,
    model_choices,
    size_choices,
)
from ui.tabs.gauge import GAUGE
from ui.theme import ASSETS
from ui.wiring import QUIET, Chosen
from ui.wording import say

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
        partial(_written, engine),
        [prompt, chosen],
        hint,
        trigger_mode="always_last",  # one look a pause, not one a letter
        **QUIET,
    )
    prompts.wire(engine, helped, prompt, chosen)
    # Whoever types a seed wants that seed.
    seed.input(lambda: True, None, lock, **QUIET)
    return Controls(prompt, chosen, size, frames, seed, lock, helped)


def _written(engine: Engine, text: str, model: Chosen) -> str:
    """What to say about a prompt that is being written; its model is loaded meanwhile."""
    preset = engine.presets.models[known_model(engine.presets, model)]
    if text and not engine.has_loaded and can_run(engine, preset):
        engine.expect(preset.id)
    return prompts.vocabulary_hint(text, preset)


def opened(engine: Engine, model: Chosen) -> list[Any]:
    """Updates for model, size and length when the page is opened: the usual model may be another
    one than when it was built. Where it isn't, whoever has chosen one meanwhile keeps it."""
    usual = default_model(engine).preset.id
    if usual == model:
        return [models(engine), gr.skip(), gr.skip()]
    radios = size_choices(engine.presets, usual), frame_choices(engine.presets, usual)
    return [models(engine, value=usual), *(gr.Radio(**choices) for choices in radios)]


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

    def submit(
        prompt: str,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        seed: Chosen,
        lock: bool,
        lines: bool,
        seeds: Chosen,
        embed: bool,
    ) -> str:
        raw = request_values(prompt, model, size, frames, seed, lock)
        try:
            engine.submit_all(expand(raw, lines, seeds, engine.presets), embed)
        except HeadroomError as error:
            return refusal_html(error)
        return ""

    make.click(submit, [*controls.as_list(), *more], refusal, **QUIET)

    def measure(
        prompt: str, model: Chosen, size: Chosen, frames: Chosen, seed: Chosen, lock: bool
    ) -> str:
        raw = request_values(prompt or PROBE_PROMPT, model, size, frames, seed, lock)
        try:
            engine.measure(ClipRequest.check(raw, engine.presets))
        except HeadroomError as error:
            return refusal_html(error)
        return ""

    probe.click(measure, controls.as_list(), refusal, **QUIET)
    # The one that was on show: another may run by the time that the press is here.
    stop.click(
        partial(cancel_current, engine),
        gr.Textbox(visible=False),
        None,
        js="() => document.querySelector('[data-live=job]')?.textContent ?? ''",
        **QUIET,
    )
    refreshed = [controls.size, controls.frames, verdict, probe]
    chosen = [controls.model, controls.size, controls.frames]
    gr.on(
        [controls.size.input, controls.frames.input],
        partial(judged, engine),
        chosen,
        refreshed,
        **QUIET,
    )
    controls.model.input(
        partial(judged, engine, size=None, frames=None),
        controls.model,
        refreshed,
        **QUIET,
    )
    return refreshed


def judged(engine: Engine, model: Chosen, size: Chosen, frames: Chosen) -> list[Any]:
    """The verdict on what is chosen, and every choice with its own: locked ones say so.

    Args:
        size, frames: the radios' values, which are left as they are: the user may be choosing
            another one this moment. None sets the model's default.
    """
    presets = engine.presets
    preset = presets.models[known_model(presets, model)]
    model, fresh = preset.id, size is None
    count = preset.default.frames if frames is None else as_count(frames)
    size = size or f"{preset.default.height}×{preset.default.width}"
    here = as_size(size, count)
    sizes, lengths = size_choices(presets, model, size), frame_choices(presets, model, count)
    others = {value: as_size(value, count) for _, value in sizes["choices"]}
    longer = [as_size(size, value) for _, value in lengths["choices"]]
    verdicts = engine.guard.verdicts(model, [here, *others.values(), *longer])
    best = {f"{s.height}×{s.width}" for s in presets.sizes_for(model) if s.best}
    times = engine.guard.durations(model, [here, *others.values()])
    told = [
        (say(cards.label(name, value in best, verdicts[s], times[s])), value)
        for (name, value), s in zip(sizes["choices"], others.values(), strict=True)
    ]
    style = cards.style((value, s, verdicts[s]) for value, s in others.items())
    told_frames = [
        (length if verdicts[s].open else _not_open(length, verdicts[s]), value)
        for (length, value), s in zip(lengths["choices"], longer, strict=True)
    ]
    verdict = verdicts[here]
    return [
        gr.Radio(told, value=size) if fresh else gr.Radio(told),
        gr.Radio(told_frames, value=count) if fresh else gr.Radio(told_frames),
        style + verdict_html(verdict, preset, times[here]),
        gr.Button(visible=verdict.word is Word.LOCKED and is_here(preset)),
    ]


def _not_open(length: str, verdict: Verdict) -> str:
    return say(Text("generate.length_not_open", length=length, verdict=verdict.word.text))


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


def verdict_html(verdict: Verdict, preset: ModelPreset, duration: Duration | None) -> str:
    word, why = verdict.word.value, joined(verdict.reason, verdict.remedy)
    if verdict.open:
        budget = Text("generate.budget", budget=Memory(verdict.budget))
        why = joined(verdict.reason, budget, wording.takes(duration))
    said = say(Text(f"generate.verdict_{word}"))
    return (
        f"<p class='verdict {word}' title='{html.escape(preset.name, quote=True)}' "
        f"aria-live='polite'><b>{html.escape(said)}</b> {html.escape(say(why))}</p>"
    )


def request_values(
    prompt: str, model: Chosen, size: Chosen, frames: Chosen, seed: Chosen, lock: bool
) -> dict[str, object]:
    """What the controls hold, as a raw request; no value here is corrected. A seed that shall be
    kept and is none, as an emptied field or 1e400, is refused instead of being drawn."""
    height, _, width = str(size).partition("×")
    return {
        "prompt": prompt,
        "model": model,
        "height": height,
        "width": width,
        "frames": frames,
        "seed": ("" if seed is None else seed) if lock else RANDOM_SEED,
    }


def refusal_html(error: HeadroomError) -> str:
    """The refused fields, one sentence each, near the button that was pressed."""
    lines: list[Said] = [error.text]
    if isinstance(error, RequestError):
        lines = [problem.sentence for problem in error.problems]
    text = "".join(f"<p>{html.escape(say(line))}</p>" for line in lines)
    return f'<div class="refusal" role="alert">{text}</div>'


def cancel_current(engine: Engine, shown: Chosen = "") -> None:
    """Cancel the job that the panel shows, even if another one runs by now; where it shows none,
    what runs, else what is next. Nothing to cancel is no error."""
    jobs, number = engine.jobs, whole(shown)
    if number is not None and jobs.has(number):
        engine.cancel(number)
        return
    job = jobs.running() or next(iter(jobs.waiting(1)), None)
    if job is not None:
        engine.cancel(job.id)
