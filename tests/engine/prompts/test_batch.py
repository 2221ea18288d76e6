"""Batches: what one form makes, and what is refused before anything is queued."""

import pytest

from engine.presets import Presets
from engine.prompts.batch import MOST, BatchError, expand
from engine.request import RANDOM_SEED, SEED_LIMIT, RequestError

RAW: dict[str, object] = {"model": "scripted", "seed": 7}


def made(
    presets: Presets, prompt: str, lines: bool = True, seeds: object = 1, **more: object
) -> list[tuple[str, int]]:
    requests = expand({**RAW, "prompt": prompt, **more}, lines, seeds, presets)
    return [(request.prompt, request.seed) for request in requests]


def test_every_line_with_every_seed_and_each_prompt_early(presets: Presets) -> None:
    assert made(presets, "a\n\n  b \n", seeds=2) == [("a", 7), ("b", 7), ("a", 8), ("b", 8)]


def test_without_lines_the_prompt_stays_whole(presets: Presets) -> None:
    assert made(presets, "a\nb", lines=False, seeds=2) == [("a\nb", 7), ("a\nb", 8)]


def test_drawn_seeds_are_drawn_for_each_and_the_last_seed_has_a_next(presets: Presets) -> None:
    drawn = made(presets, "a", seeds=3, seed=RANDOM_SEED)
    assert drawn == [("a", RANDOM_SEED)] * 3
    assert made(presets, "a", seeds=2, seed=SEED_LIMIT - 1)[1] == ("a", 0)


def test_a_refused_line_is_named(presets: Presets) -> None:
    with pytest.raises(RequestError, match=r"Line 2: prompt: 2001 characters"):
        made(presets, "a\n" + "b" * 2001)
    with pytest.raises(RequestError) as refused:
        made(presets, "a\n\x00")
    (problem,) = refused.value.problems
    assert (problem.sentence.id, problem.sentence.values["line"]) == ("prompts.line", 2)
    assert problem.sentence.values["said"].id == "request.odd_prompt"
    with pytest.raises(RequestError) as caught:
        made(presets, "a\nb", frames=6)
    assert "Line" not in str(caught.value), "it is true of every line"


def test_every_refused_line_is_named_by_its_place_in_the_text(presets: Presets) -> None:
    lines = ["a", "", "b" * 2001, "c", *["d" * 3000] * 8]
    with pytest.raises(RequestError) as refused:
        made(presets, "\n".join(lines))
    told = str(refused.value)
    assert "Line 3: prompt: 2001 characters" in told
    assert "Line 5: prompt: 3000 characters" in told
    assert "These lines have the same problem: 9, 10, 11, 12." in told
    assert "Line 4:" not in told


def test_a_line_of_nothing_that_shows_is_no_line(presets: Presets) -> None:
    assert made(presets, "a\n\u200b\u2060\n\u0301\nb") == [("a", 7), ("b", 7)]
    with pytest.raises(RequestError, match="Write a prompt first"):
        made(presets, "\u200b", lines=False)


def test_sixty_pasted_lines_are_sixty_clips(presets: Presets) -> None:
    lines = [f"{number} {'word ' * 30}".strip() for number in range(60)]
    assert [prompt for prompt, _ in made(presets, "\r\n".join(lines))] == lines


@pytest.mark.parametrize(
    ("prompt", "seeds", "says"),
    [
        ("\n \n", 1, "no prompt"),
        ("a", 0, f"Seeds per prompt: '0' isn't a whole number from 1 to {MOST}"),
        ("a", None, f"Seeds per prompt: '' isn't a whole number from 1 to {MOST}"),
        ("a\nb", -3, "Seeds per prompt: '-3' isn't"),
        ("a", 1.5, "Seeds per prompt: '1.5' isn't"),
        ("a", MOST + 1, f"Seeds per prompt: '{MOST + 1}' isn't"),
        ("a\nb", MOST, f"{2 * MOST} clips"),
    ],
)
def test_nothing_and_too_much_are_sentences(
    presets: Presets, prompt: str, seeds: object, says: str
) -> None:
    with pytest.raises(BatchError, match=says):
        made(presets, prompt, seeds=seeds)
