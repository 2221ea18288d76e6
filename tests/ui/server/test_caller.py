"""Whose a request is: by the connection, never by what whoever asks could have written."""

from typing import Any

import pytest

from ui.server.caller import LOOPBACK, caller_of, network


def scope(client: str, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"client": (client, 1234), "headers": headers}


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("127.0.0.1", LOOPBACK),
        ("127.9.9.9", LOOPBACK),
        ("::1", LOOPBACK),
        ("::ffff:127.0.0.1", LOOPBACK),
        ("192.168.1.4", "192.168.1.4"),
        ("::ffff:192.168.1.4", "192.168.1.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (" 10.0.0.1 ", "10.0.0.1"),
        ("no address", "no address"),
        ("x" * 100, "x" * 60),
    ],
)
def test_what_counts_as_one_address(address: str, counts_as: str) -> None:
    assert network(address) == counts_as


def test_others_cant_say_who_they_are() -> None:
    assert caller_of(scope("192.168.1.4", "127.0.0.1")) == ("192.168.1.4", False)
    assert caller_of(scope("127.0.0.1")) == (LOOPBACK, False)


@pytest.mark.parametrize("said", ["127.0.0.1", "::1", "8.8.8.8", "", "1.1.1.1, 127.0.0.1"])
def test_what_came_through_a_proxy_is_never_taken_for_the_owner(said: str) -> None:
    address, proxied = caller_of(scope("127.0.0.1", said))
    assert proxied
    assert address != LOOPBACK


def test_only_the_nearest_proxys_entry_counts() -> None:
    assert caller_of(scope("::1", "9.9.9.9", "8.8.8.8, 1.2.3.4"))[0].endswith(": 1.2.3.4")
