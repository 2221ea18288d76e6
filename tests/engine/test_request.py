"""Requests: every refusal names the field and the nearest value that would be taken."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.presets import load_presets
from engine.request import ClipRequest, Problem, RequestError, Size

PRESETS = load_presets()


def check(**fields: object) -> ClipRequest:
    return ClipRequest.check({"prompt": "a red ball", **fields}, PRESETS)


def refused(**fields: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check(**fields)
    return caught.value


def test_what_is_left_out_comes_from_the_model() -> None:
    request = check()
    assert request == ClipRequest("a red ball", 128, 128, 17, -1, "wan-tiny")
    assert ClipRequest(**json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize(
    ("fields", "field", "nearest", "words"),
    [
        ({"height": 100}, "height", 96, "multiple of 16; the nearest is 96"),
        ({"width": 2000}, "width", 1280, "the maximum is 1280"),
        ({"width": 0}, "width", 16, "the minimum is 16"),
        ({"frames": 16}, "frames", 17, "4k+1"),
        ({"frames": 1000}, "frames", 121, "the maximum is 121"),
        ({"height": "tall"}, "height", 128, "isn't a whole number"),
        ({"height": 64.5}, "height", 128, "isn't a whole number"),
        ({"height": True}, "height", 128, "isn't a whole number"),
        ({"seed": -2}, "seed", 0, "or -1 for a random one; the nearest is 0"),
        ({"seed": 1.5}, "seed", 2, "the nearest is 2"),
        ({"seed": "7.2"}, "seed", 7, "the nearest is 7"),
        ({"seed": float("inf")}, "seed", 2**32 - 1, "the nearest is 4294967295"),
        ({"seed": "-1e400"}, "seed", 0, "the nearest is 0"),
        ({"seed": float("nan")}, "seed", None, "for a random one."),
        ({"seed": "x"}, "seed", None, "for a random one."),
        ({"seed": ""}, "seed", None, "for a random one."),
        ({"seed": 2**32}, "seed", 2**32 - 1, "the nearest is 4294967295"),
        ({"model": "wan-huge"}, "model", "wan-tiny", "no model 'wan-huge'"),
        ({"prompt": "  "}, "prompt", None, "Write a prompt first."),
        ({"prompt": None}, "prompt", None, "Write a prompt first."),
        ({"prompt": "\u200b \u2060\ufeff"}, "prompt", None, "Write a prompt first."),
        ({"prompt": "\u0301"}, "prompt", None, "Write a prompt first."),
        ({"prompt": "\u3164"}, "prompt", None, "Write a prompt first."),
        ({"prompt": "x" * 2001}, "prompt", "x" * 2000, "shorten it by 1"),
        ({"\ud800": 1}, "\\ud800", None, "no such field"),
        ({"prompt": "a\x00b"}, "prompt", "ab", "U+0000"),
        ({"prompt": "a\ud800"}, "prompt", "a", "U+D800"),
        ({"negative_prompt": "ugly"}, "negative_prompt", None, "no such field"),
    ],
)
def test_refusals(fields: dict[str, object], field: str, nearest: object, words: str) -> None:
    error = refused(**fields)
    assert [p.field for p in error.problems] == [field]
    assert error.problems[0].nearest == nearest
    sentence = str(error.problems[0].sentence)
    assert sentence.startswith(f"{field}: ") or sentence == "Write a prompt first."
    assert words in sentence


def test_all_refused_fields_are_told_at_once() -> None:
    error = refused(height=1, width=17, frames=2, seed="x")
    assert [p.field for p in error.problems] == ["height", "width", "frames", "seed"]
    assert str(error) == " ".join(str(p.sentence) for p in error.problems)


def test_programs_get_each_problem_with_its_id() -> None:
    told = refused(frames=16, prompt="").to_json()
    assert told["error"].startswith("Write a prompt first.")
    frames = told["problems"][1]
    assert json.loads(json.dumps(frames)) == {
        "field": "frames",
        "sentence": "frames: 16 isn't of the form 4k+1 (5, 9, 13, …); the nearest is 17.",
        "sentence_id": "request.not_so",
        "sentence_values": {
            "field": {"id": "request.field_frames", "values": {}},
            "value": 16,
            "rule": {"id": "request.of_the_form", "values": {}},
            "nearest": 17,
        },
        "nearest": 17,
    }


def test_forms_send_numbers_as_floats_and_digits() -> None:
    assert check(height=64.0, width="96", frames="9", seed="7").size == Size(64, 96, 9)


@given(
    st.dictionaries(
        st.sampled_from(["height", "width", "frames", "seed", "model", "prompt"]),
        st.one_of(
            st.integers(), st.floats(), st.text(max_size=30), st.none(), st.booleans(), st.binary()
        ),
    )
)
def test_nothing_but_a_refusal_comes_out_of_nonsense(raw: dict[str, object]) -> None:
    problems: tuple[Problem, ...] = ()
    request = check()
    try:
        request = ClipRequest.check(raw, PRESETS)
    except RequestError as error:
        problems = error.problems
    for problem in problems:
        if problem.field in ("height", "width", "frames", "seed"):
            check(**{problem.field: problem.nearest})  # the offered value is really valid
    assert request.height % 16 == request.width % 16 == 0
    assert request.frames % 4 == 1
    assert -1 <= request.seed < 2**32


def test_tokens_are_the_transformers_sequence_length() -> None:
    assert Size(480, 832, 81).tokens == 32760
    assert Size(720, 1280, 81).tokens == 75600
