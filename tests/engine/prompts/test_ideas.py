"""Ideas: the file's mistakes are told with their line, and each prompt can be made as it is."""

import shutil
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.pipelines.wan_tiny.vocabulary import parse, unknown_words
from engine.pipelines.wan_tiny.words import COLOURS
from engine.preset_file import PresetError
from engine.presets import Presets
from engine.prompts.ideas import Ideas, load_ideas
from engine.request import ClipRequest


@pytest.fixture(scope="module")
def ideas() -> Ideas:
    return load_ideas()


def test_every_prompt_is_a_valid_request_of_its_models(ideas: Ideas, presets: Presets) -> None:
    for model, preset in presets.models.items():
        for theme in ideas.themes(preset):
            for idea in theme.prompts:
                image = {"image": "0" * 64} if preset.begins_with_picture else {}
                request = ClipRequest.check({"prompt": idea.text, "model": model, **image}, presets)
                assert request.prompt == idea.text
    assert ideas.themes(presets.models["scripted"]) == ()
    assert ideas.theme(presets.models["scripted"], "people") is None


def test_the_big_models_have_six_themes_in_the_form_that_wan_follows(
    ideas: Ideas, presets: Presets
) -> None:
    themes = ideas.themes(presets.models["wan2.1-t2v-14b-fp8"])
    assert len(themes) == 6
    for theme in themes:
        assert 4 <= len(theme.prompts) <= 6
        for idea in theme.prompts:
            assert idea.title
            assert 40 <= len(idea.text.split()) <= 100, idea.title
            said = idea.text.lower()
            assert "camera" in said, idea.title
            assert any(word in said for word in ("light", "lit", "sun", "dawn")), idea.title
    texts = [idea.text for theme in themes for idea in theme.prompts]
    assert set(texts) < ideas.texts
    assert len(texts) == len(set(texts))


def test_wan_tiny_knows_every_word_and_what_moves(ideas: Ideas, presets: Presets) -> None:
    themes = ideas.themes(presets.models["wan-tiny"])
    assert len(themes) == 4
    for theme in themes:
        for idea in theme.prompts:
            assert unknown_words(idea.text) == (), idea.text
            assert any(subject.motion != "still" for subject in parse(idea.text).subjects)


def test_with_a_picture_its_prompts_leave_the_looks_to_it(ideas: Ideas, presets: Presets) -> None:
    themes = ideas.themes(presets.models["wan-tiny-i2v"])
    assert len(themes) == 4
    for theme in themes:
        for idea in theme.prompts:
            assert unknown_words(idea.text) == (), idea.text
            assert not set(idea.text.split()) & set(COLOURS), idea.text
            assert any(subject.motion != "still" for subject in parse(idea.text).subjects)


def test_without_prompts_for_a_picture_a_model_gets_its_familys(
    ideas: Ideas, presets: Presets
) -> None:
    model = presets.models["wan2.1-t2v-14b-fp8"]
    assert ideas.themes(model.model_copy(update={"task": "i2v"})) == ideas.themes(model)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("family: wan-tiny", "family: magic", "family"),
        ("family: wan-tiny", "family: wan2.1", "wan2.1, t2v is there more than once"),
        ("- name: animals", "- name: people", "people is there more than once"),
        ("- name: animals", "- nmae: animals", "nmae: Extra"),
        ("title: Fox in fresh snow", "title: " + "fox " * 11, "at most 40"),
        ("text: a red ball rolls left over green grass", "text: ''", "at least 1"),
        ("text: a red ball rolls left over green grass", 'text: "a\\tb"', "one line"),
        ("text: a red ball rolls left over green grass", 'text: " a"', "outer spaces"),
        ("text: a red ball rolls left over green grass", "text: " + "x" * 2001, "at most 2000"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    shutil.copy(PROJECT / "presets/prompts.yaml", tmp_path)
    file = tmp_path / "prompts.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(PresetError) as caught:
        load_ideas(tmp_path)
    assert f"{file}: line " in str(caught.value.sentence)
    assert words in str(caught.value.sentence)
    assert caught.value.remedy
