"""Hosts that people write, IPv4 and IPv6 alike."""

import socket
from types import SimpleNamespace

import pytest

from engine.machine.addresses import HostError, in_url, only_here, own_addresses, read_host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::", "::"),
        ("[::]", "::"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8:0::5", "2001:db8::5"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:0.0.0.0", "0.0.0.0"),
        (" LocalHost ", "localhost"),
        ("my-box.local", "my-box.local"),
    ],
)
def test_a_host_is_read_as_what_it_means(text: str, host: str) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize("text", ["fe80::1%eth0", "[fe80::1%2]", "::1%lo", "fe80::1%25eth0"])
def test_a_zone_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(HostError, match="zone") as caught:
        read_host(text)
    assert ":: for all" in str(caught.value.remedy)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text", ["", "  ", "[]", "http://x", "a b", "x/y", "[::1", "[::1]:80", "\x1b"]
)
def test_what_is_no_host_is_a_sentence(text: str) -> None:
    with pytest.raises(HostError):
        read_host(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "[::1]", "localhost", "127.9.9.9", "127.1"])
def test_the_loopback_needs_no_login_however_it_is_spelt(text: str) -> None:
    assert only_here(read_host(text))


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "::", "[::]", "0", "::ffff:0.0.0.0", "0:0::0", "10.0.0.1"]
)
def test_what_others_reach_is_never_the_loopback(text: str) -> None:
    assert not only_here(read_host(text))


def test_a_name_nobody_knows_isnt_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise OSError("no such name")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    assert not only_here("nosuch.invalid")
    assert only_here("localhost"), "whatever a resolver says"


def test_ipv6_stands_in_brackets_in_an_address() -> None:
    assert [in_url(host) for host in ("::1", "10.0.0.1", "box")] == ["[::1]", "10.0.0.1", "box"]


def test_own_addresses_are_those_that_others_can_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def card(*texts: str) -> list[SimpleNamespace]:
        families = {True: socket.AF_INET6, False: socket.AF_INET}
        return [SimpleNamespace(family=families[":" in text], address=text) for text in texts]

    cards = {
        "lo": card("127.0.0.1", "::1"),
        "eth0": card("172.17.0.2", "fe80::1%eth0", "2001:db8::7", "fd00::2"),
        "wlan0": card("192.168.1.4", "169.254.7.7"),
        "off": card("10.0.0.9"),
    }
    stats = {name: SimpleNamespace(isup=name != "off") for name in cards}
    monkeypatch.setattr("psutil.net_if_addrs", lambda: cards)
    monkeypatch.setattr("psutil.net_if_stats", lambda: stats)
    assert own_addresses() == ["192.168.1.4", "172.17.0.2", "2001:db8::7", "fd00::2"]
