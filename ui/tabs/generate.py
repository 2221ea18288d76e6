"""The form that makes a request, and its foot: the line that tells what holds, and the button."""

import html
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from engine.default_model import can_run, default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.guard.climb import PROBE_PROMPT
from engine.guard.verdict import Verdict
from engine.library.larger import NAMED
from engine.presets import ModelPreset
from engine.prompts.batch import count, expand
from engine.prompts.variants import as_typed
from engine.request import RANDOM_SEED, SEED_LIMIT, ClipRequest, RequestError, Size, whole
from engine.text import Said, Text
from engine.timing import RATES
from ui.tabs import adapters, cards, prompts
from ui.tabs.batch import one_of
from ui.tabs.choices import (
    as_count,
    as_size,
    frame_choices,
    known_model,
    model_choices,
    size_choices,
)
from ui.tabs.held import fields_of, held_of, sizes_following
from ui.tabs.peaks import shown_peaks
from ui.tabs.pictures import Pictures, build_pictures
from ui.tabs.truth import Step, Truth, truth_html, truth_of
from ui.theme import ASSETS
from ui.wiring import QUIET, Chosen
from ui.wording import say

CLEAR = "() => ''"


@dataclass(frozen=True)
class Form:
    """What the form holds, in the order of ``Controls.whole``; from a browser, so any value."""

    prompt: Chosen
    model: Chosen
    size: Chosen
    frames: Chosen
    seed: Chosen
    held: Chosen = ""

    def raw(self) -> dict[str, object]:
        """As a raw request; no value here is corrected. An empty seed is drawn."""
        height, _, width = str(self.size).partition("×")
        drawn = self.seed is None or str(self.seed).strip() == ""
        return {
            "prompt": self.prompt,
            "model": self.model,
            "height": height,
            "width": width,
            "frames": self.frames,
            "seed": RANDOM_SEED if drawn else self.seed,
            **fields_of(self.held),
        }


@dataclass(frozen=True)
class Controls:
    """The inputs, in the order of ``Form``; ``held`` is hidden (held.py)."""

    prompt: gr.Textbox
    hint: gr.HTML
    model: gr.Dropdown
    size: gr.Radio
    frames: gr.Radio
    seed: gr.Textbox
    helped: prompts.PromptHelp
    pictures: Pictures
    adapters: gr.HTML

    @property
    def held(self) -> gr.Textbox:
        return self.pictures.held

    def as_list(self) -> list[Any]:
        return [self.prompt, self.model, self.size, self.frames, self.seed]

    def whole(self) -> list[Any]:
        return [*self.as_list(), self.held]


@dataclass(frozen=True)
class Foot:
    """Below the form, always in sight: the truth, the button and what it was refused for."""

    truth: gr.HTML
    press: gr.Button
    error: gr.HTML

    def judged(self) -> list[Any]:
        """What a verdict sets besides the form's two radios."""
        return [self.truth, self.press]


def build_controls(engine: Engine) -> Controls:
    presets = engine.presets
    model = default_model(engine).preset
    prompt = gr.Textbox(
        label="Prompt",
        show_label=False,
        container=False,
        placeholder="What should the clip show?",
        lines=3,
        max_lines=8,
        elem_id="prompt",
        autofocus=True,
    )
    hint = gr.HTML("", elem_id="hint", js_on_load=None)
    helped = prompts.build_help(model)
    pictures = build_pictures()
    choices = model_choices(engine)
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
        seed = gr.Textbox(
            "",
            label="Seed",
            placeholder="random",
            max_lines=1,
            elem_id="seed",
            min_width=120,
            container=False,
        )
        dice = gr.Button("Roll", icon=ASSETS / "page/dice.svg", elem_id="dice", min_width=80)
    dice.click(lambda: str(secrets.randbelow(SEED_LIMIT)), None, seed, **QUIET)
    prompts.wire(engine, helped, prompt, chosen)
    loras = adapters.build_adapters(engine)
    adapters.wire(engine, loras, pictures.held)
    return Controls(prompt, hint, chosen, size, frames, seed, helped, pictures, loras)


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
    choices = model_choices(engine)
    return gr.Dropdown(choices, visible=len(choices) > 1, **more)


# ---- the foot ------------------------------------------------------------------------------


def build_foot() -> Foot:
    """Drawn where it is called; ``wire_foot`` connects it."""
    with gr.Column(elem_id="foot"):
        error = gr.HTML("", elem_id="error", js_on_load=None)
        truth = gr.HTML("", elem_id="truth", js_on_load=None)
        press = gr.Button("Generate", variant="primary", elem_id="generate")
    return Foot(truth, press, error)


