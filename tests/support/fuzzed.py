"""What tests/support/fuzz.py sends: values that make no sense, and calls of every address with
them.

The values are hypothesis's, drawn once and kept, and some that people break into servers with; the
calls are a seeded random choice, so that one run is like another. Others are for
tests/tools/search.py.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.conftest import TESTS

SAVED = TESTS / "fixtures/senseless_values.json"
HTML = "<img src=x onerror=alert(1)><script>alert(1)</script>"
NASTY: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**63) - 1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    -0.0,
    0.5,
    "",
    " ",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff",
    "\u202e",
    "\r\nX: y",
    "x" * 5000,
    "9" * 5000,
    "١٢",
    "²",
    "×",
    "-×-",
    "32×48",
    "32×48×5",
    "1×1×1",
    "0×0×0",
    "99999999999×99999999999×5",
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "..\\..\\windows\\win.ini",
    "%2e%2e%2f",
    HTML,
    "' or 1=1 --",
    "%_\\",
    "{{7*7}}",
    "${7*7}",
    "NaN",
    "null",
    "undefined",
    "__class__",
    "scripted",
    "first",
    [],
    {},
    [[]],
    [None] * 50,
    {"__type__": "update", "value": 1},
    {"path": "/etc/passwd"},
    {"do": "cancel", "job": 10**30},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"request": {"prompt": []}},
    {"url": "http://127.0.0.1:9/", "path": "x", "meta": {"_type": "gradio.FileData"}},
    {"id": 2**70},
    {"id": -1},
    {"request": {"height": "NaN", "prompt": HTML, HTML: 1}},
]
RAW = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"5",
    b'"x"',
    b"\xff\xfe",
    b"[" * 5000,
    b'{"data":' * 3000,
    b'{"data": 5}',
    b'{"data": {"a": 1}}',
    b'{"data": []}',
    b"\x00" * 100,
    b"a=b&c=d",
    b'{"data": [NaN]}',
    b'{"data": [1e999]}',
    b'{"data":["\\ud800"]}',
]
TYPES = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "",
    "text/html",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    "application/octet-stream",
    "application/json; charset=utf-7",
    "\xff",
]
PATHS = [
    "..",
    "../..",
    "%2e%2e",
    "..%2f..",
    "....//",
    "%00",
    "a%00.mp4",
    "/etc/passwd",
    "%5c..",
    "//etc/passwd",
    "..;/",
    "0",
    "-1",
    "1e3",
    "99999999999999999999",
    "headroom.sqlite3",
    "x",
    "%ff",
    "²",
    "1.mp4",
    "1.mp4/..",
    "CON",
    "1" * 3000,
]
NAMES = ["generate", "status", "cancel", "check", "library"]
FIELDS: dict[str, list[str]] = {
    "generate": [
        *("prompt", "model", "height", "width", "frames", "seed", "wait", "receipt"),
        *("image", "last_image", "fit", "loras"),
    ],
    "status": ["job"],
    "cancel": ["job"],
    "check": ["model", "height", "width", "frames"],
    "library": ["search", "limit", "offset"],
}
GOOD: dict[str, Any] = {
    "prompt": "steps=1 fuzzed",
    "model": "scripted",
    "height": 32,
    "width": 48,
    "frames": 5,
    "seed": 7,
    "wait": False,
    "receipt": True,
    "image": None,
    "last_image": None,
    "fit": "crop",
    "loras": None,
    "held": "",
    "job": 1,
    "search": "",
    "limit": 5,
    "offset": 0,
    "size": "32×48",
    "lock": True,
    "measure-size": "32×48×5",
    "measure-card": "",
    "seeds": 1,
    "lines": False,
    "share-where": "network",
    "share-hours": 2,
    "share-model": "scripted",
    "embed": True,
}
# These take no value, so there is nothing to try but pressing them: the first ends the
# share, the others make clips.
# The kernel test takes both cores for seconds, one at a time: it has tests of its own.
LEFT_OUT = ["share-stop", "same-again", "new-seed", "larger", "kernels-test"]
BROKEN = [("model", "no such model"), ("frames", 6), ("height", -1), ("prompt", "\x00")]
# What failed once, by the part and what happened to it: these are sent in every run.
FOUND: list[tuple[str, str, list[Any]]] = [
    ("idea-theme", "input", [["a list"], "people"]),  # TypeError: unhashable type
    ("idea-theme", "input", ["scripted", {"a": 1}]),
    ("model", "change", [{}, []]),
    ("llm-save", "click", ["http://127.0.0.1:9/v1", "m", "", "soon"]),  # TypeError: str <= float
    (
        "generate",
        "click",
        ["", "a", "scripted", "32×48", 6, 7, "", False, float("inf"), True, 0, 0],
    ),
    ("embed", "input", [[]]),
    ("measure", "click", [["scripted"], "7×7×7", ["gpu0"]]),
    ("prompt", "change", [["scripted"], "32×48", 5, ["a"], "", False, 1]),
]


@dataclass(frozen=True)
class Call:
    """One HTTP request. ``door``: at the visitors' port; ``follow``: read the answer it queues."""

    method: str
    path: str
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    door: bool = False
    follow: str = ""


