"""A language model's server on a local port: as much of OpenAI's interface as is asked for, and
faults."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.hub import Server


def said(content: object) -> bytes:
    """A whole answer."""
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": content}}]}
    ).encode()


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Llm:
    """What it does next. ``listing``: the status of its list of models. ``wait``: seconds before
    the answer. ``drip``: a byte at a time, for so many seconds each. ``cut``: it breaks off after
    so many bytes. ``endless``: it never ends."""

    status: int = 200
    body: bytes = field(default_factory=lambda: said("a red ball rolls left over green grass"))
    headers: dict[str, str] = field(default_factory=dict)
    listing: int = 200
    models: tuple[str, ...] = ("embeds-embed", "llama3.2", "qwen3:8b")
    wait: float = 0.0
    drip: float = 0.0
    cut: int | None = None
    endless: bool = False
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    gone: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class _Handler(BaseHTTPRequestHandler):
    llm: Llm

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.llm.asked.append(Asked(self.path, dict(self.headers), {}))
        listed = [{"id": name, "object": "model"} for name in self.llm.models]
        self.answer(self.llm.listing, {}, json.dumps({"object": "list", "data": listed}).encode())

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.llm.asked.append(
            Asked(self.path, dict(self.headers), json.loads(self.rfile.read(length)))
        )
        time.sleep(self.llm.wait)
        self.answer(self.llm.status, self.llm.headers, self.llm.body)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        llm = self.llm
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if not llm.endless:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            while llm.endless:
                llm.sent += self.wfile.write(b" " * 65_536)
            if not llm.drip:
                self.wfile.write(body[: llm.cut])
                return
            for byte in body:
                self.wfile.write(bytes([byte]))
                time.sleep(llm.drip)
        except OSError:  # whoever asked has gone
            llm.gone.set()


@contextmanager
def running() -> Iterator[Llm]:
    llm = Llm()
    server = Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"llm": llm}))
    llm.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield llm
    finally:
        server.shutdown()
        server.server_close()
