"""Names and addresses to listen on, IPv4 and IPv6 alike, judged by what they mean and not by how
they are spelt."""

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

import psutil

from engine.errors import ExitCode, HeadroomError

LOCALHOST = ("127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")


class HostError(HeadroomError):
    """Nothing can listen on it."""

    exit_code = ExitCode.BAD_INPUT


def read_host(text: str) -> str:
    """A name in small letters, or an address in its usual form without brackets.

    Raises:
        HostError: it is none.
    """
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host:
        raise HostError(
            "--host is empty.", "Name an address of this computer, or 0.0.0.0 or :: for all."
        )
    if "%" in host:
        raise HostError(
            f"--host {host}: browsers open no address with a zone (what is behind the %).",
            "Name another address of this computer, or :: for all.",
        )
    if any(not letter.isprintable() or letter in " /@[]" for letter in host):
        raise HostError(
            f"--host {text!a} is no address.", "Name the address alone, without http:// or a port."
        )
    found = _numeric(host)
    return str(found) if found is not None else host.lower()


def resolved(host: str) -> list[str]:
    """The addresses that ``host``, as ``read_host`` gives it, stands for; none if it is unknown."""
    if (found := _address(host)) is not None:
        return [str(found)]
    if host == "localhost":  # whatever a resolver says (RFC 6761)
        return list(LOCALHOST)
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def only_here(host: str) -> bool:
    """Whether only this computer itself can reach who listens on ``host``."""
    found = [_address(text) for text in resolved(host)]
    return bool(found) and all(a is not None and a.is_loopback for a in found)


def everywhere(host: str) -> bool:
    """Whether ``host`` means all addresses of this computer."""
    return host in EVERYWHERE


def in_url(host: str) -> str:
    """As it stands in an address of the web: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def own_addresses() -> list[str]:
    """This computer's addresses in networks: IPv4 first, those of real networks before others.

    IPv6 without its link-local ones, which mean nothing without a zone.
    """
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found = [
        read
        for name, addresses in psutil.net_if_addrs().items()
        if name in up
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
        and (read := _address(address.address.partition("%")[0])) is not None
        and not (read.is_loopback or read.is_link_local or read.is_unspecified)
    ]
    return [str(a) for a in sorted(dict.fromkeys(found), key=_rank)]


def _rank(address: IPv4Address | IPv6Address) -> tuple[bool, bool, str]:
    text = str(address)
    return address.version == 6, not text.startswith(("192.168.", "10.")), text


def _numeric(host: str) -> IPv4Address | IPv6Address | None:
    """Also what only the system reads as an address: 0, 127.1, 0x7f000001."""
    if (found := _address(host)) is not None:
        return found
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return _address(str(infos[0][4][0]))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """IPv4 that is written as IPv6 (::ffff:127.0.0.1) is IPv4."""
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (read.ipv4_mapped or read) if isinstance(read, IPv6Address) else read