def values() -> list[Any]:
    """Kept in a file (``tests.tools.search --save``): what hypothesis draws from one seed depends
    on its version, and on the modules that happen to be imported, whose constants it tries."""
    saved: list[Any] = json.loads(SAVED.read_text(encoding="utf-8"))
    return saved


class Calls:
    """Makes calls for a page whose ``/config`` is given.

    Args:
        real: how many calls may ask for a clip that is really made.
        own: values to try besides ``NASTY``; those that are kept, where it is left out.
    """

    def __init__(
        self, config: dict[str, Any], start: int, real: int, own: list[Any] | None = None
    ) -> None:
        self._random, self._real = random.Random(start), real
        self._values = values() if own is None else own
        self._parts = {part["id"]: part for part in config["components"]}
        left = {p["id"] for p in config["components"] if p["props"].get("elem_id") in LEFT_OUT}
        self._events = [
            event
            for event in config["dependencies"]
            if left.isdisjoint(t[0] for t in event["targets"])
        ]
        self._hosts = [p["id"] for p in config["components"] if p["type"] == "html"]
        self._kinds = [
            (self._event, 30),
            (self._named, 22),
            (self._server, 10),
            (self._library, 10),
            (self._change, 8),
            (self._file, 6),
            (self._upload, 4),
            (self._raw, 5),
            (self._door, 5),
        ]

    def draw(self) -> Call:
        kinds, weights = zip(*self._kinds, strict=True)
        made: Call = self._random.choices(kinds, weights)[0]()
        return made

    def found(self) -> list[Call]:
        """What failed once: ``FOUND``, a search for half a sign, an Origin that is no address."""
        made = []
        for part, happened, data in FOUND:
            events = [
                event["id"]
                for event in self._events
                if len(event["inputs"]) == len(data)
                and any(name == happened and self._is(part, id) for id, name in event["targets"])
            ]
            assert events, f"{part} has no such event any more"
            made += [
                self._post(
                    "gradio_api/run/predict",
                    {"data": data, "fn_index": event, "session_hash": "found"},
                )
                for event in events
            ]
        half = self._post("gradio_api/run/library", {"data": ["\ud800", 5, 0]})
        bracket = Call("POST", "clip/1/favourite", b"{}", {"Origin": "http://[", "X-Headroom": "1"})
        return [*made, half, bracket]

    def _is(self, name: str, part: int | None) -> bool:
        return part in self._parts and self._name(self._parts[part]) == name

    # ---- parts ---------------------------------------------------------------------------

    def _any(self) -> Any:
        pool = NASTY if self._random.random() < 0.5 else self._values
        return self._random.choice(pool)

    def _may_be_real(self) -> bool:
        if self._real > 0 and self._random.random() < 0.02:
            self._real -= 1
            return True
        return False

    def _spoiled(self, fields: dict[str, Any], chance: float) -> dict[str, Any]:
        """Some of the values replaced; what would be a clip, and shall be none, is broken."""
        if "prompt" in fields and self._may_be_real():
            return fields
        made = {k: self._any() if self._random.random() < chance else v for k, v in fields.items()}
        if {"prompt", "measure-size"} & set(made):
            name, value = self._random.choice([b for b in BROKEN if b[0] in made] or [("", "")])
            made[name or "measure-size"] = value if name else "7×7×7"
        return made

    def _json(self, body: object) -> bytes:
        return json.dumps(body).encode()

    def _post(self, path: str, body: object, follow: str = "", door: bool = False) -> Call:
        kind = self._random.choice(TYPES) if self._random.random() < 0.04 else TYPES[0]
        headers = {"Content-Type": kind, "X-Headroom": "1"}
        if self._random.random() < 0.02:
            headers.pop(self._random.choice(list(headers)))
        return Call("POST", path, self._json(body), headers, door, follow)

    def _session(self) -> str:
        return f"fuzz{self._random.randrange(8)}"

    # ---- Gradio's addresses ----------------------------------------------------------------

    def _event(self) -> Call:
        """One of the page's own events, private as they are, by its number."""
        event = self._random.choice(self._events)
        named = {str(i): self._usual(self._parts[i]) for i in event["inputs"]}
        names = {str(i): self._name(self._parts[i]) for i in event["inputs"]}
        known = {names[key] or key: value for key, value in named.items()}
        if "prompt" in known and "model" in known:
            known = self._spoiled(known, 0.25)
            if "frames" in known and known.get("frames") == 5 and "size" in known:
                known.setdefault("size", "32×48")
        else:
            known = self._spoiled(known, 0.4)
        data = [known.get(names[key] or key) for key in named]
        if self._random.random() < 0.05:
            data = self._random.choice([[], data[:-1], [*data, 1], self._any()])
        body: dict[str, Any] = {
            "data": data,
            "fn_index": event["id"],
            "session_hash": self._session(),
        }
        if self._random.random() < 0.5:
            body["event_data"] = self._any()
        if self._random.random() < 0.05:
            body[self._random.choice([*body, "trigger_id", "extra"])] = self._any()
        return self._post("gradio_api/run/predict", body)

    def _name(self, part: dict[str, Any]) -> str:
        return str(part["props"].get("elem_id") or "")

    def _usual(self, part: dict[str, Any]) -> Any:
        name = self._name(part)
        if name in GOOD:
            return GOOD[name]
        return {"number": 5, "checkbox": True, "textbox": "text", "html": ""}.get(part["type"])

    def _named(self) -> Call:
        name = self._random.choice(NAMES)
        fields = self._spoiled({key: GOOD[key] for key in FIELDS[name]}, 0.3)
        how = self._random.random()
        if how < 0.4:
            if self._random.random() < 0.2:
                fields.pop(self._random.choice(list(fields)))
            if self._random.random() < 0.1:
                fields[self._random.choice(["extra", "oauth_token", HTML])] = self._any()
            if name == "generate":
                fields = {"prompt": "", **fields} if "model" not in fields else fields
            return self._post(f"gradio_api/call/v2/{name}", fields, f"gradio_api/call/{name}/")
        data: Any = list(fields.values())
        if self._random.random() < 0.1:
            data = self._random.choice([[], data[:1], [*data, 1], self._any()])
            data = ["", *data[1:]] if isinstance(data, list) and name == "generate" else data
        if how < 0.6:
            return self._post(f"gradio_api/call/{name}", {"data": data}, f"gradio_api/call/{name}/")
        return self._post(f"gradio_api/run/{name}", {"data": data})

    def _server(self) -> Call:
        """The queue's buttons, by their names, and whatever else may be called so."""
        pressed = self._random.choice(["cancel", "up", "first", "edit", "clear_ended", self._any()])
        asked = {"do": pressed, "job": self._any()}
        body = {
            "data": self._random.choice([asked, asked, self._any(), [asked]]),
            "component_id": self._random.choice([*self._hosts, self._any()]),
            "session_hash": self._random.choice([self._session(), self._session(), self._any()]),
            "fn_name": self._random.choice(["pressed"] * 4 + ["__init__", "render", self._any()]),
        }
        if self._random.random() < 0.1:
            body.pop(self._random.choice(list(body)))
        return self._post("gradio_api/component_server", body)

    def _raw(self) -> Call:
        """Bodies that aren't what their content type says, at any address."""
        path = self._random.choice(
            [
                *(f"gradio_api/run/{n}" for n in [*NAMES, "predict", "x", "%00"]),
                "login",
                *(f"gradio_api/call/{n}" for n in [*NAMES, "x"]),
                "gradio_api/queue/join",
                *(f"gradio_api/call/v2/{n}" for n in [*NAMES, "x", "v2"]),
                "gradio_api/cancel",
                "gradio_api/component_server",
                "gradio_api/reset",
                "receipt",
                "clip/1/favourite",
                "gradio_api/stream/x",
                "gradio_api/queue/data",
                "library/scan",
            ]
        )
        return Call(
            self._random.choice(["POST"] * 6 + ["PUT", "DELETE", "PATCH", "OPTIONS", "GET"]),
            path,
            self._random.choice(RAW),
            {"Content-Type": self._random.choice(TYPES), "X-Headroom": "1"},
        )

    # ---- our own addresses -----------------------------------------------------------------

    def _library(self) -> Call:
        names = ["words", "model", "size", "favourites", "trash", "after", "limit", "extra"]
        asked = self._random.sample(names, self._random.randrange(4))
        query = "&".join(f"{name}={_quoted(self._any())}" for name in asked)
        place = self._random.choice(["library"] * 3 + ["clip/1", "thumb/1", "clips/1.mp4", "live"])
        method = "HEAD" if place == "live" else self._random.choice(["GET", "GET", "HEAD"])
        return Call(method, f"{place}?{query}")

    def _change(self) -> Call:
        number = self._random.choice([1, 2, 3, 999, *PATHS])
        what = self._random.choice(["favourite", "trash", "restore", "again", "folder", "receipt"])
        if what in ("again", "folder"):  # the first makes clips, the other opens a window
            number = 999 if isinstance(number, int) else number
        body = {"on": self._random.choice([True, False, self._any()]), "fresh": self._any()}
        if self._random.random() < 0.2:
            body["extra"] = self._any()
        if self._random.random() < 0.1:
            what = f"frame?at={_quoted(self._any())}"
        return self._post(f"clip/{number}/{what}", body)

    def _file(self) -> Call:
        start = self._random.choice(
            [
                "gradio_api/file=",
                "file=",
                "gradio_api/file/",
                "clip/",
                "thumb/",
                "picture/",
                "clips/",
                "static/",
                "assets/",
                "svelte/",
                "gradio_api/custom_component/1/client/",
                "gradio_api/proxy=",
                "theme.css",
                "gradio_api/stream/a/1/",
                "monitoring/",
            ]
        )
        return Call(self._random.choice(["GET", "HEAD"]), start + self._random.choice(PATHS))

    def _upload(self) -> Call:
        name = self._random.choice(["a.mp4", "../../a.mp4", "a\x00.mp4", HTML, "a.html"])
        content = b"\x00\x00\x00\x18ftypisom" + self._random.randbytes(200)
        if self._random.random() < 0.5:
            content = self._random.choice(RAW)
            place = self._random.choice(["receipt", "picture"])
            return Call("POST", f"{place}?name={quote(name)}", content, {"X-Headroom": "1"})
        head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b", "X-Headroom": "1"}
        path = self._random.choice(
            [
                "gradio_api/upload",
                "gradio_api/upload?upload_id=x",
                "gradio_api/process_recording",
                "gradio_api/component_server",
                f"receipt?name={quote(name)}",
            ]
        )
        return Call("POST", path, body, headers)

    def _door(self) -> Call:
        path = self._random.choice(
            [
                "",
                "state",
                "static/visitors.js",
                "static/" + self._random.choice(PATHS),
                "config",
                "clip/" + self._random.choice(PATHS),
                "clip/1.mp4",
                "library",
                "gradio_api/info",
            ]
        )
        if self._random.random() < 0.5:
            return Call(self._random.choice(["GET", "HEAD", "PUT"]), path, door=True)
        place = self._random.choice(["enter", "generate", "cancel", "picture"])
        fields = {"prompt": "", **{k: GOOD[k] for k in ("height", "width", "frames", "seed")}}
        body: Any = {"enter": {"password": "", "name": "x"}, "cancel": {"job": 1}}.get(
            place, fields
        )
        body = {key: self._any() if self._random.random() < 0.4 else v for key, v in body.items()}
        if place == "generate":
            body.update([self._random.choice([("frames", 6), ("prompt", "")])])
        if self._random.random() < 0.2:
            body = self._random.choice([{**body, "extra": 1}, self._any()])
        return self._post(place, body, door=True)


def _quoted(value: object) -> str:
    return quote(str(value).encode("utf-8", "surrogatepass"))[:2000]
