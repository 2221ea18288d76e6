"""README and docs say what the program does: their tables and sentences against the code."""

import ast
import re
from pathlib import Path

import pytest

from engine.commands.bench import run
from engine.commands.main import _parser
from engine.errors import ExitCode
from engine.guard.verdict import Word
from engine.home import PROJECT
from engine.plan.host_memory import host_need, parts, pinned_need
from engine.presets import load_presets
from engine.text import tables
from engine.units import GIB
from tests.tools.reliability import BEGIN, END, HEAD, rows
from ui.wording import FOLDERS

PAGES = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md"))]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
MEASURED = (PROJECT / "docs" / "measured.md").read_text(encoding="utf-8")
RELIABILITY = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_command_and_every_option_is_in_the_table() -> None:
    rows = dict(re.findall(r"^\| `(\w+)([^`]*)`", README, re.MULTILINE))
    commands = _parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert commands is not None
    assert set(rows) == set(commands)
    for name, command in commands.items():  # type: ignore[union-attr]
        options = {o for a in command._actions for o in a.option_strings if o.startswith("--")}
        assert options - {"--help"} == set(re.findall(r"--[a-z-]+", rows[name])), name


def test_every_part_of_the_benchmark_is_named() -> None:
    (row,) = re.findall(r"^\| `bench.*$", README, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == [*run.PARTS, run.MODEL]


def test_verdicts_and_exit_codes_are_told() -> None:
    for word in Word:
        assert f"| {word.value} |" in README
    for code in ExitCode:
        assert re.search(rf"\b{code.value} \w+", README), code


OTHERS = ("scripted", "smooth", "rife", "seedvr")  # no models that anybody chooses


def test_the_models_are_those_of_the_presets() -> None:
    """HEADROOM_PRESETS adds the tests' own model, which is no part of the product. A draft has its
    model's files and needs its card: one sentence stands for all."""
    table = dict(re.findall(r"^\| (wan[^ ]+) \| (.+) \|$", README, re.MULTILINE))
    every = {id: m for id, m in load_presets().models.items() if m.family not in OTHERS}
    models = {id: m for id, m in every.items() if m.draft_of is None}
    large = [id for id, m in models.items() if m.runs_on == "nvidia"]
    assert set(every) - set(models) == {f"{id}-draft" for id in large}
    assert "each also as a draft (`…-draft`)" in README
    assert set(table) == set(models)
    for id, preset in models.items():
        if preset.runs_on == "nvidia":
            total = sum(file.bytes for file in preset.weights) / 1e9
            least, limit = preset.memory.minimum_gib, preset.memory.impossible_below_gib
            card = f"more than {limit:.0f} GB" if limit else f"{least:.0f} GB or more"
            assert table[id] == f"NVIDIA, {card} | {total:.1f} GB", id


def test_the_table_of_ram_is_computed() -> None:
    """tests/engine/plan/test_host_memory.py has the computation."""
    preset = load_presets().models["wan2.1-t2v-14b-fp8"]
    for part in parts(preset):
        told = " | ".join(f"{size / GIB:.1f}" for size in (part.raw, part.pinned, part.exact))
        assert f"| {part.name} | {told} |" in MEASURED
    needs = " | ".join(f"{host_need(preset, way) / GIB:.1f}" for way in ("block", "block-exact"))
    assert f"| all, with the process | | {needs} |" in MEASURED
    answers = ("block", "block-exact", "resident", "lazy")
    block, exact, resident, lazy = (f"{pinned_need(preset, way) / GIB:.1f}" for way in answers)
    for end in (f"{block} GB, or {exact} of exact size", f"{resident} GB", f"{lazy} GB"):
        assert re.search(rf"^\| (in|on) .* \| {re.escape(end)} \|$", MEASURED, re.MULTILINE), end


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_to_files_and_headings(page: Path) -> None:
    """All within the project, so that they hold in any copy of it."""
    links = re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    for link in (link for link in links if not link.startswith("https://")):
        name, _, heading = link.partition("#")
        file = page.parent / name if name else page
        assert file.is_file(), link
        if heading:
            heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {_anchor(head) for head in heads}, link


def _anchor(heading: str) -> str:
    """As GitHub makes it: "From a picture: Wan 2.2" is #from-a-picture-wan-22."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_first_screen_has_a_picture_and_says_which_model_made_the_clip() -> None:
    first_screen = README[:1600]
    (picture,) = re.findall(r"^!\[[^]]*wan-tiny[^]]*\]\((.+)\)$", first_screen, re.MULTILINE)
    assert (PROJECT / picture).stat().st_size > 10_000
    assert "demo model" in first_screen


def test_it_opens_with_the_two_commands_and_is_soon_read() -> None:
    first_screen = README[:900]
    assert "./launch.sh " in first_screen
    assert "./launch.sh test" in first_screen
    assert len(README.splitlines()) < 220


def test_the_symptoms_are_told_in_the_programs_own_words() -> None:
    words = " ".join(
        str(node.value)
        for folder in ("engine", "ui")
        for file in (PROJECT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    words += " ".join(text["en"] for text in tables(*FOLDERS).values())
    quoted = re.findall(r"“([^”]+)”", README)
    assert len(quoted) > 10
    for sentence in quoted:
        assert sentence in words, sentence


def test_the_table_of_reliability_has_the_rows_that_the_tests_name() -> None:
    """Not the same numbers: those are of the run that python -m tests.tools.reliability --write
    made."""
    table = RELIABILITY.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    told = [line.strip("| ").split(" | ") for line in table if not line.startswith("|---")]
    assert tuple(told[0]) == HEAD
    assert [row for row, _ in told[1:]] == rows()
    assert all(held for _, held in told[1:])
