"""The kernel test's section: its table, what is said, and what isn't kept."""

from typing import Any

import pytest

from engine.engine import Engine
from engine.kernels import child
from engine.kernels.child import CantTest
from engine.kernels.tasks import Task
from engine.plan.kernel_rows import KernelRow
from engine.text import Text
from ui.tabs import kernels
from ui.wording import speak


@pytest.fixture(autouse=True)
def timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(tasks: list[Task], *_: Any) -> tuple[KernelRow, ...]:
        *good, last = tasks
        rows = [task.row(1.25, 0.99987) for task in good]
        return (*rows, last.row(problem="ended:-11"))

    monkeypatch.setattr(child, "run", run)


def test_before_the_test_it_says_what_it_is(engine: Engine) -> None:
    assert "times each way to multiply" in kernels.table_html(engine)
    assert "<table" not in kernels.table_html(engine)


def test_every_row_stands_there_with_who_uses_it(engine: Engine) -> None:
    said, table = kernels.time_kernels(engine)
    assert said == ""
    assert table.count("<tr>") == 1 + 10
    assert "1.2 ms" in table
    assert "0.9999" in table
    assert "failed: it took its process along (exit code -11)" in table
    assert table.count("✓ Wan tiny") == 3 + 1 + 1
    assert "its default clip takes at least" in table


def test_it_speaks_the_readers_language(engine: Engine) -> None:
    kernels.time_kernels(engine)
    speak("zh")
    try:
        table = kernels.table_html(engine)
    finally:
        speak("en")
    assert "<h2>内核</h2>" in table
    assert "矩阵乘法" in table
    assert "Product" not in table


def test_what_was_timed_beside_a_clip_isnt_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_makes_a_clip", lambda _: True)
    said, table = kernels.time_kernels(engine)
    assert "A clip was being made meanwhile, so nothing was kept." in said
    assert "<table" not in table


def test_where_nothing_can_be_timed_the_reason_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise CantTest(Text("kernels.no_answer"), Text("kernels.run_doctor"))

    monkeypatch.setattr(engine.kernel_test, "run", fail)
    said, _ = kernels.time_kernels(engine)
    assert "ended before it began" in said
    assert "doctor" in said
