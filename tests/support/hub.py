"""A hub on a local port: as much of the protocol as huggingface_hub asks for, and faults.

Large files (LFS) are redirected to another origin, as the real hub redirects to its CDN; every byte
that leaves is counted.
"""

import hashlib
import json
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.support.tensorfiles import TINY, block, rest, write, write_blocks

COMMIT = "c0ffee" + "0" * 34
PAGE = 3  # entries a page of a listing: the real hub's is 1000, and then a Link leads on
LFS_FROM = 1000  # bytes; smaller files are kept in git itself
PIECE = 16_384


@dataclass
class Fault:
    """What goes wrong with requests whose path contains ``at``, ``times`` times.

    ``cut``: the connection breaks after so many bytes. ``pace``: bytes a second. ``wrong``: the
    byte at this place of the file is another one. ``status``: an answer without the file.
    """

    at: str
    times: int = 1_000_000
    cut: int | None = None
    pace: int | None = None
    wrong: int | None = None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    method: str = "GET"


@dataclass
class Sent:
    """One request for a file's bytes: from where on, and how many left."""

    path: str
    start: int
    count: int = 0
    authorization: str | None = None


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is killed resets its connections; that is what is tested."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Hub:
    """Repositories in memory: ``repos[name][path]`` are a file's bytes."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.faults: list[Fault] = []
        self.sent: list[Sent] = []
        self.asked: list[str] = []
        self.tokens: set[str] = set()
        self.commits = [COMMIT]  # the last one is main
        self.lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def count(self) -> int:
        """Bytes of files that left, in all."""
        with self.lock:
            return sum(sent.count for sent in self.sent)

    def count_since(self, request: int) -> int:
        """Bytes that left by the requests after the first ``request`` ones: an older one may still
        write to a client that is dead."""
        with self.lock:
            return sum(sent.count for sent in self.sent[request:])

    @property
    def size(self) -> int:
        """Bytes of all files that the test's model needs from their first sources."""
        spare = ("wan_fp8", "encoders/models_t5", "README")
        return sum(
            len(data)
            for repo, files in self.repos.items()
            for path, data in files.items()
            if not any(mark in f"{repo}/{path}" for mark in spare)
        )

    def fault(self, at: str, **what: Any) -> None:
        with self.lock:
            self.faults.append(Fault(at, **what))

    def heal(self) -> None:
        with self.lock:
            self.faults.clear()

    def strike(self, path: str, method: str) -> Fault | None:
        """The fault that this request meets, which counts as once."""
        with self.lock:
            for fault in self.faults:
                if fault.at in path and fault.times and fault.method in (method, "*"):
                    fault.times -= 1
                    return fault
        return None

    def by_hash(self, digest: str) -> tuple[str, bytes]:
        found = (
            (path, data)
            for files in self.repos.values()
            for path, data in files.items()
            if hashlib.sha256(data).hexdigest() == digest
        )
        return next(found)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """A hub that offers the test's model; ``folder`` is scratch."""
    hub = Hub()
    fill(hub, folder)
    try:
        yield hub
    finally:
        hub.close()


def fill(hub: Hub, folder: Path) -> None:
    """The files of tests/fixtures/presets_weights/fetched.yaml, in the real names and layouts."""
    blocks = folder / "blocks"
    write_blocks(blocks, "fp8")
    single = folder / "wan_fp8.safetensors"
    whole = dict(rest())
    for index in range(TINY.layers):
        whole |= block(index, "fp8")
    write(single, whole)
    dice = random.Random(7)
    encoder, vae = (b"PK\x03\x04" + dice.randbytes(n) for n in (6_000_000, 2_000_000))
    tokenizer = {"tokenizer.json": b'{"model": {}}', "tokenizer_config.json": b"{}"}
    hub.repos["one/distilled"] = {
        **{f"distill_fp8/{file.name}": file.read_bytes() for file in blocks.iterdir()},
        "distill_fp8/models_t5_umt5-xxl-enc-fp8.pth": encoder,
        "distill_fp8/Wan2.1_VAE.pth": vae,
        "distill_fp8/README.md": b"Not a part of the model.",
    }
    hub.repos["two/models"] = {"wan_fp8.safetensors": single.read_bytes()}
    hub.repos["two/encoders"] = {
        "models_t5_umt5-xxl-enc-fp8.pth": encoder,
        **{f"google/umt5-xxl/{name}": data for name, data in tokenizer.items()},
    }


