"""Names and addresses to listen on or to connect to, IPv4 and IPv6 alike, judged by what they mean
and not by how they are spelt."""

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

import psutil

from engine.errors import ExitCode, HeadroomError

LOCALHOST = ("127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
# IPv6 addresses whose last four bytes are an IPv4 address: compatible, mapped, and NAT64's.
HOLD_IPV4 = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96")))
OWN_IPV6 = (IPv6Address("::"), IPv6Address("::1"))


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
            "--host is empty.", "Use an address of this computer, or 0.0.0.0 or :: for all."
        )
    if "%" in host:
        raise HostError(
            f"--host {host}: browsers can't open an address with a zone (the part after %).",
            "Use another address of this computer, or :: for all.",
        )
    if any(not letter.isprintable() or letter in " /@[]" for letter in host):
        raise HostError(
            f"--host {text!a} isn't an address.",
            "Give the address only, without http:// or a port.",
        )
    found = _numeric(host)
    return str(found) if found is not None else host.lower()


def resolved(host: str) -> list[str]:
    """The addresses that ``host``, as ``read_host`` gives it, stands for; none if it is unknown."""
    if (found := read_address(host)) is not None:
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
    found = [read_address(text) for text in resolved(host)]
    return bool(found) and all(a is not None and a.is_loopback for a in found)


def destination(host: str) -> IPv4Address | IPv6Address | None:
    """Where a packet for ``host`` goes, with brackets and zone or without; None for a name.

    An IPv4 address within an IPv6 one is that IPv4 address.
    """
    host = host.strip("[]").partition("%")[0].rstrip(".")
    if not host.isascii() or host.split() != [host]:  # some systems overlook what follows a space
        return None
    found = _numeric(host)
    if not isinstance(found, IPv6Address) or found in OWN_IPV6:
        return found
    if found.sixtofour is not None:
        return found.sixtofour
    if any(found in network for network in HOLD_IPV4):
        return IPv4Address(found.packed[-4:])
    return found


def is_link_local(host: str) -> bool:
    """Whether it is an address that machines use among themselves, such as a cloud's own."""
    found = destination(host)
    return found is not None and found.is_link_local


def is_loopback(host: str) -> bool:
    """Whether it is a number that only this computer itself can reach."""
    found = destination(host)
    return found is not None and found.is_loopback


def is_this_computer(host: str) -> bool:
    """Whether a program that connects to ``host`` stays on this computer."""
    found = destination(host)
    if found is not None:
        return found.is_loopback or found.is_unspecified
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


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
        and (read := read_address(address.address.partition("%")[0])) is not None
        and not (read.is_loopback or read.is_link_local or read.is_unspecified)
    ]
    return [str(a) for a in sorted(dict.fromkeys(found), key=_rank)]


def _rank(address: IPv4Address | IPv6Address) -> tuple[bool, bool, str]:
    text = str(address)
    return address.version == 6, not text.startswith(("192.168.", "10.")), text


def _numeric(host: str) -> IPv4Address | IPv6Address | None:
    """Also what only the system reads as an address: 0, 127.1, 0x7f000001."""
    if (found := read_address(host)) is not None:
        return found
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return read_address(str(infos[0][4][0]))


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """IPv4 that is written as IPv6 (::ffff:127.0.0.1) is IPv4."""
    try:
        read = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (read.ipv4_mapped or read) if isinstance(read, IPv6Address) else read
