"""Strangers at the door: what the owner notices while they hold connections and guess logins.

``python -m tests.tools.attack_door``: a page with a login, ``--mcp`` and a share in this computer's
network runs with a soft limit of 1,024 open files. Strangers come from this computer's own network
address, the owner from 127.0.0.1. Each attack keeps 1,100 connections open for ``--seconds``, and
opens another for each one that is closed. Prints one JSON object: how many they held, how long the
owner's page took to answer on a new connection, how long his clip took, by how much the logs grew.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from engine.home import PROJECT
from tests.conftest import TESTS, wait_until

CONNECTIONS = 1100
SOFT_LIMIT = 1024
USER, PASSWORD = "me", "secret"
SAID = re.compile(r"Headroom is at http://\S+:(\d+)/.*?Shared at http://\S+:(\d+)/", re.S)


def host(port: int) -> None:
    """The page in this process, as ``app.py serve`` runs it; its share needs no tunnel."""
    from engine.commands.main import main
    from ui.serve import serve
    from ui.share.session import Opened, Sharing, Where

    start = Sharing.start

    def in_network(self: Sharing, where: Where, hours: float, model: str) -> Opened:
        return start(self, "network", hours, model)

    Sharing.start = in_network  # type: ignore[method-assign]
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT_LIMIT, _hard_limit()))
    arguments = ["serve", "--host", "0.0.0.0", "--port", str(port), "--no-browser", "--share"]
    sys.exit(main([*arguments, "--mcp", "--auth", f"{USER}:{PASSWORD}"], open_page=serve))


def _hard_limit() -> int:
    wanted = os.environ.get("ATTACK_HARD_LIMIT")
    return int(wanted) if wanted else resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# ---- the strangers ---------------------------------------------------------------------------


@dataclass
class Crowd:
    """``CONNECTIONS`` at once to ``port``, each doing ``act`` until it is closed, then anew."""

    port: int
    act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    source: str
    held: int = 0
    most: int = 0
    opened: int = 0
    refused: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._one()) for _ in range(CONNECTIONS)]
        await self._ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self) -> None:
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", self.port, local_addr=(self.source, 0)
                    )
            except (OSError, TimeoutError):
                self.refused += 1
                await asyncio.sleep(0.2)
                continue
            self.opened, self.held = self.opened + 1, self.held + 1
            self.most = max(self.most, self.held)
            try:
                acting = asyncio.ensure_future(self.act(reader, writer))
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await acting
            finally:
                acting.cancel()
                self.held -= 1
                writer.transport.abort()
            await asyncio.sleep(0.2)


@contextlib.contextmanager
def crowd(made: Crowd) -> Iterator[Crowd]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(made.run()))
    thread.start()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(made._ended.set)
        thread.join()
        loop.close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await _until_closed(reader)


def dripping(first: bytes, drop: bytes) -> Any:
    """Sends ``first``, and then ``drop`` each two seconds."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def drip() -> None:
            writer.write(first)
            while True:
                await asyncio.sleep(2)
                writer.write(drop)

        task = asyncio.ensure_future(drip())
        try:
            await _until_closed(reader)
        finally:
            task.cancel()

    return act


def sipping(path: str) -> Any:
    """Asks for ``path`` again and again, and takes hardly any of it."""

    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        writer.write(request * 20)
        while await reader.read(16):
            await asyncio.sleep(1)

    return act


def heartbeat() -> Any:
    path = "/gradio_api/heartbeat/x"
    return dripping(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), b"")