def _entry(path: str, data: bytes) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, Any] = {"type": "file", "oid": git, "size": len(data), "path": path}
    if len(data) >= LFS_FROM:
        digest = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 130}
    return entry


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.route()

    def do_GET(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route()

    def route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length).decode()
        with self.hub.lock:
            self.hub.asked.append(f"{self.command} {path}")
        fault = self.hub.strike(path, self.command)
        if fault is not None and fault.status is not None:
            return self.answer(fault.status, fault.body, fault.headers)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.hub.tokens and not path.startswith("/cdn/") and token not in self.hub.tokens:
            return self.answer(401, b"{}", {"X-Error-Code": "GatedRepo"})
        if path.startswith("/api/models/"):
            return self.api(path.removeprefix("/api/models/"))
        if path.startswith("/cdn/"):
            name, data = self.hub.by_hash(path.removeprefix("/cdn/"))
            fault = fault or self.hub.strike(name, self.command)
            return self.bytes_of(name, data, fault)
        return self.resolve(path, fault)

    def api(self, path: str) -> None:
        found = re.fullmatch(r"([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path)
        repo, kind, revision, inside = found.groups() if found else ("", "", "", "")
        files = self.hub.repos.get(repo)
        if files is None:
            return self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if revision not in (None, "main", *self.hub.commits):
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if kind in (None, "revision"):
            return self.json(
                {
                    "id": repo,
                    "sha": revision if revision in self.hub.commits else self.hub.commits[-1],
                }
            )
        if kind == "paths-info":
            wanted = [unquote(p) for p in re.findall(r"paths=([^&]+)", self.body)]
            return self.json([_entry(p, files[p]) for p in wanted if p in files])
        folder = (inside or "").strip("/")
        named = sorted(path for path in files if not folder or path.startswith(f"{folder}/"))
        if not named:
            return self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        self.page([_entry(path, files[path]) for path in named])

    def page(self, entries: list[dict[str, Any]]) -> None:
        query = urlsplit(self.path).query
        begin = int((re.findall(r"cursor=(\d+)", query) or ["0"])[0])
        headers = {}
        if begin + PAGE < len(entries):
            path = urlsplit(self.path).path
            following = f"{self.hub.url}{path}?cursor={begin + PAGE}"
            headers["Link"] = f'<{following}>; rel="next"'
        self.json(entries[begin : begin + PAGE], headers)

    def resolve(self, path: str, fault: Fault | None) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo, revision, name = found.groups() if found else ("", "", "")
        if repo not in self.hub.repos:
            return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        data = self.hub.repos[repo].get(name)
        if revision not in ("main", *self.hub.commits):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if data is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if len(data) < LFS_FROM:
            return self.bytes_of(name, data, fault)
        digest = hashlib.sha256(data).hexdigest()
        headers = {
            "Location": f"http://localhost:{self.hub.port}/cdn/{digest}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(data)),
            # The real hub offers every large file through Xet as well.
            "X-Xet-Hash": digest,
            "X-Xet-Refresh-Route": f"{self.hub.url}/api/models/{repo}/xet-read-token/{revision}",
        }
        if fault is not None:  # it strikes at the bytes themselves
            fault.times += 1
        self.answer(302, b"", headers)

    def bytes_of(self, name: str, data: bytes, fault: Fault | None) -> None:
        ranged = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(ranged[1]) if ranged else 0
        if fault is not None and fault.wrong is not None:
            at = fault.wrong
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command != "HEAD":
            sent = Sent(name, start, 0, self.headers.get("Authorization"))
            with self.hub.lock:
                self.hub.sent.append(sent)
            self.pour(data[start:], sent, fault)

    def pour(self, data: bytes, sent: Sent, fault: Fault | None) -> None:
        cut = fault.cut if fault is not None else None
        end = len(data) if cut is None else min(cut, len(data))
        try:
            for begin in range(0, end, PIECE):
                piece = data[begin : min(begin + PIECE, end)]
                self.wfile.write(piece)
                with self.hub.lock:
                    sent.count += len(piece)
                if fault is not None and fault.pace and fault in self.hub.faults:
                    time.sleep(len(piece) / fault.pace)
        except OSError:  # the client was killed, or paused
            self.close_connection = True
            return
        self.close_connection = self.close_connection or cut is not None

    def json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self.answer(200, json.dumps(value).encode(), headers or {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
