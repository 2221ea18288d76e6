"""What the owner's page and the visitors' page both ask of a request, before anything reads it."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import Message, Receive

from engine.text import Text, joined
from ui.server.caller import LOOPBACK

OPEN_EACH = 32  # requests of one address at once; a browser has six connections to a page
STREAMS_EACH, STREAMS_HERE = 24, 96  # of those, streams that stay open as long as their client does
TOO_MANY_OPEN = joined(Text("incoming.too_many_open"), Text("incoming.close_some"))


def same_site(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` is a page of ``host``, both as their headers say them."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:  # brackets that hold no address
        return False


def limited(receive: Receive, most: int, too_long: Callable[[], Exception]) -> Receive:
    """Receives as ``receive`` does; raises ``too_long()`` once a body has over ``most`` bytes."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise too_long()
        return message

    return counted


async def write_body(
    request: Request,
    file: IO[bytes],
    most: int,
    too_long: Callable[[], Exception],
    first: Callable[[bytes], None] = lambda _: None,
) -> None:
    """Write the body to ``file`` as it comes; raises ``too_long()`` once it has over ``most``
    bytes.

    Args:
        first: is given the first part, and may raise.
    """
    size = 0
    async for part in request.stream():
        if size == 0:
            first(part)
        size += len(part)
        if size > most:
            raise too_long()
        await asyncio.to_thread(file.write, part)


class Places:
    """How many requests each address has open, for one server, in its loop's thread. What comes
    without a proxy or a tunnel is held to as many connections by the ``Door`` as well.

    Args:
        most: of one address.
        here: of this computer.
    """

    def __init__(self, most: int = OPEN_EACH, here: int = sys.maxsize) -> None:
        self._most, self._here = most, here
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, address: str) -> Iterator[bool]:
        """Within this a request is open; False where there are too many of this address."""
        free = self._open[address] < (self._here if address == LOOPBACK else self._most)
        self._open[address] += 1
        try:
            yield free
        finally:
            self._open[address] -= 1
            if self._open[address] <= 0:
                del self._open[address]
