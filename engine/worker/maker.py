"""A lane as the queue, the page and the commands see it, on this machine or on another."""

from dataclasses import dataclass
from typing import Protocol

from engine.guard.verdicts import Verdicts
from engine.jobs import Job
from engine.text import Said
from engine.worker.dispatch import Taker
from engine.worker.progress import Progress
from engine.worker.slot import LOCAL
from engine.worker.status import Status


@dataclass(frozen=True)
class Seat:
    """Which of a machine's lanes one is.

    Args:
        name: what its jobs are claimed under, and what people choose it by.
        title: what the page and the commands call it.
        everything: it also makes what runs on the processor; of several cards the first does.
        cores: of the processor for its worker; None leaves it all of them.
    """

    name: str = LOCAL
    title: Said = ""
    everything: bool = True
    cores: int | None = None


class Maker(Taker, Protocol):
    """See the module's docstring; any thread may ask."""

    seat: Seat

    @property
    def total(self) -> int:
        """Bytes of its device's memory, and ``free`` ones."""

    @property
    def free(self) -> int: ...

    @property
    def guard(self) -> Verdicts: ...

    @property
    def status(self) -> Status:
        """One consistent look at what it does."""

    def running(self) -> Job | None:
        """The job that it makes now."""

    def progress(self, job: Job) -> Progress | None:
        """Of ``job``, if it is being made here."""

    def suits(self, model: str) -> bool:
        """Whether ``model`` is made on its device."""

    def dismiss_notice(self, notice_at: float) -> None:
        """As ``StatusBoard.dismiss``."""

    def nudge(self) -> None:
        """There is something new in the queue."""
