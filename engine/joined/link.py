"""A way to a station. What carries the calls is somebody else's: Ray's, or a test's."""

from typing import Any, Protocol

from engine.joined.wire import Declined, Unheard
from engine.text import Text, from_row

CALL_SECONDS = 10.0  # without an answer the machine counts as gone


class Link(Protocol):
    """One station. Any thread may call, several at a time."""

    def ask(self, method: str, *values: Any, seconds: float = CALL_SECONDS) -> dict[str, Any]:
        """What ``Station.answer`` returns.

        Raises:
            Unheard: there was no answer in that time, or the station is gone.
        """

    def close(self) -> None:
        """The station isn't asked again."""


def call(link: Link, method: str, *values: Any, seconds: float = CALL_SECONDS) -> Any:
    """The value of the station's ``method``.

    Raises:
        Declined: the station's own sentence.
        Unheard: as ``Link.ask``.
    """
    answer = link.ask(method, *values, seconds=seconds)
    if "value" in answer:
        return answer["value"]
    if "gone" in answer:
        raise Unheard(Text("joined.left"), Text("joined.look_there"))
    raise Declined(from_row(answer["error"]), from_row(answer["remedy"]))


def silent(machine: str) -> Unheard:
    """``machine`` doesn't answer."""
    return Unheard(Text("joined.silent", machine=machine), Text("joined.look_there"))
