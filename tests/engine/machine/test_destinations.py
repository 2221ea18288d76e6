"""What is connected to is judged by what it is, not by how it is spelled."""

import pytest

from engine.machine.addresses import is_link_local, is_loopback, is_this_computer


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.1",
        "0xa9fea9fe",
        "0xA9.0xFE.0.1",
        "2852039166",
        "0251.0376.0251.0376",
        "169.254.169.254.",
        "fe80::1",
        "FE80::1%eth0",
        "[febf::1]",
        "::ffff:169.254.1.1",
        "::FFFF:A9FE:0101",
        "::169.254.1.1",
        "2002:a9fe:a9fe::1",
        "64:ff9b::169.254.169.254",
    ],
)
def test_link_local_in_any_spelling(host: str) -> None:
    assert is_link_local(host)
    assert not is_this_computer(host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.8.9.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
    ],
)
def test_this_computer_in_any_spelling(host: str) -> None:
    assert is_loopback(host)
    assert is_this_computer(host)
    assert not is_link_local(host)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "0.0.0.0", "::", "0"])
def test_what_a_program_connects_to_on_this_computer(host: str) -> None:
    assert is_this_computer(host)
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.0.0.1 x",
        "192.168.0.1",
        "fec0::1",
        "2001:db8::1",
        "169.255.0.1",
    ],
)
def test_what_is_neither(host: str) -> None:
    assert not is_this_computer(host)
    assert not is_loopback(host)
    assert not is_link_local(host)
