"""What the owner's page and the visitors' page both ask of a request, before anything reads it."""

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.types import Message, Receive


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
