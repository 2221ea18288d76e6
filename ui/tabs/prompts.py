"""Help with the prompt: ideas to begin with, a language model that improves what is there, and
which words the tiny model can't know.

Nothing here takes a typed prompt away: what is replaced is kept, and "Back to mine" brings it back.
"""

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from engine.engine import Engine
from engine.pipelines import family_of
from engine.presets import ModelPreset
from engine.prompts.ideas import Ideas, load_ideas
from engine.text import Text, listed
from ui.tabs import improve
from ui.tabs.choices import preset_of
from ui.wiring import QUIET, Chosen
from ui.wording import say

PICK = "Pick an idea …"
KEPT = 20  # prompts that a tab keeps
_LIST: dict[str, Any] = {"show_label": False, "container": False, "filterable": False}


# ---- what is kept of the user's prompts ----------------------------------------------------


@dataclass(frozen=True)
class History:
    """One tab's prompts. ``kept``: replaced ones of the user, the last at the end. ``given``:
    suggestions that were used, which are nobody's own until they are edited."""

    kept: tuple[str, ...] = ()
    given: tuple[str, ...] = ()

    def replaced(self, current: str, ideas: frozenset[str]) -> "History":
        """After ``current`` had to make room for something else."""
        if not self._own(current, ideas):
            return self
        others = tuple(text for text in self.kept if text != current)
        return replace(self, kept=(*others, current)[-KEPT:])

    def updates(self, text: str) -> list[Any]:
        """What puts ``text`` into the prompt, with this history and its button beside it."""
        return [text, self, gr.Button(visible=bool(self.kept))]

    def back(self, current: str, ideas: frozenset[str]) -> tuple[str, "History"]:
        """The prompt that was replaced last; an edited idea in its place goes to the other end, so
        that it comes round again."""
        if not self.kept:
            return current, self
        *others, last = self.kept
        if self._own(current, ideas) and current != last:
            others = [current, *(text for text in others if text != current)]
        return last, replace(self, kept=tuple(others))

    def gave(self, suggestion: str) -> "History":
        return replace(self, given=(*self.given, suggestion)[-KEPT:])

    def _own(self, text: str, ideas: frozenset[str]) -> bool:
        return bool(text.strip()) and text not in ideas and text not in self.given


# ---- the row below the prompt --------------------------------------------------------------


@dataclass(frozen=True)
class PromptHelp:
    """The row below the prompt, and the panel that its third button opens."""

    theme: gr.Dropdown
    idea: gr.Dropdown
    opener: gr.Button
    back: gr.Button
    panel: improve.Panel
    history: gr.State


def build_help(preset: ModelPreset) -> PromptHelp:
    """One row, and a panel below it that is closed until somebody wants it."""
    choices = idea_choices(load_ideas(), preset, "")
    with gr.Row(elem_id="prompt-help"):
        theme = gr.Dropdown(
            **choices[0], label="Theme of the ideas", elem_id="idea-theme", **_LIST, min_width=150
        )
        idea = gr.Dropdown(**choices[1], label="Ideas", elem_id="idea", **_LIST, min_width=170)
        opener = gr.Button("Improve …", elem_id="improve-open", min_width=100, scale=0)
        back = gr.Button(
            "Back to mine", elem_id="prompt-back", min_width=130, scale=0, visible=False
        )
    return PromptHelp(theme, idea, opener, back, improve.build_panel(), gr.State(History()))


# ---- ideas ---------------------------------------------------------------------------------


