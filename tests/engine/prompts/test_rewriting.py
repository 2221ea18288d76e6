"""What of a language model's answer is a prompt."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipelines.wan_tiny.vocabulary import EXAMPLES, known_words
from engine.presets import Presets
from engine.prompts.rewriting import clean, instruction
from engine.request import PROMPT_LIMIT

BALL = "A red ball rolls."


@pytest.mark.parametrize(
    "answer",
    [
        BALL,
        f'"{BALL}"',
        f"“{BALL}”",
        f"**{BALL}**",
        f"```\n{BALL}\n```",
        f"Here it is:\n```text\n{BALL}\n```\nEnjoy!",
        f"```text\n{BALL}",
        f"<think>What would\na camera see?</think>\n\n{BALL}",
        f"<THINK>Hm.</THINK>{BALL}",
        f"swallowed the tag that opens</think>{BALL}",
        f"<think>a</think><think>b</think> '{BALL}'",
        f"Prompt: {BALL}",
        f'**Improved prompt:** "{BALL}"',
        f"Revised Video Prompt: {BALL}",
        "A red\n\nball \x00rolls\x1b.\ufeff",
        "A red \u202eball\u202c rolls.",
    ],
)
def test_only_the_prompt_is_left(answer: str) -> None:
    assert clean(answer) == BALL


def test_what_belongs_to_the_prompt_stays() -> None:
    for text in (
        "'Open' and 'closed' say two signs: 'left' and 'right'",
        'A sign reads "Open"',
        "Prompt delivery by a red drone",
        "一只红色的球在草地上滚动。",
        "A family 👨\u200d👩\u200d👧 waves",
    ):
        assert clean(text) == text


@pytest.mark.parametrize(
    "answer", ["", "  \n", "<think>for ever and ever", '""', "```\n```", "****"]
)
def test_nothing_is_nothing(answer: str) -> None:
    assert clean(answer) == ""


def test_too_long_is_cut_at_a_sentence_else_at_a_word() -> None:
    sentences = "A ball rolls over the grass. " * 200
    assert clean(sentences).endswith("grass.")
    assert PROMPT_LIMIT - 40 < len(clean(sentences)) <= PROMPT_LIMIT
    words = "ball " * 1000
    assert clean(words).endswith("ball")
    assert len(clean("x" * 5000)) == PROMPT_LIMIT


def test_a_hostile_answer_costs_no_time() -> None:
    """All of these hold a million signs; none may be read again and again."""
    for answer in ("*" * 1_000_000, "<think" * 200_000, "<think>" * 150_000, "`" * 1_000_000):
        assert len(clean(answer)) <= PROMPT_LIMIT


@given(st.text(max_size=400))
def test_whatever_comes_the_result_can_be_a_prompt(answer: str) -> None:
    text = clean(answer)
    assert text == text.strip()
    assert len(text) <= PROMPT_LIMIT
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cs")]


def test_each_model_has_its_instruction(presets: Presets) -> None:
    big = instruction(presets.models["wan2.1-t2v-14b-int8"])
    for word in ("camera", "light", "style", "80 to 100 words", "video shot"):
        assert word in big
    tiny = instruction(presets.models["wan-tiny"])
    for words in known_words().values():
        assert all(word in tiny for word in words)
    assert EXAMPLES[0] in tiny
    assert "camera" not in tiny
