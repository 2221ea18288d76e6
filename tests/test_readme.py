"""The README says what the program does: its tables against the code."""

import re

from engine.commands import _parser
from engine.errors import ExitCode
from engine.headroom import Word
from engine.home import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_every_command_and_every_option_is_in_the_table() -> None:
    rows = dict(re.findall(r"^\| `(\w+)([^`]*)`", README, re.MULTILINE))
    commands = _parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert commands is not None
    assert set(rows) == set(commands)
    for name, command in commands.items():  # type: ignore[union-attr]
        options = {o for a in command._actions for o in a.option_strings if o.startswith("--")}
        assert options - {"--help"} == set(re.findall(r"--[a-z-]+", rows[name])), name


def test_verdicts_and_exit_codes_are_told() -> None:
    for word in Word:
        assert f"| {word.value} |" in README
    for code in ExitCode:
        assert re.search(rf"\b{code.value} \w+", README), code


def test_its_pictures_exist_and_it_opens_with_the_two_commands() -> None:
    for path in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (PROJECT / path).is_file(), path
    first_screen = README[:900]
    assert "./launch.sh " in first_screen
    assert "./launch.sh test" in first_screen