def wire_foot(engine: Engine, controls: Controls, foot: Foot, more: Sequence[Any]) -> None:
    """Connect the button, and what the choices say of themselves.

    Args:
        more: the inputs of ``More.as_list``.
    """
    refreshed = [controls.size, controls.frames, *foot.judged()]
    asked = asked_by(controls, more)

    def press(
        step: str,
        prompt: Chosen,
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        seed: Chosen,
        held: str,
        lines: bool,
        seeds: Chosen,
        embed: bool,
        smooth: int | None,
        side: int | None,
    ) -> list[Any]:
        form = Form(prompt, model, size, frames, seed, held)
        try:
            told = act(engine, step, form, lines, seeds, embed, smooth, side)
        except HeadroomError as error:
            told = judged(engine, model, size, frames, prompt, held, lines, seeds)
            return [refusal_html(error), *told]
        return ["", *told]

    foot.press.click(
        press,
        [gr.Textbox(visible=False), *controls.whole(), *more],
        [foot.error, *refreshed],
        js=(ASSETS / "page/press.js").read_text(encoding="utf-8"),
        **QUIET,
    )
    gr.on(
        [controls.size.input, controls.frames.input],
        partial(judged, engine),
        asked,
        refreshed,
        **QUIET,
    )

    def another(model: Chosen, prompt: Chosen, held: str, lines: bool, seeds: Chosen) -> list[Any]:
        return judged(engine, model, None, None, prompt, held, lines, seeds)

    controls.model.input(another, [asked[0], *asked[3:]], refreshed, **QUIET)
    # A model that the page itself chooses has its own words, too.
    said = partial(_written, engine), [controls.prompt, controls.model], controls.hint
    controls.model.change(*said, trigger_mode="multiple", **QUIET)

    def written(
        model: Chosen,
        size: Chosen,
        frames: Chosen,
        prompt: Chosen,
        held: str,
        lines: bool,
        seeds: Chosen,
    ) -> list[Any]:
        hint = _written(engine, str(prompt or ""), model)
        return [hint, *judged(engine, model, size, frames, prompt, held, lines, seeds)[2:]]

    # How many clips a press would make stands on the button.
    gr.on(
        [controls.prompt.change, more[0].change, more[1].change],
        written,
        asked,
        [controls.hint, *foot.judged()],
        trigger_mode="always_last",  # one look a pause, not one a letter
        **QUIET,
    )
    # A refusal belongs to what was refused: it goes once anything of that is another.
    edits = [getattr(control, "input", control.change) for control in controls.as_list()]
    edits.append(controls.held.change)
    gr.on(edits, None, None, foot.error, js=CLEAR, **QUIET)


def asked_by(controls: Controls, more: Sequence[Any]) -> list[Any]:
    """The inputs of ``judged``."""
    about = [controls.model, controls.size, controls.frames, controls.prompt, controls.held]
    return [*about, *more[:2]]


def act(
    engine: Engine,
    step: str,
    form: Form,
    lines: bool,
    seeds: Chosen,
    embed: bool,
    smooth: int | None = None,
    side: int | None = None,
) -> list[Any]:
    """Do what stood on the button, if it still is the next step; updates for what ``judged``
    refreshes.

    Args:
        step: the ``Step`` that was on show.
        smooth, side: frames a second, and the shorter side in pixels, of the version that follows
            each clip, if one does.

    Raises:
        HeadroomError: it was refused.
    """
    size = as_size(form.size, as_count(form.frames))
    model = known_model(engine.presets, form.model)
    makes = (Step.GENERATE, Step.QUEUE)
    now = _look(engine, model, size, form.held)
    if step == Step.PICTURE == now.step:
        pass  # the browser lets one be chosen (press.js)
    elif step in makes or not step:
        raw = form.raw()
        every = expand(raw, lines, seeds, engine.presets)
        fps, pixels = one_of(smooth, RATES), one_of(side, NAMED)
        engine.submit_all(every, embed, may_wait=True, smooth=fps, side=pixels)
    elif step == Step.TEST == now.step:
        raw = {**form.raw(), "prompt": form.prompt or PROBE_PROMPT}
        engine.measure(ClipRequest.check(raw, engine.presets, probe=True))
    elif step == Step.DOWNLOAD == now.step:
        engine.downloads.start(model)
    elif step == Step.SMALLER == now.step and now.size is not None:
        return chosen(engine, model, now.size, form.held)
    return judged(engine, model, form.size, form.frames, form.prompt, form.held, lines, seeds)


def _look(engine: Engine, model: str, size: Size, held: Chosen) -> Truth:
    preset = engine.presets.models[model]
    verdict = engine.guard.verdict(model, size)
    duration = engine.guard.durations(model, [size])[size]
    lacks = _lacks_picture(preset, held)
    return truth_of(engine, preset, size, verdict, duration, lacks_picture=lacks)


def _lacks_picture(preset: ModelPreset, held: Chosen) -> bool:
    return preset.begins_with_picture and not fields_of(held).get("image")


