"""The page's presets: from the form and back into it, and what is said where something is gone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

from engine.engine import Engine
from engine.pipelines import is_here
from engine.request import SEED_LIMIT
from engine.saved import Saved, SavedSettings
from tests.support.handlers import handler
from ui.page import build_page
from ui.tabs.saved import Undo, usable

HOSTILE = "<img src=x onerror=alert(1)>"
# Model, size, frames, seed, clips of each, and what follows: frames a second and a shorter side.
FORM = ("scripted", "32×48", 5, "7", 2, 24, 1080)
DRAFT = Saved("Draft", "scripted", 32, 48, 5, 7, 2, 24, 1080)


class Presets:
    """The handlers of one page, by name."""

    def __init__(self, engine: Engine) -> None:
        page = build_page(engine)
        self.kept = SavedSettings(engine.jobs.store)
        self.pick: Callable[..., Any] = handler(page, "saved", "input")
        self.save, self.rename, self.delete, self.undo = (
            handler(page, f"saved-{name}") for name in ("save", "rename", "delete", "undo")
        )


@pytest.fixture
def presets_of(engine: Engine) -> Presets:
    return Presets(engine)


def names(listed: Any) -> list[str]:
    return [name for name, _ in listed.choices]


def test_what_the_form_holds_is_saved_and_comes_back(presets_of: Presets) -> None:
    listed, said, mark, last, undo = presets_of.save(" Draft ", *FORM)
    assert (names(listed), listed.value) == (["Presets", "Draft"], "Draft")
    assert "Saved as “Draft”." in said
    assert (last, undo.visible) == (Undo("Draft", None), True)
    assert presets_of.kept.all() == (DRAFT,)
    kept, said, again, name, model, size, frames, *rest = presets_of.pick(
        "Draft", "wan-tiny", "128×128", 17
    )
    *rest, truth, press = rest
    assert kept == gr.skip()
    assert "Preset “Draft” is set." in said
    assert (model.value, size.value, frames.value, *rest) == FORM
    assert name == "Draft"
    assert "class='truth" in truth
    assert press.value
    assert again == mark, "the form holds what was saved"
    assert json.loads(mark) == list(FORM)


def test_a_drawn_seed_stays_drawn(presets_of: Presets) -> None:
    presets_of.save("Draft", "scripted", "32×48", 5, "", 1, None, 77)
    assert presets_of.kept.get("Draft").seed == -1
    *_, seed, _each, smooth, side, _truth, _press = presets_of.pick("Draft", "scripted", "32×48", 5)
    assert seed == ""
    assert (smooth, side) == (0, 0), "what isn't offered is none of it"


@pytest.mark.parametrize(
    ("name", "form", "says"),
    [
        ("", FORM, "The preset has no name. Write one"),
        ("x" * 41, FORM, "41 characters"),
        ("a", ("scripted", "33×48", 5, "7", 2, 0, 0), "isn&#x27;t a multiple of 16"),
        ("a", ("scripted", "32×48", 5, str(SEED_LIMIT), 2, 0, 0), "seed: "),
        ("a", ("scripted", "32×48", 5, "7", 0, 0, 0), "Seeds per prompt: &#x27;0&#x27;"),
        ("a", ("scripted", None, None, "seven", None, None, None), "seed: "),
    ],
)
def test_what_cant_be_saved_is_told_and_changes_nothing(
    presets_of: Presets, name: str, form: tuple[Any, ...], says: str
) -> None:
    listed, said, *rest = presets_of.save(name, *form)
    assert says in said
    assert [listed, *rest] == [gr.skip()] * 4
    assert presets_of.kept.all() == ()


def test_names_are_escaped_wherever_they_are_said(presets_of: Presets) -> None:
    for said in (
        presets_of.save(HOSTILE, *FORM)[1],
        presets_of.pick(HOSTILE, "scripted", "32×48", 5)[1],
        presets_of.rename(HOSTILE, f"{HOSTILE}2")[1],
        presets_of.rename(f"{HOSTILE}3", HOSTILE)[1],
        presets_of.delete(f"{HOSTILE}2")[1],
    ):
        assert "<img" not in said
        assert "&lt;img" in said


def test_every_change_can_be_undone(presets_of: Presets) -> None:
    presets_of.save("Draft", *FORM)
    before = presets_of.kept.all()
    acts: tuple[Callable[[], list[Any]], ...] = (
        lambda: presets_of.save("draft", *FORM[:4], 5, *FORM[5:]),
        lambda: presets_of.save("Another", *FORM),
        lambda: presets_of.rename("Draft", "Night"),
        lambda: presets_of.delete("Draft"),
    )
    for act in acts:
        *_, last, undo = act()
        assert undo.visible
        assert presets_of.kept.all() != before
        *_, last, undo = presets_of.undo(last)
        assert (last, undo.visible) == (None, False)
        assert presets_of.kept.all() == before
    assert "any more" in presets_of.undo(Undo("gone", None))[1], "another tab was quicker"


def test_a_name_that_is_gone_says_so_and_the_list_is_renewed(presets_of: Presets) -> None:
    presets_of.kept.save(DRAFT)
    listed, said, mark, *rest = presets_of.pick("Gone", "scripted", "32×48", 5)
    assert "no preset named “Gone” any more" in said
    assert names(listed) == ["Presets", "Draft"]
    assert mark == ""
    assert rest == [gr.skip()] * len(rest)


def test_no_choice_tells_nothing(presets_of: Presets) -> None:
    """A list that loses the focus fires it as well, and would wipe what another button answered."""
    told = presets_of.pick("", "scripted", "32×48", 5)
    assert told == [gr.skip()] * len(told)


# ---- what is gone ----------------------------------------------------------------------------

NOW = {"model": "scripted", "height": "32", "width": "48", "frames": 5}


def test_a_model_that_is_gone_leaves_the_forms_and_the_rest_is_set(engine: Engine) -> None:
    request, missing = usable(engine, replace(DRAFT, model="of-before", height=64), NOW)
    assert (request.model, request.height, request.frames, request.seed) == ("scripted", 64, 5, 7)
    assert str(missing) == (
        "Its model, of-before, isn't here any more, so the model stays as it was."
    )


def test_a_model_that_isnt_installed_is_as_one_that_is_gone(engine: Engine) -> None:
    large = engine.presets.models["wan2.1-t2v-14b-fp8"]
    if is_here(large):
        pytest.skip("LightX2V is installed here")
    saved = replace(DRAFT, model=large.id, height=480, width=832, frames=81)
    request, missing = usable(engine, saved, NOW)
    assert request.model == "scripted"
    assert large.name in str(missing)
    assert "so another size is chosen" in str(missing), "scripted ends at 512"
    assert (request.height, request.width, request.frames) == (32, 48, 81)


def test_a_size_or_length_that_is_gone_is_named(engine: Engine) -> None:
    request, missing = usable(engine, replace(DRAFT, height=4096, frames=83), NOW)
    assert (request.height, request.width, request.frames) == (32, 48, 5)
    assert str(missing) == (
        "Scripted doesn't make 48 × 4096, so another size is chosen. "
        "Scripted doesn't make 83 frames, so another length is chosen."
    )
    others = {**NOW, "model": "wan-tiny", "height": "128", "width": "128"}
    request, _ = usable(engine, replace(DRAFT, height=4096), others)
    assert (request.height, request.width) == (32, 48), "the model's own, not another model's"


def test_a_size_that_is_offered_no_more_is_a_choice_of_its_own(presets_of: Presets) -> None:
    presets_of.kept.save(replace(DRAFT, height=96))
    _, said, _, _, _, size, *_ = presets_of.pick("Draft", "scripted", "32×48", 5)
    assert said.count("<p") == 1
    assert size.value == "96×48"
    assert "96×48" in [value for _, value in size.choices]