def nonsense() -> Any:
    async def act(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        await _until_closed(reader)

    return act


# ---- the owner ---------------------------------------------------------------------------------


class Page:
    """The child, and its owner's way to it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.log_file = folder / "serve.log"
        environment = {
            **os.environ,
            "HEADROOM_HOME": str(self.home),
            "HEADROOM_PRESETS": str(TESTS / "fixtures/presets"),
        }
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.tools.attack_door", "--host", "27860"],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                cwd=PROJECT,
            )
        wait_until(lambda: SAID.search(self.log_file.read_text()), "both addresses", 120)
        found = SAID.search(self.log_file.read_text())
        assert found is not None
        self.port, self.share = int(found[1]), int(found[2])
        self.url = f"http://127.0.0.1:{self.port}/"
        form = {"username": USER, "password": PASSWORD}
        answer = httpx.post(f"{self.url}login", data=form, trust_env=False)
        self.cookies = dict(answer.cookies)
        assert self.cookies

    def log_bytes(self) -> int:
        files = [*self.home.glob("logs/*"), self.log_file]
        return sum(file.stat().st_size for file in files)

    def answers(self, seconds: float) -> dict[str, Any]:
        """How long a whole page takes, each time on a new connection."""
        took, failed, until = [], 0, time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                answer = httpx.get(self.url, cookies=self.cookies, trust_env=False, timeout=10)
                failed += answer.status_code != 200
                took.append(time.perf_counter() - began)
            except httpx.TransportError:
                failed += 1
            time.sleep(0.2)
        middle = round(1000 * statistics.median(took)) if took else None
        worst = round(1000 * max(took)) if took else None
        return {"asked": len(took), "failed": failed, "median_ms": middle, "worst_ms": worst}

    def clip_seconds(self) -> float | None:
        """How long one takes, from asking to its end; None where none was made in a minute."""
        began = time.monotonic()
        try:
            with httpx.Client(
                base_url=f"{self.url}gradio_api/call/",
                cookies=self.cookies,
                trust_env=False,
                timeout=60,
            ) as client:
                asked = client.post("v2/generate", json={"prompt": "a ball"})
                event = asked.json()["event_id"]
                told = client.get(f"generate/{event}").text
        except (httpx.TransportError, KeyError, ValueError):
            return None
        return round(time.monotonic() - began, 2) if "event: complete" in told else None

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


def under_attack(page: Page, made: Crowd, seconds: float) -> dict[str, Any]:
    logged = page.log_bytes()
    with crowd(made), ThreadPoolExecutor() as pool:
        time.sleep(2)
        clip = pool.submit(page.clip_seconds)
        answers = page.answers(seconds)
        files = page.open_files()
        found: dict[str, Any] = {"held": made.held, "opened": made.opened, "refused": made.refused}
        found |= {"owner": answers, "clip_seconds": clip.result(), "files_open": files}
    return found | {"logs_grew_bytes": page.log_bytes() - logged}


# ---- guesses -----------------------------------------------------------------------------------


def guesses(ask: Callable[[httpx.Client, int], httpx.Response], seconds: float) -> dict[str, int]:
    """How many were judged (what isn't 429) by eight at once, from a stranger's address."""
    until, found = time.monotonic() + seconds, Counter[str]()

    def one(worker: int) -> None:
        with _client() as client:
            n = 0
            while time.monotonic() < until:
                n += 1
                status = ask(client, 1000 * worker + n).status_code
                found["refused" if status == 429 else f"judged_{status}"] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    return dict(found)


def at_once(ask: Callable[[httpx.Client, int], httpx.Response], count: int) -> dict[str, int]:
    def one(n: int) -> str:
        with _client() as client:
            try:
                status = ask(client, n).status_code
            except httpx.TransportError:
                return "no_answer"
        return "refused" if status == 429 else f"judged_{status}"

    with ThreadPoolExecutor(count) as pool:
        return dict(Counter(pool.map(one, range(count))))


def _client() -> httpx.Client:
    way = httpx.HTTPTransport(local_address=source_address())
    return httpx.Client(transport=way, timeout=30, trust_env=False)


def source_address() -> str:
    """This computer's own in its network, from which nothing is sent here."""
    with contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as way:
        way.connect(("198.51.100.1", 9))
        return str(way.getsockname()[0])
    sys.exit("This computer is in no network, so that nobody can be a stranger.")


def basic(n: int) -> dict[str, str]:
    told = base64.b64encode(f"{USER}:guess{n}".encode()).decode()
    return {"Authorization": f"Basic {told}", "Accept": "application/json, text/event-stream"}


def guessing(page: Page, seconds: float) -> dict[str, Any]:
    url, share = page.url, f"http://{source_address()}:{page.share}"

    def login(client: httpx.Client, n: int) -> httpx.Response:
        return client.post(f"{url}login", data={"username": USER, "password": f"guess{n}"})

    def enter(client: httpx.Client, n: int) -> httpx.Response:
        return client.post(f"{share}/enter", json={"password": f"{n}"}, headers={"Origin": share})

    ways: dict[str, Callable[[httpx.Client, int], httpx.Response]] = {
        "basic_clips": lambda client, n: client.get(f"{url}clips/1.mp4", headers=basic(n)),
        "basic_mcp": lambda client, n: client.post(f"{url}mcp", json={}, headers=basic(n)),
        "login": login,
        "share": enter,
    }
    found: dict[str, Any] = {name: guesses(ask, seconds) for name, ask in ways.items()}
    time.sleep(61)
    found["login_200_at_once"] = at_once(login, 200)
    return found


# ---- all of it -----------------------------------------------------------------------------------


def attacks(page: Page) -> dict[str, Crowd]:
    stranger, here = source_address(), "127.0.0.1"
    head = (
        b"POST /%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: 9000\r\n\r\n"
    )
    form = b"application/x-www-form-urlencoded"
    share = head.replace(b"localhost", stranger.encode())
    share = share.replace(b"Content-Type", b"Origin: http://%s:%d\r\nContent-Type")
    enter = share % (b"enter", stranger.encode(), page.share, b"application/json")
    text = httpx.get(page.url, cookies=page.cookies, trust_env=False).text
    large = max(re.findall(r"/?(assets/[^\"']+\.(?:js|css))", text), key=len, default="")
    begun = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    return {
        "silent": Crowd(page.port, silent, stranger),
        "silent_from_here": Crowd(page.port, silent, here),
        "slow_headers": Crowd(page.port, dripping(begun, b"X-A: b\r\n"), stranger),
        "slow_bodies": Crowd(page.port, dripping(head % (b"login", form), b"u"), stranger),
        "slow_bodies_from_here": Crowd(page.port, dripping(head % (b"login", form), b"u"), here),
        "slow_readers": Crowd(page.port, sipping(f"/{large}"), stranger),
        "heartbeats": Crowd(page.port, heartbeat(), stranger),
        "heartbeats_from_here": Crowd(page.port, heartbeat(), here),
        "nonsense": Crowd(page.port, nonsense(), stranger),
        "share_silent": Crowd(page.share, silent, stranger),
        "share_slow_bodies": Crowd(page.share, dripping(enter, b'"'), stranger),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", type=int, help="serve the page that is attacked, on this port")
    parser.add_argument("--seconds", type=float, default=15, help="of each attack")
    parser.add_argument("--only", nargs="+", help="these attacks")
    options = parser.parse_args()
    if options.host:
        host(options.host)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with tempfile.TemporaryDirectory() as folder:
        page = Page(Path(folder))
        found: dict[str, Any] = {}
        try:
            found["at_rest"] = {"owner": page.answers(3), "clip_seconds": page.clip_seconds()}
            for name, made in attacks(page).items():
                if not options.only or name in options.only:
                    found[name] = under_attack(page, made, options.seconds)
                    sys.stderr.write(f"{name}: {json.dumps(found[name])}\n")
            if not options.only or "guesses" in options.only:
                found["guesses"] = guessing(page, 5)
            found["afterwards"] = {"owner": page.answers(3), "clip_seconds": page.clip_seconds()}
        finally:
            page.end()
            sys.stderr.write(page.log_file.read_text()[-3000:])
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
