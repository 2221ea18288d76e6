"""The names that a server answers to, where it listens on all addresses of this computer.

A computer gets addresses while it runs: it joins a network, or its lease ends. Names are never
asked for: a page elsewhere could have one point here (DNS rebinding), which a number can't be.
"""

import ipaddress
import time
from collections.abc import Callable, Iterable

from engine.machine.addresses import in_url, own_addresses

ASKED_AGAIN = 5.0  # seconds; whoever makes addresses up has the system asked no more often


class OwnNames:
    """``name in names``: it was given, or is an address that this computer has got since."""

    def __init__(
        self,
        names: Iterable[str],
        addresses: Callable[[], Iterable[str]] = own_addresses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = set(names)
        self._addresses, self._clock = addresses, clock
        self._asked = clock() - ASKED_AGAIN

    def __contains__(self, name: object) -> bool:
        if name not in self._names and isinstance(name, str) and _is_address(name):
            now = self._clock()
            if now - self._asked >= ASKED_AGAIN:
                self._asked = now
                self._names.update(map(in_url, self._addresses()))
        return name in self._names


def _is_address(name: str) -> bool:
    """As it stands in an address of the web: IPv6 in brackets."""
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return in_url(bare) == name
