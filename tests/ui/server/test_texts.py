"""All texts of the page stand in the catalogue, in both languages, and nothing stale with them."""

import re

import pytest

from engine.home import PROJECT
from tests.support import texts
from tests.support.texts import HOLE, Found, all_texts, html_pieces, missing, shape, stale
from tests.support.texts_js import strings
from tests.support.texts_left_out import MODULES, NAMES, SAME
from ui.server.texts import FOLDER, catalogue

PLACEHOLDER = re.compile(r"\{\w+\}")


def test_every_text_has_a_translation() -> None:
    lacking = [f"{where}: {texts.written(text)}" for text, where in missing().items()]
    assert lacking == [], "write them into ui/texts/zh"


def test_no_translation_is_left_over() -> None:
    assert stale() == [], "nothing says these any more"


def test_the_extractor_finds_what_it_should() -> None:
    assert len(all_texts()) > 900


def test_values_are_the_same_on_both_sides() -> None:
    wrong = [
        english
        for english, chinese in catalogue().items()
        if sorted(PLACEHOLDER.findall(english)) != sorted(PLACEHOLDER.findall(chinese))
    ]
    assert wrong == []


def test_every_translation_is_one() -> None:
    """One of values and signs alone has none of the English words."""
    same = {text.replace("*", HOLE) for text in SAME}
    wrong = [
        english
        for english, chinese in catalogue().items()
        if shape(english) not in same
        and not re.search(r"[\u4e00-\u9fff]", chinese)
        and (not chinese or set(re.findall("[a-z]+", PLACEHOLDER.sub("", chinese))) - NAMES)
    ]
    assert wrong == []


def test_sentences_end_as_chinese_ones_do() -> None:
    """Half-width punctuation beside a Chinese sign is a slip."""
    slip = re.compile(r"[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(?!\w)|[,;] ?[\u4e00-\u9fff]")
    wrong = [chinese for chinese in catalogue().values() if slip.search(chinese)]
    assert wrong == []
    unended = [
        english
        for english, chinese in catalogue().items()
        if re.search(r"[a-z\ue000}]\.$", english) and chinese[-1] not in "。}…"
    ]
    assert unended == []


def test_the_files_can_be_read_by_people() -> None:
    for file in FOLDER.glob("*.yaml"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 400, file.name
        assert lines[0].startswith("#"), file.name


def test_words_in_style_sheets_have_a_chinese_rule() -> None:
    """texts.js sees no words that a style sheet writes."""
    for file in (PROJECT / "ui/assets").rglob("*.css"):
        css = file.read_text(encoding="utf-8")
        for selector in re.findall(r"^([^:\n][^{\n]*) \{ content: \"[^\"]*[A-Za-z]", css, re.M):
            assert f':lang(zh) {selector} {{ content: "' in css, selector


def test_what_is_left_out_exists() -> None:
    names = [path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("*/**/*.py")]
    for pattern in MODULES:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


# ---- the extractor itself ------------------------------------------------------------------


def found(source: str) -> list[str]:
    import ast

    collected = Found()
    texts._Python(collected, "ui/made_up.py").visit(ast.parse(source))
    return [texts.written(text) for text in collected.texts]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('x = "A plain sentence."', ["A plain sentence."]),
        ('x = "In two " "parts."', ["In two parts."]),
        ("x = f'It has {size(a)} of {b}.'", ["It has {v1} of {v2}."]),
        (
            'x = f\'{n} run{"s" if n > 1 else ""} here\'',
            ["{v1} runs here", "{v1} run here"],
        ),
        ("x = 'one way' if c else 'or two'", ["one way", "or two"]),
        ("x = f'<p>One <b>two</b> {three} four.</p>'", ["One", "two", "{v1} four."]),
        ("x = '<p title=\"A tip\">See <code>not this</code></p>'", ["A tip", "See"]),
        ("x = '<b translate=no>Nor this</b> but that'", ["but that"]),
        ("x = f'{f(\"inner words\")} and more'", ["{v1} and more", "inner words"]),
        ("x = 'two words' + y", ["two words{v1}"]),
        ("log.info('not this one')", []),
        ("def f():\n    'Not this one.'\n    return 'But this.'", ["But this."]),
        ("gr.Button('Go')", ["Go"]),
        ("x = 'identifier'", []),
        ("x = d['not this one']", []),
    ],
)
def test_texts_are_found_in_python(source: str, said: list[str]) -> None:
    assert sorted(found(source)) == sorted(said)


def test_texts_are_found_in_javascript() -> None:
    source = """
    // 'not this one'
    const a = "One", b = 'Two \\' quotes'; /* nor "this" */
    const re = /['"]/g;
    say(`It has ${n === 1 ? "1 file" : `${n} files`}, ${n > 1 ? "all" : "none"}`);
    """
    assert strings(source, "*") == [
        "One",
        "Two ' quotes",
        "1 file",
        "* files",
        "It has *, all",
        "It has *, none",
    ]


def test_markup_is_split_at_its_tags() -> None:
    assert html_pieces("a<br>b<img alt='c d'><script>e</script>") == ["a", "b", "c d"]
