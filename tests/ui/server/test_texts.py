"""Chinese for all that the page is built with, nothing stale, and no sentence left in the code."""

import re
import string
from pathlib import Path

import pytest

from engine.home import PROJECT
from tests.support.texts import built, english_in, html_pieces, missing, stale, unconverted
from tests.support.texts_js import calls, strings
from tests.support.texts_left_out import MODULES, NAMES
from ui.server.catalogue import FOLDER, catalogue
from ui.server.texts import scripts

SCRIPTS = sorted((PROJECT / "ui/assets").rglob("*.js"))


def test_what_the_page_is_built_with_is_in_chinese() -> None:
    lacking = [f"{where}: {text}" for text, where in missing().items()]
    assert lacking == [], "write them into ui/texts/zh"


def test_it_is_found() -> None:
    assert {"Generate", "Search the prompts", "Your clips", "Copy report"} <= set(built())
    assert len(built()) > 150


def test_no_translation_is_left_over() -> None:
    assert stale() == [], "nothing says these any more"


def test_no_translation_has_values() -> None:
    assert [english for english in catalogue() if re.search(r"\{\w+\}", english)] == []


def test_no_sentence_is_left_in_the_code() -> None:
    """Of the modules whose English a reader can meet: tests/support/texts_left_out.py."""
    assert unconverted() == [], "make texts of them, or built-in words with Chinese in ui/texts/zh"


def test_every_translation_is_one() -> None:
    """One of values and signs alone has none of the English words."""
    wrong = [
        english
        for english, chinese in [*catalogue().items(), *scripts("zh").items()]
        if not re.search(r"[\u4e00-\u9fff]", chinese)
        and (not chinese or set(re.findall("[a-z]+", re.sub(r"\{\w+\}", "", chinese))) - NAMES)
    ]
    assert wrong == []


def test_sentences_end_as_chinese_ones_do() -> None:
    """Half-width punctuation beside a Chinese sign is a slip."""
    slip = re.compile(r"[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(?!\w)|[,;] ?[\u4e00-\u9fff]")
    wrong = [zh for zh in [*catalogue().values(), *scripts("zh").values()] if slip.search(zh)]
    assert wrong == []
    pairs = [*catalogue().items(), *((scripts("en")[id], zh) for id, zh in scripts("zh").items())]
    unended = [en for en, zh in pairs if re.search(r"[a-z}]\.$", en) and zh[-1] not in "。}…"]
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
        for selector in re.findall(
            r"^([^:\n][^{\n]*) \{ content: \"(?!Headroom\")[^\"]*[A-Za-z]", css, re.M
        ):
            assert f':lang(zh) {selector} {{ content: "' in css, selector


def test_what_is_left_out_exists() -> None:
    names = [path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("*/**/*.py")]
    for pattern in MODULES:
        assert any(re.fullmatch(pattern, name) for name in names), pattern


# ---- what scripts say ------------------------------------------------------------------------


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_say_what_is_in_the_table(file: Path) -> None:
    """Ids that are there, with the values that their texts have."""
    source = file.read_text(encoding="utf-8")
    table = scripts("en")
    assert [s for s in strings(source, "*") if s.startswith("script.") and s not in table] == []
    for id, given in calls(source):
        assert given == _values(table[id]), id


def _values(template: str) -> set[str]:
    """A template's names; the browser fills in no other kind of placeholder."""
    names = set()
    for _, name, written, converted in string.Formatter().parse(template):
        if name is not None:
            assert (written, converted) == ("", None), template
            names.add(name)
    return names


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_have_no_english_of_their_own(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    english = re.compile(r"[A-Z“*].*[A-Za-z*] [a-z].*|[A-Z][a-z]+")
    said = {text for text in strings(source, "*") if english.fullmatch(text)}
    things = {"Headroom", "Notification", "Files"}
    assert said <= things | {"Ctrl", "Del", "Enter", "Esc", "Escape"}, "names of things"


# ---- the extractor itself ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('x = "A plain sentence."', ["A plain sentence."]),
        ('x = "In two " "parts."', ["In two parts."]),
        ("x = f'It has {size(a)} of {b}.'", ["It has * of *."]),
        ("x = 'one way' if c else 'or two'", ["one way", "or two"]),
        ("x = f'<p>One <b>two</b> {three} four.</p>'", ["* four.", "One"]),
        ("x = '<p title=\"A tip\">See <code>not this</code></p>'", ["A tip", "See"]),
        ("x = '<b translate=no>Nor this</b> but that'", ["but that"]),
        ("x = f'{f(\"inner words\")} and more'", ["* and more", "inner words"]),
        ("x = 'two words' + y", ["two words*"]),
        ("log.info('not this one')", []),
        ("def f():\n    'Not this one.'\n    return 'But this.'", ["But this."]),
        ("gr.Button('Go')", ["Go"]),
        ("x = 'identifier'", []),
        ("x = d['not this one']", []),
    ],
)
def test_texts_are_found_in_python(source: str, said: list[str]) -> None:
    found = [text.replace("\ue000", "*") for _, text in english_in(source, single=True)]
    assert sorted(found) == sorted(said)


def test_texts_are_found_in_javascript() -> None:
    source = """
    // 'not this one'
    const a = "One", b = 'Two \\' quotes'; /* nor "this" */
    const re = /['"]/g;
    say(`It has ${n === 1 ? "1 file" : `${n} files`}`);
    """
    assert strings(source, "*") == ["One", "Two ' quotes", "1 file", "* files", "It has *"]
    assert list(calls('headroomText("a.b", { n: f(x, 4), what }) + headroomText("c")')) == [
        ("a.b", {"n", "what"}),
        ("c", set()),
    ]


def test_markup_is_split_at_its_tags() -> None:
    assert html_pieces("a<br>b<img alt='c d'><script>e</script>") == ["a", "b", "c d"]
