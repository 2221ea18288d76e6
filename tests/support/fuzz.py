"""What thousands of senseless calls of a running page come to.

``fuzz`` starts a page of its own with the visitors' page open, sends the calls that
tests/support/fuzzed.py makes, and tells how many had which status, every answer above 499, every
traceback, and by how much the page's process grew.
"""

import collections
import html
import json
import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil

from engine.home import PROJECT
from tests.conftest import TESTS, wait_until
from tests.support.fuzzed import Call, Calls
from tests.support.served import LAZY, Served, serve

CALLS = 10_000
WARM = 1_000  # calls before memory is looked at
THREADS = 8
REAL = 20  # clips that the calls may have made
START = 9
SECONDS = 60.0
# What no client may be told. An answer that isn't an error may name the owner's folders: the
# Set-up tab does.
TRACES = ("Traceback (most recent", "site-packages", "/gradio/routes.py")


@dataclass
class Told:
    """What came of it. ``faults``: answers above 499 and why, by address; ``leaks``: what a client
    was told and shouldn't; ``broken``: calls without an answer; ``curve``: megabytes,
    every 500 calls."""

    calls: int = 0
    statuses: dict[str, int] = field(default_factory=lambda: collections.Counter())
    faults: dict[str, int] = field(default_factory=lambda: collections.Counter())
    leaks: list[str] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=lambda: collections.Counter())
    ours: list[str] = field(default_factory=list)
    gradios: dict[str, int] = field(default_factory=lambda: collections.Counter())
    megabytes: tuple[float, float] = (0.0, 0.0)
    growth: float = 0.0
    curve: list[float] = field(default_factory=list)
    clips: int = 0
    serves: bool = False
    seconds: float = 0.0


class Fuzz:
    """One page, and the calls that are sent to it."""

    def __init__(self, served: Served, home: Path) -> None:
        self._served, self._home = served, home
        self._lock = threading.Lock()
        self.told = Told()
        limits = httpx.Limits(max_keepalive_connections=THREADS, max_connections=4 * THREADS)
        self._client = httpx.Client(trust_env=False, timeout=SECONDS, limits=limits)
        self._config = self._client.get(f"{served.url}config").json()
        self._door, self._cookie = "", ""

    def run(self, count: int, start: int = START, values: list[Any] | None = None) -> Told:
        began = time.monotonic()
        calls = Calls(self._config, start, REAL, values)
        self._share()
        for call in calls.found():
            self._send(call)
        sent, warm = iter(calls.draw, None), min(WARM, count // 2)
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._send, islice(sent, warm)))
            self._idle()
            before = self._memory()
            for at in range(warm, count, 500):
                self._share()
                self.told.curve.append(round(self._memory() / 1e6, 1))
                list(pool.map(self._send, islice(sent, min(500, count - at))))
        self._idle()
        after = self._memory()
        told = self.told
        told.megabytes = (round(before / 1e6, 1), round(after / 1e6, 1))
        told.growth = round(after / before - 1, 4)
        told.clips = self._client.get(f"{self._served.url}library").json()["count"]
        told.serves = self._still_makes_clips()
        told.ours, told.gradios = tracebacks(self._served.log())
        told.seconds = round(time.monotonic() - began, 1)
        self._client.close()
        return told

    def _memory(self) -> int:
        return int(psutil.Process(self._served.pid).memory_info().rss)

    # ---- one call --------------------------------------------------------------------------

    def _send(self, call: Call) -> None:
        base = self._door if call.door else self._served.url
        headers = {n.encode(): v.encode("latin-1") for n, v in call.headers.items()}
        if call.door:
            headers |= {b"Cookie": self._cookie.encode(), b"Origin": base.rstrip("/").encode()}
        for left in (1, 0):  # a kept connection may have been closed meanwhile
            try:
                answer = self._client.request(
                    call.method, base + call.path, content=call.content or None, headers=headers
                )
                break
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if left and isinstance(error, httpx.ReadError | httpx.RemoteProtocolError):
                    continue
                with self._lock:
                    self.told.calls += 1
                    kind = f"{'door ' if call.door else ''}{type(error).__name__}"
                    self.told.broken[f"{kind} {call.path[:30]}"] += 1
                return
        self._look(call, answer)
        if call.follow and answer.status_code == 200:
            event = answer.json().get("event_id", "")
            self._send(Call("GET", f"{call.follow}{event}"))

    def _look(self, call: Call, answer: httpx.Response) -> None:
        status, text = answer.status_code, answer.text
        hidden = [*TRACES, *([str(self._home), str(PROJECT)] if status >= 400 else [])]
        with self._lock:
            self.told.calls += 1
            self.told.statuses[f"{status // 100}xx"] += 1
            if status >= 500:
                where = re.sub(r"[^a-zA-Z_/]+", "", call.path)[:40]
                self.told.faults[f"{status} {call.method} {where} {text[:80]}"] += 1
            for secret in hidden:
                if secret in text:
                    self.told.leaks.append(f"{call.method} {call.path[:80]} {status}: {secret}")

    # ---- before and after ------------------------------------------------------------------

    def _event(self, button: str) -> int:
        part = next(p for p in self._config["components"] if p["props"].get("elem_id") == button)
        return int(
            next(
                e["id"]
                for e in self._config["dependencies"]
                if [part["id"], "click"] in [list(target) for target in e["targets"]]
            )
        )

    def _press(self, button: str, *values: object) -> Any:
        body = {"data": values, "fn_index": self._event(button), "session_hash": "owner"}
        answer = self._client.post(f"{self._served.url}gradio_api/run/predict", json=body)
        return answer.json()

    def share(self) -> tuple[str, str]:
        """The visitors' page, and the cookie of somebody who was let in."""
        self._share()
        return self._door, self._cookie

    def _share(self) -> None:
        """Open the visitors' page; what the calls shut is opened anew. Its password comes once."""
        state = self._served.state("share-text")
        if state and self._cookie:
            return
        self._press("share-stop")
        made = json.dumps(self._press("share-start", "network", 2, "scripted"))
        address = re.search(r"share-address'>([^<]+)", made)
        password = re.search(r"share-password'>([^<]+)", made)
        if not address or not password:  # this computer is in no network
            self._door = self._served.url
            return
        self._door = html.unescape(address[1])
        answer = self._client.post(
            f"{self._door}enter",
            json={"password": password[1], "name": "<b>fuzz</b>"},
            headers={"Origin": self._door.rstrip("/")},
        )
        self._cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        self._client.cookies.clear()

    def _idle(self) -> None:
        """What the calls queued has ended, one way or the other."""
        wait_until(lambda: not self._served.state("running"), "the queue's end")

    def _still_makes_clips(self) -> bool:
        """Whether the page makes the next clip, after all of it."""
        nothing = [None] * 4  # pictures, their fit, LoRAs
        body = {"data": ["steps=2 the next one", "scripted", 32, 48, 5, 5, True, True, *nothing]}
        answer = self._client.post(
            f"{self._served.url}gradio_api/run/generate", json=body, timeout=240
        )
        return answer.status_code == 200 and answer.json()["data"][0]["state"] == "done"


