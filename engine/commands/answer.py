"""What becomes of a command whose answer can't be given: nobody reads it, or there is no space."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ExitCode
from engine.process.console import say
from engine.process.terminal import AnswerLost


def given(command: Callable[[], int]) -> int:
    """Run ``command``, with its answer written out; returns the exit code."""
    try:
        try:
            return command()
        finally:
            sys.stdout.flush()
    except AnswerLost as lost:
        if lost.gone:
            return ExitCode.INTERRUPTED
        say(f"The answer can't be written: {lost.strerror}.")
        return ExitCode.ENGINE_FAILED


def tried(write: Callable[[], None]) -> None:
    """Write an error's answer, if that can be done: stderr has the sentence, and its exit code
    counts."""
    with contextlib.suppress(AnswerLost):
        write()
        sys.stdout.flush()


@contextmanager
def naming(clip: Path) -> Iterator[None]:
    """An answer on ``clip``; where it can't be written, stderr says where that is."""
    try:
        yield
        sys.stdout.flush()
    except AnswerLost as lost:
        if not lost.gone:
            say(f"The clip is at {clip}")
        raise
