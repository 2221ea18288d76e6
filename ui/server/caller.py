"""Whose a connection or a request is, as far as that can be known: what caps and waits go by."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from engine.machine.addresses import read_address

LOOPBACK = "this computer"
LONGEST = 60  # characters of what is no address


def network(address: str) -> str:
    """What counts as one: an IPv4 address, or the /64 that one subscriber has of IPv6."""
    plain = address.strip().partition("%")[0]
    found = read_address(plain)
    if found is None:
        return plain[:LONGEST]
    if found.is_loopback:
        return LOOPBACK
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def peer_of(scope: Mapping[str, Any]) -> str:
    """Who is at the other end of a request's connection."""
    return network((scope.get("client") or ("",))[0] or "")


def caller_of(scope: Mapping[str, Any]) -> tuple[str, bool]:
    """Who asks the owner's page, and whether that is only what a proxy of this computer says.

    ``X-Forwarded-For`` is read where this computer itself is the peer, and only to tell who came
    through a proxy (the one with TLS, a tunnel) from the owner, who needs none: whoever forwards
    bytes without looking at them (ssh, socat) passes on what strangers made up. So nobody gains by
    it; see ``Throttle``.
    """
    at_the_other_end = peer_of(scope)
    if at_the_other_end == LOOPBACK and (said := forwarded_for(scope)) is not None:
        return f"through a proxy: {network(said)}", True
    return at_the_other_end, False


def forwarded_for(scope: Mapping[str, Any]) -> str | None:
    """The last entry of ``X-Forwarded-For``, which the nearest proxy made; None without any."""
    lines = [value for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    if not lines:
        return None
    last: str = lines[-1].decode("latin-1").rpartition(",")[2].strip()
    return last
