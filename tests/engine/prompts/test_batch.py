"""Batches: what one form makes, and what is refused before anything is queued."""

import pytest

from engine.presets import Presets
from engine.prompts.batch import MOST, BatchError, count, expand, single
from engine.prompts.variants import MANY
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
        ("{a|b|c}", MOST, f"{3 * MOST} clips"),
        ("{a|b}" * 9, 1, "512 clips; a batch can have 1 to 500. Use fewer prompts, variants"),
        ("{a|b}" * 40, 1, "1,000,000 clips or more"),
    ],
)
def test_nothing_and_too_much_are_sentences(
    presets: Presets, prompt: str, seeds: object, says: str
) -> None:
    with pytest.raises(BatchError, match=says):
        made(presets, prompt, seeds=seeds)


# ---- variants ------------------------------------------------------------------------------


def test_variants_multiply_with_lines_and_seeds(presets: Presets) -> None:
    assert made(presets, "a {red|blue} fox\nb", seeds=2) == [
        ("a red fox", 7),
        ("a blue fox", 7),
        ("b", 7),
        ("a red fox", 8),
        ("a blue fox", 8),
        ("b", 8),
    ]
    whole = made(presets, "{a|b}\nc", lines=False)
    assert whole == [("a\nc", 7), ("b\nc", 7)]


@pytest.mark.parametrize(
    ("prompt", "lines", "seeds", "clips"),
    [
        ("a {red|blue} fox", False, 3, 6),
        ("{a|b} {c|d}\n\ne", True, 2, 10),
        ("{a|b} {c|d}\n\ne", False, 2, 8),
        ("", False, 3, 0),
        (" \n", True, 3, 0),
        (None, True, 3, 0),
        (7, False, 3, 0),
        ("a", True, "4", 4),
        ("{a|b}" * 9, False, 1, 512),
        ("{a|b}" * 40, False, 500, MANY),
    ],
)
def test_the_number_is_known_before_anything_is_built(
    presets: Presets, prompt: object, lines: bool, seeds: object, clips: int
) -> None:
    raw = {**RAW, "prompt": prompt}
    assert count(raw, lines, seeds) == clips
    if 0 < clips <= MOST:
        assert len(expand(raw, lines, seeds, presets)) == clips


def test_what_cant_be_counted_is_refused_as_the_batch_is(presets: Presets) -> None:
    for work in (
        lambda raw, lines, seeds: count(raw, lines, seeds),
        lambda raw, lines, seeds: expand(raw, lines, seeds, presets),
    ):
        with pytest.raises(BatchError, match="'0' isn't a whole number"):
            work({**RAW, "prompt": "a"}, True, 0)
        with pytest.raises(RequestError, match=r"^Line 2: prompt: nothing closes the \{"):
            work({**RAW, "prompt": "{a|b}\n{c|d"}, True, 1)
        with pytest.raises(RequestError, match=r"^prompt: nothing closes"):
            work({**RAW, "prompt": "{c|d"}, False, 1)


def test_a_refused_variant_is_named(presets: Presets) -> None:
    with pytest.raises(RequestError, match=r"^Variant 2: prompt: 2001 characters are too many"):
        made(presets, "{a|" + "b" * 2001 + "}", lines=False)
    with pytest.raises(RequestError, match=r"^Line 3: Variant 1: prompt: 2002 characters"):
        made(presets, "a\n\n" + "b" * 2001 + "{a|b}")
    with pytest.raises(RequestError, match=r"^Variant 2: Write a prompt first"):
        made(presets, "{a|}", lines=False)


def test_where_one_clip_is_meant_several_are_refused(presets: Presets) -> None:
    assert single({**RAW, "prompt": r"\{a|b\}"}, presets).prompt == "{a|b}"
    with pytest.raises(BatchError, match=r"2 clips, and a queued clip is one\. Choose one"):
        single({**RAW, "prompt": "{a|b}"}, presets)
    with pytest.raises(RequestError, match="Write a prompt first"):
        single({**RAW, "prompt": " "}, presets)