def idea_choices(
    ideas: Ideas, preset: ModelPreset, wanted: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both lists for a model, at the theme ``wanted`` if it has that; hidden where it has none."""
    themes, theme = ideas.themes(preset), ideas.theme(preset, wanted)
    names = [(one.name.capitalize(), one.name) for one in themes]
    prompts = theme.prompts if theme else ()
    return (
        {"choices": names, "value": theme.name if theme else None, "visible": bool(themes)},
        {
            "choices": [(PICK, ""), *((idea.name, idea.text) for idea in prompts)],
            "value": "",
            "visible": bool(themes),
        },
    )


def put_into(
    prompt: gr.Textbox, parts: PromptHelp, buttons: Iterable[tuple[gr.Button, str]]
) -> None:
    """Have each button put its text into ``prompt``; a typed one is kept, as with the ideas."""
    texts = load_ideas().texts

    def put(text: str) -> Callable[[str, History], list[Any]]:
        def instead(current: str, history: History) -> list[Any]:
            return history.replaced(current, texts).updates(text)

        return instead

    changed = [prompt, parts.history, parts.back]
    for button, text in buttons:
        button.click(put(text), [prompt, parts.history], changed, **QUIET)


def wire(engine: Engine, parts: PromptHelp, prompt: gr.Textbox, model: gr.Dropdown) -> None:
    """Connect all of it to the prompt and the chosen model."""
    ideas = load_ideas()
    texts = ideas.texts

    def follow(name: Chosen, theme: Chosen) -> list[Any]:
        preset = preset_of(engine.presets, name)
        return [gr.Dropdown(**one) for one in idea_choices(ideas, preset, str(theme or ""))]

    def turn(name: Chosen, theme: Chosen) -> Any:
        fields = idea_choices(ideas, preset_of(engine.presets, name), str(theme or ""))[1]
        return gr.Dropdown(choices=fields["choices"], value=fields["value"])

    def pick(text: str | None, current: str, history: History) -> list[Any]:
        if not text:
            return [gr.skip()] * 4
        return [*history.replaced(current, texts).updates(text), ""]

    def use(made: tuple[str, str], current: str, history: History) -> list[Any]:
        if not made[1]:
            return [gr.skip()] * 3
        return history.replaced(current, texts).gave(made[1]).updates(made[1])

    def back(current: str, history: History) -> list[Any]:
        text, history = history.back(current, texts)
        return history.updates(text)

    both, changed = [parts.theme, parts.idea], [prompt, parts.history, parts.back]
    model.change(follow, [model, parts.theme], both, trigger_mode="multiple", **QUIET)
    parts.theme.input(turn, [model, parts.theme], parts.idea, **QUIET)
    # Not ``select``: that one doesn't hear of the Enter key.
    parts.idea.input(pick, [parts.idea, prompt, parts.history], [*changed, parts.idea], **QUIET)
    parts.panel.use.click(use, [parts.panel.suggestion, prompt, parts.history], changed, **QUIET)
    parts.back.click(back, [prompt, parts.history], changed, **QUIET)
    improve.wire_panel(engine, parts.panel, parts.opener, prompt, model)


def vocabulary_hint(prompt: str, preset: ModelPreset) -> str:
    """Which words of ``prompt`` the tiny model can't know, and which it does; "" where all is well.

    The big models take any words; only the CPU default lives in a small world.
    """
    vocabulary = family_of(preset).vocabulary
    if vocabulary is None:
        return ""
    strange = vocabulary.unknown_words(prompt)[:6]
    if not strange:
        return ""
    quoted = listed(*(f"“{word}”" for word in strange))
    hint = Text("vocabulary.unknown", model=preset.name, words=quoted)
    if len(strange) > 1:
        hint = Text("vocabulary.unknown_several", model=preset.name, words=quoted)
    said = html.escape(say(hint))
    groups = say(Text("vocabulary.between")).join(
        say(
            Text(
                "vocabulary.group",
                name=Text(f"vocabulary.group_{name}"),
                words=f"<span translate='no'>{html.escape(', '.join(words))}</span>",
            )
        )
        for name, words in vocabulary.known_words().items()
    )
    return (
        f"<div class='hint' role='status'>{said} <details><summary>"
        f"{say(Text('vocabulary.what_it_knows'))}</summary>{groups}</details></div>"
    )
