"""A polite kill breaks off what runs, once and surely."""

import signal
import sys
import time
from collections.abc import Callable

import pytest

from engine.process import terminal
from engine.process.terminal import end_signals, ends_interrupt

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="raising a signal there ends the process"
)


def busy(enough: Callable[[], bool] = lambda: False) -> None:
    deadline = time.monotonic() + 30
    while not enough() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_an_end_that_a_library_drops_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LOST_SECONDS", 0.05)
    steps = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            steps.append("the first is dropped")
        try:
            busy()
        except BaseException:
            steps.append("so is the second")
        busy()
        steps.append("went on")

    with pytest.raises(KeyboardInterrupt), ends_interrupt():
        work()
    assert steps == ["the first is dropped", "so is the second"]


def test_what_ends_in_order_is_not_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LOST_SECONDS", 0.05)
    steps = []

    def clean_up(what: str) -> None:
        until = time.monotonic() + 0.3  # several times asked for again
        busy(lambda: time.monotonic() > until)
        steps.append(what)

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)  # a shell passes it on
            clean_up("the worker has ended")
            try:
                raise OSError("its folder is gone")
            except OSError:
                clean_up("so has its folder")

    with pytest.raises(KeyboardInterrupt), ends_interrupt():
        work()
    assert steps == ["the worker has ended", "so has its folder"]


def test_afterwards_the_signals_do_what_they_did() -> None:
    before = {number: signal.getsignal(number) for number in end_signals()}
    with ends_interrupt():
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
