"""Runs everything that injects faults and counts: the table of docs/reliability.md.

``python -m tests.tools.reliability`` prints the table, ``--write`` puts it there. A test takes
part with ``@pytest.mark.reliability("row")``: a row counts its tests, or, where a test records them
with ``record_property("reliability", "10,000 calls, 0 errors")``, says those words.
"""

import ast
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.home import PROJECT
from tests.support import crashes

BEGIN, END = "<!-- reliability: python -m tests.tools.reliability -->", "<!-- reliability ends -->"
TESTS = PROJECT / "tests"
HEAD = ("what was broken, for real", "held")
CRASHES = f"both processes killed at random moments, {crashes.ROUNDS} rounds of {crashes.JOBS} jobs"
CRASHED = ("jobs that ended, each once", "clips without a row, rows without a clip, duplicates")


def rows() -> list[str]:
    """The rows that the tests name, by file and line: the order of the table."""
    found: dict[str, None] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for row in _rows_of(file):
            found[row] = None
    return [*found, CRASHES, *CRASHED]


def _rows_of(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8")
    if "mark.reliability(" not in text:
        return
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "reliability"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


class Counting:
    """A plugin of pytest's: selects the tests that take part, and counts by row."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.said: dict[str, str] = {}
        self._row: dict[str, str] = {}

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        taking = [item for item in items if item.get_closest_marker("reliability")]
        config.hook.pytest_deselected(items=[item for item in items if item not in taking])
        items[:] = taking
        for item in taking:
            marker = item.get_closest_marker("reliability")
            assert marker is not None
            self._row[item.nodeid] = marker.args[0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.when != "call" and not report.failed):
            return
        row = self._row[report.nodeid]
        self.ran[row] += 1
        self.held[row] += report.passed
        for name, value in report.user_properties:
            if name == "reliability":
                self.said[row] = str(value)


def table(counted: Counting, crashed: Mapping[str, str]) -> str:
    lines = [f"| {HEAD[0]} | {HEAD[1]} |", "|---|---|"]
    for row in rows():
        if row in crashed:
            told = crashed[row]
        elif row in counted.said and counted.held[row] == counted.ran[row]:
            told = counted.said[row]
        else:
            told = f"{counted.held[row]} of {counted.ran[row]}"
        lines.append(f"| {row} | {told} |")
    return "\n".join(lines)


def crash() -> tuple[dict[str, str], bool]:
    """The rows of the rounds of crashes, and whether every promise was kept."""
    played = crashes.rounds(crashes.ROUNDS)
    killed = sum(sum(told.killed.values()) for told in played)
    states: Counter[str] = sum((told.states for told in played), Counter())
    wrong = [text for told in played for text in told.wrong]
    for text in wrong:
        sys.stderr.write(text + "\n")
    ended = (
        f"{states['done'] + states['failed']}: {states['done']} done, "
        f"{states['failed']} given up after a second hit"
    )
    return {CRASHES: f"{killed} killed", CRASHED[0]: ended, CRASHED[1]: str(len(wrong))}, not wrong


def write(text: str) -> None:
    page = PROJECT / "docs" / "reliability.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main(arguments: list[str]) -> int:
    began, counting = time.monotonic(), Counting()
    os.environ["HEADROOM_PRESETS"] = str(TESTS / "fixtures/presets")
    os.environ["HEADROOM_RELIABILITY"] = "1"
    crashed, sound = crash()
    code = pytest.main(["-p", "no:cacheprovider", str(TESTS)], plugins=[counting])
    text = table(counting, crashed)
    sys.stdout.write(f"{text}\n\n{time.monotonic() - began:.0f} s\n")
    if "--write" in arguments:
        write(text)
    return 0 if sound and code == pytest.ExitCode.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
