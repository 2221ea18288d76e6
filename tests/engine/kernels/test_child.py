"""A kernel that crashes, hangs or fails takes no other with it, and the time is bounded."""

import threading
import time

import pytest

from engine.kernels import child
from engine.kernels.child import CantTest, run
from engine.kernels.tasks import Task
from engine.plan.kernel_rows import KernelRow

pytestmark = pytest.mark.starts
GIVEN = {"device": "cpu", "family": "any"}


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MODULE", "tests.support.kernel_child")


def tasks(*kernels: str) -> list[Task]:
    return [Task("linear", kernel, "4×4→4", 4, {"inner": 4, "out": 4}) for kernel in kernels]


def found(rows: tuple[KernelRow, ...]) -> list[tuple[str, float | None, str]]:
    return [(row.kernel, row.milliseconds, row.problem) for row in rows]


def test_what_crashes_or_fails_is_told_and_the_rest_is_tried() -> None:
    heard: list[KernelRow] = []
    rows = run(tasks("good", "dies", "fails", "dies", "good"), GIVEN, {}, heard.append)
    assert found(rows) == [
        ("good", 1.0, ""),
        ("dies", None, "ended:9"),
        ("fails", None, "E: no"),
        ("dies", None, "ended:9"),
        ("good", 1.0, ""),
    ]
    assert tuple(heard) == rows
    assert "took its process along (exit code 9)" in str(rows[1].why)


def test_what_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SILENCE", 1.0)
    rows = run(tasks("hangs", "good"), GIVEN, {})
    assert found(rows) == [("hangs", None, "silent:1"), ("good", 1.0, "")]


def test_what_there_is_no_time_for_has_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "KERNELS", 0.5)
    assert found(run(tasks("good", "slow", "good"), GIVEN, {})) == [
        ("good", 1.0, ""),
        ("slow", 1.0, ""),
    ]


def test_where_nothing_can_be_timed_a_sentence_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CantTest, match=r"LightX2V can't be imported\..*doctor"):
        run(tasks("good"), {**GIVEN, "family": "missing"}, {})
    monkeypatch.setattr(child, "MODULE", "tests.support.there_is_none")
    with pytest.raises(CantTest, match="ended before it began"):
        run(tasks("good"), GIVEN, {})


def test_it_ends_when_the_program_does() -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    rows = run(tasks("hangs", "good"), GIVEN, {}, stop=stop)
    assert rows == ()
    assert time.monotonic() - began < child.SILENCE / 2
