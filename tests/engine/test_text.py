"""Texts before they are words: rendering, rows, and that tables and code agree."""

import ast
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.stages import STAGES
from engine.text import (
    LANGUAGES,
    NOTHING,
    FileSize,
    Memory,
    Text,
    TextsError,
    from_row,
    joined,
    listed,
    plain,
    programs,
    rendered,
    tables,
    to_row,
)
from engine.units import GIB
from ui.wording import FOLDERS

TABLE = tables(*FOLDERS)
BUSY = Text(
    "guard.others_hold",
    others=Memory(2 * GIB),
    device=Text("guard.the_ram"),
    holders=Text("guard.holders", names=listed(plain("blender"), plain("chrome"))),
    need=Memory(6 * GIB),
    left=Memory(5 * GIB),
)


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_a_text_becomes_words_in_either_language() -> None:
    assert str(BUSY) == (
        "Other programs use 2.0 GB of the RAM (blender, chrome). This size needs 6.0 GB plus a "
        "margin; only 5.0 GB is left."
    )
    assert rendered(BUSY, "zh", TABLE).startswith(
        "其他程序现在占用 内存 的 2.0 GB（blender、chrome）"
    )


def test_sentences_are_joined_as_each_language_does() -> None:
    both = joined(Text("guard.measure_it"), "", NOTHING, Text("guard.close_others"))
    assert rendered(both, "zh", TABLE) == (
        "请测量：用一次简短的真实运行来确认。请关闭不需要的程序，再重新生成。"
    )
    assert joined("", NOTHING) == NOTHING
    assert not NOTHING


@pytest.mark.parametrize("said", [BUSY, plain("as it is"), NOTHING, joined(BUSY, "more")])
def test_a_text_outlives_a_row_and_a_pipe(said: Text) -> None:
    assert str(from_row(to_row(said))) == str(said)
    assert pickle.loads(pickle.dumps(said)) == said


@pytest.mark.parametrize("kept", ["Cancelled.", "", '{"id": 5}', '{"id": "x"', '{"other": 1}'])
def test_words_that_a_version_before_kept_stay_words(kept: str) -> None:
    assert str(from_row(kept)) == kept


def test_programs_get_english_and_the_ids() -> None:
    told = programs("reason", Text("guard.open_measured", peak=Memory(GIB)))
    assert told == {
        "reason": "Measured on this machine: peak 1.0 GB.",
        "reason_id": "guard.open_measured",
        "reason_values": {"peak": "1.0 GB"},
    }
    assert programs("reason", plain("words")) == {"reason": "words"}


def test_an_unknown_id_and_a_missing_value_are_found() -> None:
    with pytest.raises(TextsError, match=r"no text guard\.never"):
        str(Text("guard.never"))
    with pytest.raises(TextsError, match="lacks the value 'peak'"):
        str(Text("guard.open_measured"))


def test_sizes_of_files_are_decimal() -> None:
    assert str(FileSize(22_300_000_000)) == "22.3 GB"


# ---- the tables and the code -------------------------------------------------------------------


def test_both_languages_have_the_same_placeholders() -> None:
    wrong = {id for id, texts in TABLE.items() if len({*map(frozenset, _names(texts))}) > 1}
    assert not wrong


def _names(texts: object) -> Iterator[set[str]]:
    assert isinstance(texts, dict)
    return (placeholders(texts[language]) for language in LANGUAGES)


def calls() -> Iterator[tuple[Path, ast.Call, list[str]]]:
    """Each ``Text(...)`` of the code, with the ids that it can have: "a.open_*" of an f-string."""
    for folder in ("engine", "ui"):
        for file in sorted((PROJECT / folder).rglob("*.py")):
            if file.name == "text.py":
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "Text" and node.args:
                    yield file, node, list(ids(node.args[0]))


def ids(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(value)):
            yield value
        case ast.IfExp(body=body, orelse=orelse):
            yield from ids(body)
            yield from ids(orelse)
        case ast.JoinedStr(values=values):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in values)
        case _:
            raise AssertionError(f"an id that can't be read: {ast.unparse(node)}")


def test_every_id_of_the_code_is_in_a_table_and_gets_its_values() -> None:
    wrong = []
    for file, call, found in calls():
        given = {keyword.arg for keyword in call.keywords}
        for id in found:
            shape = re.compile(re.escape(id).replace(r"\*", r"\w+"))
            known = [texts for name, texts in TABLE.items() if shape.fullmatch(name)]
            where = f"{file.relative_to(PROJECT)}:{call.lineno} {id}"
            if not known:
                wrong.append(f"{where}: no such id")
            if None not in given:
                wanted = set().union(*(placeholders(texts["en"]) for texts in known))
                if wanted - given or ("*" not in id and given - wanted):
                    wrong.append(f"{where}: {sorted(wanted ^ {str(g) for g in given})}")
    assert not wrong, "\n".join(wrong)


def test_every_id_of_the_tables_is_used() -> None:
    used = {id for _, _, found in calls() for id in found}
    shapes = [re.compile(re.escape(id).replace(r"\*", r"\w+")) for id in used]
    scripts = "".join(
        file.read_text(encoding="utf-8") for file in (PROJECT / "ui/assets").rglob("*.js")
    )
    unused = [
        id
        for id in TABLE
        if not any(shape.fullmatch(id) for shape in shapes) and f'"{id}"' not in scripts
    ]
    assert not unused


def test_every_stage_has_its_words() -> None:
    """Their ids are put together, so that no look for literal ones finds a missing one."""
    for stage in STAGES:
        for kind in ("plan.doing_", "worker.stage_", "pipelines.stage_"):
            assert str(Text(f"{kind}{stage}"))
        for kind in ("wording.stage_", "receipt_table.stage_"):
            assert f"{kind}{stage}" in tables(*FOLDERS)


def test_no_id_stands_twice_in_a_table() -> None:
    for file in [
        *(PROJECT / "engine/texts").glob("*.yaml"),
        *(PROJECT / "ui/texts").glob("*.yaml"),
    ]:
        ids = re.findall(r"^([\w.]+):$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert sorted(ids) == sorted(set(ids)), file.name
