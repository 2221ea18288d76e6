"""One base for every error that a user can meet: a sentence, its remedy, and the exit code."""

from enum import IntEnum
from typing import Any

from engine.text import Said, Text, as_text, joined, programs


class ExitCode(IntEnum):
    """What the command line returns; fixed by the design, because checks call it."""

    DONE = 0
    BAD_INPUT = 2
    REFUSED = 3
    ENGINE_FAILED = 4
    SETUP_MISSING = 5
    INTERRUPTED = 130


def first_line(error: BaseException, otherwise: str = "", longest: int = 160) -> str:
    """What ``error`` says, as far as it fits into a sentence; ``otherwise`` where it is silent."""
    return (str(error).strip().splitlines() or [otherwise])[0][:longest]


class HeadroomError(Exception):
    """A failure told as a text, with what the user can do about it; ``str`` makes English of both.

    Subclasses live beside the code that raises them and set ``exit_code``.
    """

    exit_code = ExitCode.ENGINE_FAILED

    def __init__(self, sentence: Said, remedy: Said = "") -> None:
        super().__init__(sentence, remedy)  # as pickle makes it again
        self.sentence, self.remedy = as_text(sentence), as_text(remedy)

    @property
    def text(self) -> Text:
        """The sentence and the remedy, for a page in any language."""
        return joined(self.sentence, self.remedy)

    def __str__(self) -> str:
        return str(self.text)

    def to_json(self) -> dict[str, Any]:
        """For programs: English, and the ids behind it."""
        return programs("error", self.sentence) | programs("remedy", self.remedy)
