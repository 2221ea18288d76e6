"""The door before either server: deadlines, caps, and who makes room. Strangers are 127.0.0.2."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.conftest import wait_until
from ui.server import connection, door
from ui.server.caller import LOOPBACK
from ui.server.door import Door, guard, places

pytestmark = [
    pytest.mark.starts,
    pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 has to be this computer's"),
]

OWNER = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"


@dataclass
class Served:
    port: int
    sockets: list[socket.socket] = field(default_factory=list)

    def come(self, sent: bytes = b"", source: str = OWNER) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), 10, (source, 0))
        self.sockets.append(made)
        if sent:
            made.sendall(sent)
        return made

    def answer(self, source: str = OWNER, sent: bytes = GET) -> bytes:
        """The status line; empty where the connection was closed."""
        return received(self.come(sent, source))


def received(came: socket.socket) -> bytes:
    try:
        return came.recv(65536).partition(b"\r\n")[0]
    except OSError:
        return b""


def open_still(came: socket.socket) -> bool:
    came.setblocking(False)
    try:
        return bool(came.recv(65536))
    except BlockingIOError:
        return True
    except OSError:
        return False


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body; ``/large`` has a large answer, ``/stream`` one that doesn't end."""
    assert scope["type"] == "http"
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    size = 32 * 2**20 if scope["path"] == "/large" else 2
    await send({"type": "http.response.body", "body": b"o" * size, "more_body": True})
    if scope["path"] == "/stream":
        await receive()
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def small() -> Door:
    return Door(most=8, each=4)


@pytest.fixture
def served(small: Door, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(connection, "network", lambda a: LOOPBACK if a == OWNER else a)
    monkeypatch.setattr(door, "LOOK_SECONDS", 0.1)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    guard(server, small)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        wait_until(lambda: server.started, "the server")
        made = Served(listener.getsockname()[1])
        yield made
        for came in made.sockets:
            came.close()
        server.should_exit = server.force_exit = True
        thread.join(10)


def test_no_answer_waits_for_its_clients_ack(served: Served, small: Door) -> None:
    """Without the option each answer after the first few came 40 ms late."""
    assert received(served.come(GET)) == b"HTTP/1.1 200 OK"
    (one,) = small._open
    assert one._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_who_sends_no_whole_request_is_let_go(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    silent, begun = served.come(), served.come(b"GET / HT")
    stream = served.come(GET.replace(b"/ ", b"/stream "))
    assert received(silent) == b""
    assert received(begun) == b"HTTP/1.1 408 Request Timeout"
    stream.setblocking(True)
    assert received(stream) == b"HTTP/1.1 200 OK"
    assert open_still(stream)


def test_a_body_has_to_come_at_some_rate(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BODY_GRACE", 0.5)
    monkeypatch.setattr(connection, "BODY_RATE", 50_000.0)
    slow, steady = served.come(POST), served.come(POST)
    for _ in range(10):
        steady.sendall(b"x" * 10_000)
        with contextlib.suppress(OSError):
            slow.sendall(b"x" * 10)
        time.sleep(0.1)
    assert received(steady) == b"HTTP/1.1 200 OK"
    assert received(slow) == b""


def test_an_answer_has_to_be_taken(
    served: Served, small: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    served.come(GET.replace(b"/ ", b"/large "))
    wait_until(lambda: small.count == 1, "the connection")
    wait_until(lambda: small.count == 0, "its end", 10)


def test_who_takes_an_answer_steadily_gets_all_of_it(
    served: Served, small: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the rate that is asked for; the system's buffer of 4 MB hid that it was taken."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(connection, "STALLED", 0.5)
    steady = served.come(GET.replace(b"/ ", b"/large "))
    served.come(GET.replace(b"/ ", b"/large "), "127.0.0.2")  # takes nothing
    got = 0
    for _ in range(60):
        got += len(steady.recv(25_000))
        time.sleep(0.05)
    assert small.count == 1, "the other's place is free"
    busy = [served.come(GET.replace(b"/ ", b"/stream ")) for _ in range(7)]
    assert {received(stream) for stream in busy} == {b"HTTP/1.1 200 OK"}
    assert served.answer(sent=b"") == b"HTTP/1.1 503 Service Unavailable", "it isn't idle"
    while got < 32 * 2**20 and (more := len(steady.recv(2**20))):
        got += more
    assert got > 32 * 2**20


def test_strangers_never_take_the_owners_place(served: Served, small: Door) -> None:
    here = [served.come() for _ in range(6)]
    for n in range(60):
        served.come(POST if n % 2 else b"", f"127.0.0.{2 + n % 20}")
    wait_until(lambda: small.count <= 8 + 6, "room")
    assert all(open_still(came) for came in here)
    assert served.answer() == b"HTTP/1.1 200 OK"
    assert served.answer("127.0.0.99") == b"HTTP/1.1 200 OK", "nor each other's for good"


def test_one_address_has_its_cap(served: Served, small: Door) -> None:
    other = served.come(b"", "127.0.0.3")
    for _ in range(20):
        served.come(b"", "127.0.0.2")
    wait_until(lambda: small.count == 4 + 1, "the cap")
    assert open_still(other)
    assert served.answer("127.0.0.2") == b"HTTP/1.1 200 OK", "it takes a place of its own"


def test_who_waits_longest_for_nothing_makes_room(served: Served, small: Door) -> None:
    """From this computer, too, where an attack may come through a tunnel."""
    stream = served.come(GET.replace(b"/ ", b"/stream "))
    assert received(stream) == b"HTTP/1.1 200 OK"
    idle = [served.come(POST)]
    time.sleep(0.05)  # or they would be equally old
    idle += [served.come(b"" if n % 2 else b"GET") for n in range(6)]
    wait_until(lambda: small.count == 8, "all of them")
    assert served.answer() == b"HTTP/1.1 200 OK"
    wait_until(lambda: not open_still(idle[0]), "room made by the first")
    assert open_still(idle[-1])
    assert open_still(stream)


def test_when_all_are_at_work_a_sentence_says_so(served: Served, small: Door) -> None:
    streams = [served.come(GET.replace(b"/ ", b"/stream ")) for _ in range(8)]
    assert {received(stream) for stream in streams} == {b"HTTP/1.1 200 OK"}
    assert served.answer(sent=b"") == b"HTTP/1.1 503 Service Unavailable"
    assert served.answer("127.0.0.2") == b"HTTP/1.1 200 OK"
    streams[0].close()
    wait_until(lambda: small.count <= 8, "its place")
    assert served.answer() == b"HTTP/1.1 200 OK"


def test_one_address_cant_come_all_the_time(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BURST", 5.0)
    monkeypatch.setattr(door, "RATE", 1.0)
    told = [served.answer("127.0.0.2") for _ in range(10)]
    assert told.count(b"HTTP/1.1 200 OK") in (5, 6)
    assert served.answer("127.0.0.3") == b"HTTP/1.1 200 OK"
    assert {served.answer() for _ in range(10)} == {b"HTTP/1.1 200 OK"}


@pytest.mark.parametrize("limit", [96, 256, 1024, 4096, 65_536])
def test_connections_leave_the_program_its_files(limit: int) -> None:
    """Each may have its own file open besides, and there are three kinds of them."""
    most = places(limit)
    assert most >= 8, "a browser has six"
    assert 3 * 2 * most <= limit * 3 // 4