def judged(
    engine: Engine,
    model: Chosen,
    size: Chosen,
    frames: Chosen,
    prompt: Chosen = "",
    held: Chosen = "",
    lines: bool = False,
    seeds: Chosen = 1,
) -> list[Any]:
    """The truth about what is chosen, its button, and every choice with its own verdict.

    Args:
        size, frames: the radios' values, which are left as they are: the user may be choosing
            another one this moment. None sets the model's default.
        prompt, lines, seeds: how many clips a press would make.
        held: what else the form holds (held.py); sizes that follow a picture are offered, too.
    """
    presets = engine.presets
    preset = presets.models[known_model(presets, model)]
    model, fresh = preset.id, size is None
    long = preset.default.frames if frames is None else as_count(frames)
    follow = sizes_following(engine, preset, held)
    usual = follow[0] if follow else preset.default
    size = size or f"{usual.height}×{usual.width}"
    here = as_size(size, long)
    also = [f"{s.height}×{s.width}" for s in follow]
    sizes = size_choices(presets, model, size, *also)
    lengths = frame_choices(presets, model, long)
    others = {value: as_size(value, long) for _, value in sizes["choices"]}
    longer = [as_size(size, value) for _, value in lengths["choices"]]
    verdicts = engine.guard.verdicts(model, [here, *others.values(), *longer])
    best = {f"{s.height}×{s.width}" for s in presets.sizes_for(model) if s.best}
    times = engine.guard.durations(model, [here, *others.values()])
    peaks = shown_peaks({s: verdicts[s] for s in others.values()}, short=True)
    told = [
        (cards.label(name, verdicts[s], times[s], peaks[s]), value)
        for (name, value), s in zip(sizes["choices"], others.values(), strict=True)
    ]
    style = cards.style((v, s, verdicts[s], v in best) for v, s in others.items())
    told_frames = [
        (length if verdicts[s].open else not_open(length, verdicts[s]), value)
        for (length, value), s in zip(lengths["choices"], longer, strict=True)
    ]
    clips = _clips(prompt, lines, seeds)
    lacks = _lacks_picture(preset, held)
    truth = truth_of(engine, preset, here, verdicts[here], times[here], clips, lacks)
    return [
        gr.Radio(told, value=size) if fresh else gr.Radio(told),
        gr.Radio(told_frames, value=long) if fresh else gr.Radio(told_frames),
        style + truth_html(truth, model, here),
        _button(truth),
    ]


def _clips(prompt: Chosen, lines: bool, seeds: Chosen) -> int:
    """1 also where that can't be told: the press says what is wrong."""
    try:
        return max(1, count({"prompt": prompt}, lines, seeds))
    except HeadroomError:
        return 1


def _button(truth: Truth) -> gr.Button:
    return gr.Button(say(truth.label), interactive=truth.step is not Step.NONE)


def not_open(length: str, verdict: Verdict) -> str:
    return say(Text("generate.length_not_open", length=length, verdict=verdict.word.text))


def chosen(engine: Engine, model: str, size: Size, held: Chosen = "") -> list[Any]:
    """Updates for what ``judged`` refreshes, with both radios set to ``size``."""
    value = f"{size.height}×{size.width}"
    sizes, lengths, *rest = judged(engine, model, value, size.frames, held=held)
    radios = gr.Radio(sizes.choices, value=value), gr.Radio(lengths.choices, value=size.frames)
    return [*radios, *rest]


def brought_back(engine: Engine, request: ClipRequest) -> tuple[list[Any], list[Any]]:
    """Updates for ``Controls.whole()``, and for ``Foot.judged()``.

    A size or length that isn't on offer becomes a choice of its own, and stays one while it is
    chosen.
    """
    held = held_of(request)
    sizes, lengths, *rest = chosen(engine, request.model, request.size, held)
    model = gr.Dropdown(model_choices(engine), value=request.model)
    seed = "" if request.seed == RANDOM_SEED else str(request.seed)
    return [as_typed(request.prompt), model, sizes, lengths, seed, held], rest


def refusal_html(error: HeadroomError) -> str:
    """The refused fields, one sentence each, near the button that was pressed."""
    lines: list[Said] = [error.text]
    if isinstance(error, RequestError):
        lines = [problem.sentence for problem in error.problems]
    text = "".join(f"<p>{html.escape(say(line))}</p>" for line in lines)
    return f'<div class="refusal" role="alert">{text}</div>'


def cancel_current(engine: Engine, shown: object = "") -> None:
    """Cancel the job that the stage shows, even if another one runs by now; where it shows none,
    what runs, else what is next. Nothing to cancel is no error."""
    jobs, number = engine.jobs, whole(shown)
    if number is not None and jobs.has(number):
        engine.cancel(number)
        return
    job = jobs.running() or next(iter(jobs.waiting(1)), None)
    if job is not None:
        engine.cancel(job.id)
