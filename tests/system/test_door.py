"""The whole page with a login, at a soft limit of 1,024 open files, while strangers hold its door.

The long attack, with its figures, is ``python -m tests.tools.attack_door``.
"""

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import wait_until
from tests.support.served import SCRIPTED, Served, serve

resource = pytest.importorskip("resource")
pytestmark = [pytest.mark.starts, pytest.mark.reliability("strangers who hold the door")]

CONNECTIONS = 1100
LIMIT = 1024  # soft and hard: what raises it can't help
GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nu"
STRANGERS = [b"", b"GET / HTTP/1.1\r\nHost", POST, GET % b"gradio_api/heartbeat/x"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("door")
    command = f'ulimit -n {LIMIT}; exec "$@"'
    program = ("sh", "-c", command, "sh", *SCRIPTED)
    served = serve(
        folder / "serve.log",
        environment={**os.environ, "HEADROOM_HOME": str(folder / "home")},
        program=(*program, "serve", "--auth", "me:secret", "--mcp"),
    )
    yield served
    served.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def cookies(page: Served) -> httpx.Cookies:
    return logged_in(page, "secret").cookies


def logged_in(page: Served, password: str) -> httpx.Response:
    form = {"username": "me", "password": password}
    return httpx.post(f"{page.url}login", data=form, trust_env=False, timeout=30)


def made(page: Served, cookies: httpx.Cookies) -> str:
    """What the stream says of a clip that is asked for."""
    calls = f"{page.url}gradio_api/call/"
    with httpx.Client(cookies=cookies, trust_env=False, timeout=60) as client:
        asked = client.post(f"{calls}v2/generate", json={"prompt": "a ball"})
        return client.get(f"{calls}generate/{asked.json()['event_id']}").text


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2000), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_files")
def test_the_owner_works_on_while_strangers_hold_the_door(
    page: Served, cookies: httpx.Cookies
) -> None:
    logs = page.log_file.stat().st_size
    held = []
    try:
        for n in range(CONNECTIONS):
            held.append(socket.create_connection(("127.0.0.1", page.port), 20))
            held[-1].sendall(STRANGERS[n % len(STRANGERS)])
        for _ in range(3):
            answer = httpx.get(page.url, cookies=cookies, trust_env=False, timeout=20)
            assert answer.status_code == 200
        assert len(list(Path(f"/proc/{page.pid}/fd").iterdir())) < LIMIT * 3 // 4
        assert "event: complete" in made(page, cookies)
    finally:
        for came in held:
            came.close()
    assert "event: complete" in made(page, cookies), "and afterwards"
    assert page.log_file.stat().st_size - logs < 5000
    assert "Too many open files" not in page.log()


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/heartbeat/x",
        "gradio_api/queue/data?session_hash=x",
        "gradio_api/call/generate/x",
        "gradio_api/info",
        "live",
        "mcp",
        "clips/1.mp4",
    ],
)
def test_nothing_streams_without_the_login(page: Served, path: str) -> None:
    with httpx.stream("GET", f"{page.url}{path}", trust_env=False, timeout=20) as answer:
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "path", ["queue/join", "cancel", "reset", "run/status", "startup-events/x"]
)
def test_nothing_of_gradios_is_called_without_the_login(page: Served, path: str) -> None:
    answer = httpx.post(f"{page.url}gradio_api/{path}", json={}, trust_env=False, timeout=20)
    assert answer.status_code == 401


def status(came: socket.socket) -> bytes:
    """Of an answer that began; empty where the connection was closed for others."""
    try:
        return came.recv(20, socket.MSG_PEEK)[9:12]
    except OSError:
        return b""


def test_the_owners_streams_are_counted(page: Served, cookies: httpx.Cookies) -> None:
    held = []
    header = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    beat = b"GET /gradio_api/heartbeat/%d HTTP/1.1\r\nHost: localhost\r\nCookie: %s\r\n\r\n"
    for n in range(200):
        held.append(socket.create_connection(("127.0.0.1", page.port), 20))
        held[-1].sendall(beat % (n, header))
    wait_until(lambda: b"429" in map(status, reversed(held)), "the cap")
    assert status(held[0]) == b"200"
    answer = httpx.get(page.url, cookies=cookies, trust_env=False, timeout=20)
    assert answer.status_code == 200
    for came in held:
        came.close()


def judged(statuses: list[int]) -> int:
    return sum(status != 429 for status in statuses)


def test_every_way_in_has_one_throttle(page: Served, cookies: httpx.Cookies) -> None:
    """And one try at once: what is in flight counts as wrong."""

    def basic(path: str, password: str = "wrong", **headers: str) -> int:
        return httpx.get(
            f"{page.url}{path}",
            auth=("me", password),
            headers={"X-Forwarded-For": "", **headers} if headers else None,
            trust_env=False,
            timeout=30,
        ).status_code

    def free() -> bool:
        return basic("clips/99.mp4", "secret") == 404

    def every_way_refused() -> bool:
        at_once = pool.map(lambda n: logged_in(page, f"{n}").status_code, range(60))
        assert 1 <= judged(list(at_once)) <= 3, "on a busy machine they take seconds"
        ways = [basic("clips/1.mp4"), basic("mcp"), logged_in(page, "secret").status_code]
        return ways == [429, 429, 429]

    with ThreadPoolExecutor(50) as pool:
        # On a machine so busy that the wait is over before the third way, it is tried again.
        for _ in range(5):
            if every_way_refused():
                break
            wait_until(free, "the end of the wait")
        else:
            pytest.fail("one of the ways has a throttle of its own")
        wait_until(free, "the end of the wait")
        for path in ("clips/1.mp4", "mcp"):
            tries = pool.map(lambda _, path=path: basic(path), range(20))
            assert 1 <= judged(list(tries)) <= 3
            wait_until(free, "the end of the wait")
        made_up = pool.map(lambda n: basic("mcp", **{"X-Forwarded-For": f"8.8.8.{n}"}), range(20))
        assert judged(list(made_up)) <= 4, "a second"
    assert free(), "strangers through a proxy don't keep the owner waiting"
    assert all(basic("clips/99.mp4", "secret") == 404 for _ in range(30))
    assert httpx.get(page.url, cookies=cookies, trust_env=False).status_code == 200
