"""``{red|blue}``: what is a group, what is a character, and that a prompt comes back as it was."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.presets import Presets
from engine.prompts.batch import expand
from engine.prompts.variants import MANY, as_typed, parse
from engine.request import PROMPT_LIMIT, ClipRequest, RequestError

# Mostly what has a meaning, so that groups, escapes and halves of braces come about.
SIGNS = st.text(alphabet="{|}\\\n aé", max_size=24)


def combinations(typed: str) -> list[str]:
    template = parse(typed)
    prompts = list(template.prompts())
    assert len(prompts) == template.count
    return prompts


@pytest.mark.parametrize(
    ("typed", "prompts"),
    [
        ("a fox", ["a fox"]),
        ("", [""]),
        ("a {red|blue} fox", ["a red fox", "a blue fox"]),
        ("{a|b} {1|2}", ["a 1", "a 2", "b 1", "b 2"]),
        ("a {very |}fast car", ["a very fast car", "a fast car"]),
        ("{red | blue}", ["red ", " blue"]),
        ("{a|a}", ["a", "a"]),
        ("{a {b|c}|d}", ["a b", "a c", "d"]),
        ("{{a|b}|{c|d}}", ["a", "b", "c", "d"]),
        ("{|}", ["", ""]),
    ],
)
def test_every_combination_in_the_order_of_writing(typed: str, prompts: list[str]) -> None:
    assert combinations(typed) == prompts


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [
        ("red | blue", "red | blue"),
        ("a {red} fox", "a {red} fox"),
        ('{"subject": {"kind": "fox"}}', '{"subject": {"kind": "fox"}}'),
        (":{ and :}", ":{ and :}"),
        ("a fox :}", "a fox :}"),
        ("a fox :{", "a fox :{"),
        ("this | that :{", "this | that :{"),
        (":} this | that", ":} this | that"),
        (r"\{red\|blue\}", "{red|blue}"),
        (r"\{red|blue\}", "{red|blue}"),
        (r"C:\clips\fox \ \n", r"C:\clips\fox \ \n"),
        (r"\\{", r"\{"),
    ],
)
def test_what_is_no_group_is_what_it_looks_like(typed: str, prompt: str) -> None:
    assert combinations(typed) == [prompt]


def test_a_group_within_braces_that_are_none() -> None:
    assert combinations('{"colour": "{red|blue}"}') == ['{"colour": "red"}', '{"colour": "blue"}']
    assert combinations(r"{a\|b|\{c\}}") == ["a|b", "{c}"]


@pytest.mark.parametrize(
    ("typed", "says", "nearest"),
    [
        ("a {red|blue fox", "nothing closes the { at character 3", r"a \{red|blue fox"),
        ("red|blue} fox", "nothing opens the } at character 9", r"red|blue\} fox"),
        ("{ {a|b}", "nothing closes the { at character 1", r"\{ {a|b}"),
        ("{a|b} }", "nothing opens the } at character 7", r"{a|b} \}"),
        ("{a|{b c}", "nothing closes the { at character 1", r"\{a|{b c}"),
        ("{{a|b", "nothing closes the { at character 1", r"\{\{a\|b"),
    ],
)
def test_half_a_brace_beside_a_bar_is_a_sentence(typed: str, says: str, nearest: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(typed)
    (problem,) = refused.value.problems
    told = str(problem.sentence)
    assert told.startswith(f"prompt: {says}. Write variants as {{red|blue}}; ")
    assert told.endswith(r"a brace as a character is \{ or \}.")
    assert (problem.field, problem.nearest) == ("prompt", nearest)
    parse(nearest)


@given(SIGNS)
@example("{a|b}")
@example(r"\{")
@example("\\\\{a\\")
@example("{ {a|b}")
def test_a_prompt_typed_again_is_the_same_prompt(prompt: str) -> None:
    typed = as_typed(prompt)
    assert combinations(typed) == [prompt]
    if not set(prompt) & set("{|}"):
        assert typed == prompt, "nothing else gets a backslash"


@given(SIGNS)
def test_whatever_is_typed_its_prompts_can_be_had_again(typed: str) -> None:
    try:
        prompts = combinations(typed)
    except RequestError as refused:
        (problem,) = refused.problems
        parse(str(problem.nearest))
        return
    for prompt in prompts:
        assert combinations(as_typed(prompt)) == [prompt]


def written(option: str) -> str:
    """As a character each, whatever it is."""
    return "".join(f"\\{sign}" if sign in "{|}" else sign for sign in option)


@given(st.lists(st.lists(SIGNS, min_size=2, max_size=3), max_size=4))
def test_groups_multiply_as_nested_loops_do(groups: list[list[str]]) -> None:
    # A backslash before a sign of the group's own would be for that sign.
    groups = [[option.rstrip("\\") for option in options] for options in groups]
    typed = " and ".join("{" + "|".join(map(written, options)) + "}" for options in groups)
    wanted = [" and ".join(chosen) for chosen in itertools.product(*groups)]
    assert combinations(typed) == wanted


def test_a_stored_prompt_is_what_the_form_makes_of_it_again(presets: Presets) -> None:
    """With the check between them, which trims and normalizes."""
    for prompt in ("{red|blue} fox", r"\{a|b\}", "half { and | bar", "e\u0301 {|}"):
        stored = ClipRequest.check({"prompt": prompt, "model": "scripted"}, presets)
        raw = {**stored.to_json(), "prompt": as_typed(stored.prompt)}
        assert expand(raw, False, 1, presets) == [stored]


def test_counting_ends_where_nobody_means_it_and_builds_nothing() -> None:
    assert parse("{a|b}" * 9).count == 512
    assert parse("{a|b}" * 20).count == MANY
    assert parse("{a|b}" * 100_000).count == MANY
    assert parse("{a|" * 100_000 + "}" * 100_000).count == 100_001
    assert parse("{" * 100_000 + "a" + "}" * 100_000).count == 1


def test_as_deep_as_a_batch_may_be(presets: Presets) -> None:
    deep = "{a|" * 400 + "b" + "}" * 400
    requests = expand({"prompt": deep, "model": "scripted"}, False, 1, presets)
    assert [request.prompt for request in requests] == ["a"] * 400 + ["b"]


def test_what_is_typed_may_be_longer_than_a_prompt(presets: Presets) -> None:
    typed = "{" + "|".join(["x" * 900] * 3) + "}"
    assert len(typed) > PROMPT_LIMIT
    assert len(expand({"prompt": typed, "model": "scripted"}, False, 1, presets)) == 3