def tracebacks(log: str) -> tuple[list[str], dict[str, int]]:
    """Those in the page's log: whole where a line of ours was at work or an answer of ours couldn't
    be told; those within Gradio and what it is made of are counted by their last line."""
    ours: list[str] = []
    gradios: dict[str, int] = collections.Counter()
    for found in re.findall(r"Traceback \(most recent.*?\n(?=\S)[^\n]*", log, re.S):
        own = any(f'"{PROJECT / room}' in found for room in ("ui", "engine"))
        gate = re.sub(rf'"{PROJECT / "ui" / "gate.py"}"[^\n]*', "", found)
        own = own and any(f'"{PROJECT / room}' in gate for room in ("ui", "engine"))
        if own or "postprocess_data" in found:
            ours.append(found)
        else:
            where = re.findall(r'/gradio/([a-z_/]+\.py)", line \d+, in (\w+)', found)
            kind = re.match(r"[\w.]+", found.rstrip().rpartition("\n")[2])
            place = " ".join(where[-1]) if where else "elsewhere"
            gradios[f"{kind[0] if kind else '?'} in {place}"] += 1
    return ours, gradios


def environment(folder: Path) -> dict[str, str]:
    """For a page that reaches nothing but this computer, whatever the calls ask of it."""
    nowhere = "http://127.0.0.1:9"
    return {
        **os.environ,
        "HEADROOM_HOME": str(folder / "home"),
        "HEADROOM_PRESETS": str(TESTS / "fixtures/presets"),
        "HF_HOME": str(folder / "hf"),
        "HF_ENDPOINT": nowhere,
        "GRADIO_SHARE_SERVER_ADDRESS": "127.0.0.1:9",
        **{name: nowhere for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")},
        "NO_PROXY": "127.0.0.1,localhost",  # Gradio asks its own page at the start
    }


def fuzz(count: int, folder: Path, start: int = START, values: list[Any] | None = None) -> Told:
    served = serve(folder / "serve.log", environment=environment(folder), program=LAZY)
    try:
        return Fuzz(served, folder / "home").run(count, start, values)
    finally:
        served.end(signal.SIGTERM)
