"""The page's sockets: taken once and kept, on IPv4 and IPv6."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.server.listening import Listening, PortError, asking_itself, listen

pytestmark = pytest.mark.starts


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def taken() -> Iterator[list[Listening]]:
    made: list[Listening] = []
    yield made
    for one in made:
        one.close()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@needs_ipv6
@pytest.mark.parametrize(
    ("host", "reached", "url"),
    [
        ("127.0.0.1", {"127.0.0.1"}, "http://127.0.0.1:"),
        ("::1", {"::1"}, "http://[::1]:"),
        ("0.0.0.0", {"127.0.0.1"}, "http://localhost:"),
        ("::", {"127.0.0.1", "::1"}, "http://localhost:"),
        ("localhost", {"127.0.0.1", "::1"}, "http://localhost:"),
    ],
)
def test_a_host_is_listened_on_with_all_its_addresses(
    host: str, reached: set[str], url: str, taken: list[Listening]
) -> None:
    made = listen(host, 0)
    taken.append(made)
    assert {a for a in ("127.0.0.1", "::1") if answers(a, made.port)} == reached
    assert made.url == f"{url}{made.port}/"


def test_who_asks_is_written_as_ipv4_where_it_is(taken: list[Listening]) -> None:
    made = listen("::", 0)
    taken.append(made)
    served = next(one for one in made.sockets if one.family == socket.AF_INET)
    with socket.create_connection(("127.0.0.1", made.port), timeout=5):
        with served.accept()[0] as came:
            assert came.getpeername()[0] == "127.0.0.1"


def test_many_starts_at_once_get_a_port_each(taken: list[Listening]) -> None:
    """Each used to look whether a port is free, let it go, and take it seconds later."""
    first = listen("127.0.0.1", 0)
    first.close()
    ready = threading.Barrier(8)

    def start(_: int) -> Listening:
        ready.wait()
        return listen("127.0.0.1", first.port, 40)

    with ThreadPoolExecutor(8) as pool:
        taken.extend(pool.map(start, range(8)))
    assert len({one.port for one in taken}) == 8
    assert all(answers("127.0.0.1", one.port) for one in taken)


@needs_ipv6
def test_a_port_that_one_family_lacks_is_taken_for_both(taken: list[Listening]) -> None:
    other = listen("::1", 0)
    taken.append(other)
    made = listen("::", other.port, 20)
    taken.append(made)
    assert made.port > other.port
    assert len(made.sockets) == 2


@pytest.mark.parametrize(
    ("host", "why"),
    [("203.0.113.9", "assign requested address"), ("nosuch.invalid", "no such name")],
)
def test_a_host_that_isnt_ours_is_a_sentence(
    host: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host.endswith("invalid"):
        monkeypatch.setattr("ui.server.listening.resolved", lambda _: [])
    with pytest.raises(PortError, match=why) as caught:
        listen(host, 7860, 3)
    assert "--host" in str(caught.value.remedy)


def test_what_it_asks_itself_leaves_the_users_settings_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    before = dict(os.environ)
    with asking_itself():
        import httpx

        httpx.Client().close()  # neither ImportError nor FileNotFoundError
    assert dict(os.environ) == before
