"""One base for every error that a user can meet: a sentence, its remedy, and the exit code."""

from enum import IntEnum


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
    """A failure told as a sentence, with what the user can do about it.

    Subclasses live beside the code that raises them and set ``exit_code``.
    """

    exit_code = ExitCode.ENGINE_FAILED

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}".strip()
