"""Requests that no client sends: broken headers, addresses and bodies, as bytes on the wire.

Whatever comes in has to be answered by less than 500. ``tests/tools/odd_requests.py`` sends all of
them, the suite some.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass

Post = tuple[str, bytes, str]  # path, body, content type

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
OWNERS_GETS = (
    "/ /config /live-feed.js /texts/zh.json /clip/1 /thumb/1 /clips/1.mp4 /clip/1/receipt /library"
    " /gradio_api/info /gradio_api/file=x /static/x.js /assets/x /theme.css /favicon.ico"
    " /login_check /gradio_api/user /gradio_api/startup-events /mcp /robots.txt /manifest.json"
    " /pwa_icon /gradio_api/openapi.json /gradio_api/queue/status"
).split()
OWNERS_POSTS: list[Post] = [
    ("/login", b"username=a&password=b", FORM),
    ("/gradio_api/run/generate", b'{"data":[1]}', JSON),
    ("/gradio_api/call/v2/generate", b'{"prompt":1}', JSON),
    ("/gradio_api/queue/join", b'{"data":[],"fn_index":1,"session_hash":"x"}', JSON),
    ("/gradio_api/cancel", b'{"session_hash":"a","fn_index":0,"event_id":"b"}', JSON),
    ("/gradio_api/component_server", b'{"session_hash":"a","component_id":1}', JSON),
    ("/gradio_api/reset", b'{"event_id":"x"}', JSON),
    ("/clip/1/trash", b"{}", JSON),
    ("/library/scan", b"{}", JSON),
    ("/library/trash", b'{"ids":[1]}', JSON),
    ("/receipt", b"abc", "video/mp4"),
    ("/mcp", b"{}", JSON),
]
VISITORS_GETS = (
    "/ /static/visitors.js /static/texts.js /texts/zh.json /state /clip/1.mp4"
    " /clip/1.mp4?download /clip/1.jpg /logout"
).split()
VISITORS_POSTS: list[Post] = [
    ("/enter", b'{"password":"x","name":"y"}', JSON),
    ("/generate", b'{"prompt":"x"}', JSON),
    ("/cancel", b'{"job":1}', JSON),
]
ANYWHERE = [
    *b"|http://[|http://[::1|//[|\xff\xfe\x00x|\xff|[|]|[::1|::1|:|:x|a:b:c|%|%zz|%ff|%00|-1|1e9|0x10|"
    b"+1|1_0|\xb2|99999999999999999999999|null|*|@|a@b|http://a b|a\tb|\xe2\x80\xa8|http://\xff|"
    b'http://x:99999|http://x:y|,|;|"|"\\|=|==|{}'.split(b"|"),
    b"a" * 9000,
]
IN_HEADERS: dict[str, list[bytes]] = {
    "Host": [],
    "Origin": [],
    "Content-Length": [],
    "Transfer-Encoding": [],
    "Connection": [],
    "Referer": [],
    "Range": [
        *b"bytes|bytes=|bytes=-|bytes=a-b|bytes=5-1|bytes=-0|bytes=99999999999-|items=0-1|bytes=--1|"
        b"bytes=0-99999999999999999999|bytes=\xff-|bytes=\xb2-\xb3|bytes=0-1,-1,5-".split(b"|"),
        b"bytes=" + b"0-0," * 300,
    ],
    "If-Range": [b'W/"x"', b"Sat, 99 Foo 2026"],
    "If-None-Match": [b'W/"', b'"' * 500],
    "If-Modified-Since": [
        b"Sat, 99 Foo 99999 99:99:99 GMT",
        b"Fri, 31 Dec 99999 23:59:59 +9999",
        b"Mon, 1 Jan 2024 00:00:00 +99999999999999999999",
        b"Thu, 01 Jan 0000 00:00:00 GMT",
    ],
    "Content-Type": [
        b"application/json; charset=x",
        b"application/json;charset=utf-16",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=\xff",
        b"application/x-www-form-urlencoded; charset=foo",
        b"text/\xff",
        b"message/rfc822; x*=utf-8''%ff",
    ],
    "Accept-Language": [
        *b"zh;q=x|zh;q=|zh;q=nan|zh;q=inf|zh;q=-1|zh;q=1e999|zh;q=\xb2".split(b"|")
    ],
    "Accept-Encoding": [b"gzip;q=x", b"br;q="],
    "Cookie": [
        b"headroom_language=\xff",
        b'a="\\',
        b'a="\\400"',
        b'a="\\777"; b="',
        b"access-token-unsecure-x=\xff",
        b"headroom_visit=\xff; x",
        b'headroom_visit="\\303\\251"',
    ],
    "Authorization": [
        *b"Basic|Basic |Basic \xff|Basic ====|Basic QQ==|Basic //8=|Bearer \xff".split(b"|"),
        b"basic bWU6/w==",
        b"Basic " + b"A" * 7000,
    ],
    "Sec-Fetch-Site": [],
    "X-Forwarded-For": [b"unknown, [::1]:9, 1.2.3.4:99999", b"::1%"],
    "X-Forwarded-Proto": [b"javascript", b"https,http"],
    "X-Forwarded-Host": [b"evil.example", b"x:y", b"a,b"],
    "Forwarded": [b'for="['],
    "X-Gradio-Server": [],
    "X-Gradio-User": [],
    "X-Headroom": [],
    "User-Agent": [],
    "Expect": [b"100-continue"],
    "Upgrade": [b"websocket", b"h2c"],
    "Mcp-Session-Id": [],
    "Last-Event-ID": [],
}
PATHS = (
    "/% /%zz /%00 /%ff /clip/%ff /clip/1%00 /clip/%31 /clip/-1 /clip/99999999999999999999999999"
    " /clip/%D9%A1 /clip/1/../1 // //[ //evil/x /\\ /clips/%ff.mp4 /clips/99999999999999999999.mp4"
    " /thumb/%C2%B2 /library?before=%ff /library?limit=x /library?q=%ff%00 /library?size=%ff"
    " /static/%ff /static/../x /static/%2e%2e/%2e%2e/etc/passwd /static/x%00.js /assets/%00"
    " /svelte/%00 /gradio_api/file=%00 /gradio_api/file=%ff /gradio_api/file=http://["
    " /gradio_api/file//x /gradio_api/call/generate/%ff /gradio_api/queue/data"
    " /gradio_api/queue/data?session_hash=%ff /gradio_api/info?page=%ff /config?x=[ /?__theme=["
    " /?view=%ff /?deep_link=%ff /?%ff=%ff /?__lang=zh%00 /pwa_icon/999999 /pwa_icon/-1 /logout?x"
    " /live?x /clip/1.%00 /clip/%ff.mp4 /clip/1.mp4?download=%ff /state?%ff * http://[/ evil"
).split()
LONG_PATHS = [f"/{start}{'a' * 5000}" for start in ("static/", "assets/", "gradio_api/file=", "")]
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE")
BODIES = [
    b"",
    b"\xff",
    b"[",
    b"null",
    b"[]",
    b"1",
    b"NaN",
    b'{"a":' * 50_000,
    b"[" * 100_000,
    b'{"x":1e999}',
    b'{"prompt":"\\ud800"}',
    b'{"data":["\\ud800"]}',
    b'{"password":"\\ud800","name":"\\udfff"}',
    b'{"job":1e400}',
    b'{"job":' + b"9" * 5000 + b"}",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
]


@dataclass(frozen=True)
class Door:
    """A server to send to, and what it serves."""

    port: int
    host: str
    origin: str
    cookie: str
    gets: list[str]
    posts: list[Post]

    def wire(
        self,
        method: str,
        path: str,
        header: tuple[str, bytes] | None = None,
        body: bytes = b"",
        kind: str = "",
    ) -> bytes:
        """One request; ``header`` stands in place of the one that it would have."""
        headers = {"Host": self.host.encode(), "Cookie": self.cookie.encode()}
        if method not in ("GET", "HEAD"):
            headers |= {"Origin": self.origin.encode(), "Content-Length": b"%d" % len(body)}
        if kind:
            headers["Content-Type"] = kind.encode()
        if header is not None:
            headers[header[0]] = header[1]
        headers.setdefault("Connection", b"close")
        lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in headers.items())
        return f"{method} {path} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body

    def requests(self) -> Iterator[tuple[str, bytes]]:
        """What it is, and its bytes."""
        for name, own in IN_HEADERS.items():
            for value in [*own, *ANYWHERE]:
                told = f"{name}: {value[:40]!r}"
                for path in self.gets:
                    yield f"GET {path} {told}", self.wire("GET", path, (name, value))
                for path, body, kind in self.posts:
                    yield f"POST {path} {told}", self.wire("POST", path, (name, value), body, kind)
        for path in [*PATHS, *LONG_PATHS]:
            for method in METHODS:
                yield f"{method} {path[:60]}", self.wire(method, path)
        for sent in BODIES:
            for path, _, kind in self.posts:
                yield f"POST {path} {sent[:30]!r}", self.wire("POST", path, None, sent, kind)

    def status(self, told: str, request: bytes) -> int:
        """Of the answer; 0 where the connection was closed without one, or nothing came in time."""
        waits = any(name in told for name in ("Content-Length", "Transfer-Encoding", "Expect"))
        with socket.create_connection(
            ("127.0.0.1", self.port), timeout=0.3 if waits else 10
        ) as wire:
            try:
                wire.sendall(request)
                answer = wire.makefile("rb").readline(200).split()
            except OSError:
                return 0
        return int(answer[1]) if len(answer) > 1 else 0
