"""Every address that gives files away, of the owner's page and of the visitors', with every way of
writing a path: what isn't a clip by its number, or the page's own, never comes out."""

import http.client
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from engine.home import PROJECT
from tests.conftest import TESTS, wait_until
from tests.support.clipfiles import receipt, write
from tests.support.fuzz import Fuzz
from tests.support.served import LAZY, Served, serve

SECRET = b"what lies outside"
BUSY = b"Too many connections are open"
STARTS = [
    "gradio_api/file=",
    "file=",
    "gradio_api/file/",
    "gradio_api/file=../",
    "clip/",
    "thumb/",
    "clips/",
    "static/",
    "static/fonts/",
    "assets/",
    "svelte/",
    "theme.css/",
    "library/",
    "",
    "gradio_api/custom_component/1/client/component/",
    "gradio_api/stream/a/1/1/",
    "receipt?name=",
    "gradio_api/upload?path=",
    "gradio_api/proxy=file://",
    "pwa_icon/",
    "login/",
    "live/",
]
ALIKE: list[Callable[[str], str]] = [
    lambda path: path,
    lambda path: quote(path, safe=""),
    lambda path: quote(quote(path, safe=""), safe=""),
    lambda path: "../" * 12 + path.lstrip("/"),
    lambda path: "..%2f" * 12 + path.lstrip("/"),
    lambda path: "%2e%2e/" * 12 + path.lstrip("/"),
    lambda path: "..%5c" * 12 + path.lstrip("/"),
    lambda path: "....//" * 12 + path.lstrip("/"),
    lambda path: "..%c0%af" * 12 + path.lstrip("/"),
    lambda path: "/" + path,
    lambda path: path + "%00.mp4",
    lambda path: path + "%3f.mp4",
    lambda path: "file://" + path,
    lambda path: f"{os.path.dirname(path)}/x/../{os.path.basename(path)}",
    lambda path: path.upper(),
]

pytestmark = [
    pytest.mark.starts,
    pytest.mark.reliability("ways of writing a path, on every address that gives files"),
]


@dataclass
class Place:
    """A page with one clip, links beside it, and files that are nobody's to have."""

    served: Served
    home: Path
    secrets: list[Path]
    door: str
    cookie: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("paths")
    home, outside = folder / "home", folder / "outside"
    clips = home / "clips"
    for made in (clips, outside, home / "weights", home / "logs"):
        made.mkdir(parents=True)
    (outside / "secret.txt").write_bytes(SECRET)
    (outside / "secret.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + SECRET)
    (home / "weights" / "secret.safetensors").write_bytes(SECRET)
    (home / "logs" / "secret.log").write_bytes(SECRET)
    write(clips / "mine.mp4", receipt("mine"))
    write(outside / "film.mp4", receipt("not of the library"))
    (clips / "secret.txt").write_bytes(SECRET)
    for link, to in (("a.mp4", "secret.mp4"), ("b.mp4", "film.mp4"), ("b.jpg", "secret.txt")):
        (clips / link).symlink_to(outside / to)
    (clips / "c").symlink_to(outside, target_is_directory=True)
    old = 1_700_000_000
    for file in (clips / "mine.mp4", outside / "film.mp4", outside / "secret.mp4"):
        os.utime(file, (old, old))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADROOM_HOME", str(home))
        patch.setenv("HEADROOM_PRESETS", str(TESTS / "fixtures/presets"))
        served = serve(folder / "serve.log", program=LAZY)
    wait_until(lambda: listed(served), "the clip that is one")
    door, cookie = Fuzz(served, home).share()
    secrets = [
        outside / "secret.txt",
        outside / "secret.mp4",
        outside / "film.mp4",
        clips / "a.mp4",
        clips / "b.mp4",
        clips / "b.jpg",
        clips / "c" / "secret.txt",
        clips / "secret.txt",
        clips / "mine.mp4",
        home / "weights" / "secret.safetensors",
        home / "logs" / "secret.log",
        *home.glob("*.sqlite3*"),
        *home.glob("*.db*"),
        PROJECT / "app.py",
        PROJECT / "README.md",
        Path("/etc/passwd"),
    ]
    yield Place(served, home, secrets, door, cookie)
    served.end(signal.SIGTERM)


def files_with(body: bytes, folder: Path) -> list[Path]:
    """By what is in them, not by their number: the program writes files of its own meanwhile."""
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and body in path.read_bytes():
                found.append(path)
    return found


def listed(served: Served) -> list[str]:
    found = httpx.get(f"{served.url}library", trust_env=False).json()["clips"]
    return [clip["prompt"] for clip in found]


class Line:
    """Asks at ``base`` over one connection, or another where the server ends it: new ones come
    faster than the door lets one address come."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._host = parts.netloc
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)

    def raw(self, method: str, path: str, **headers: str) -> tuple[int, bytes]:
        """As it is written: clients tidy ``..`` away before they ask."""
        got: list[tuple[int, bytes]] = []

        def let_in() -> bool:
            got[:] = self._answers(method, path, headers)
            return bool(got) and BUSY not in got[0][1]

        wait_until(let_in, "a free place")
        return got[0]

    def _answers(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> list[tuple[int, bytes]]:
        """One; none where the connection had ended since the answer before."""
        begun = self._connection.sock is None
        try:
            self._connection.putrequest(method, "/" + path, skip_host=True)
            for name, value in {"Host": self._host, **headers}.items():
                self._connection.putheader(name, value)
            self._connection.endheaders()
            answer = self._connection.getresponse()
            return [(answer.status, answer.read())]
        except ConnectionError:
            self.close()
            if begun:
                raise
            return []
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connection.close()


def whats_inside(secrets: list[Path]) -> list[bytes]:
    return [path.read_bytes()[:4000] for path in secrets if path.is_file()]


@pytest.mark.parametrize("start", STARTS)
def test_no_way_of_writing_a_path_gets_a_file(place: Place, start: str) -> None:
    inside = whats_inside(place.secrets)
    for base, headers in ((place.served.url, {}), (place.door, {"Cookie": place.cookie})):
        with closing(Line(base)) as line:
            for path, write_it in product(place.secrets, ALIKE):
                asked = start + write_it(str(path))
                try:
                    status, body = line.raw("GET", asked, **headers)
                except (http.client.InvalidURL, UnicodeEncodeError):
                    continue
                assert status < 500, (asked, body[:200])
                assert SECRET not in body, asked
                assert not body or status >= 300 or body[:4000] not in inside, asked


def test_links_in_the_clips_folder_are_no_clips(place: Place) -> None:
    headers = {"X-Headroom": "1"}
    scan = httpx.post(f"{place.served.url}library/scan", headers=headers, trust_env=False)
    assert scan.status_code == 200
    assert listed(place.served) == ["mine"]
    mine = httpx.get(f"{place.served.url}library", trust_env=False).json()["clips"][0]["id"]
    address = f"{place.served.url}clip/{mine}"
    assert httpx.get(address, trust_env=False).status_code == 200
    clip, link = place.home / "clips" / "mine.mp4", place.home.parent / "outside" / "secret.mp4"
    still = httpx.get(f"{place.served.url}thumb/{mine}", trust_env=False)
    assert still.status_code == 200
    kept = clip.rename(clip.with_name("kept"))
    clip.symlink_to(link)  # a clip that a link takes the place of
    try:
        for path in (f"clip/{mine}", f"clip/{mine}?download=1", f"clips/{mine}.mp4"):
            answer = httpx.get(place.served.url + path, trust_env=False)
            assert (answer.status_code, SECRET in answer.content) == (404, False), path
    finally:
        clip.unlink()
        kept.rename(clip)


def test_the_page_gives_no_file_by_path(place: Place) -> None:
    """Clips have addresses of their own; Gradio's copies, which are had by path, aren't made."""
    clip = next(place.home.rglob("*.mp4"))
    link = clip.parent / "link.mp4"
    link.symlink_to(place.home.parent / "outside" / "secret.mp4")
    files = f"{place.served.url}gradio_api/file="
    for path in (clip, link, clip.parent / ".." / ".." / "x"):
        assert httpx.get(files + quote(str(path)), trust_env=False).status_code >= 400, path
    link.unlink()
    for redirect in ("https://evil.example/", "//evil.example/x", "http:/evil.example"):
        with closing(Line(place.served.url)) as line:
            assert line.raw("GET", f"gradio_api/file={redirect}")[0] == 404


def test_nobody_can_leave_a_file(place: Place) -> None:
    """But for a picture's upload, which gradio_client has no other way for: no other site's page
    reaches it, what is left there is named by its content, and Gradio removes it in a day."""
    body = b"left by a stranger " * 60
    for name in ("a.mp4", "../../a.mp4", "a.html"):
        answer = httpx.post(
            f"{place.served.url}gradio_api/process_recording",
            files={"files": (name, body)},
            trust_env=False,
        )
        assert answer.status_code == 404
    answer = httpx.post(
        f"{place.served.url}gradio_api/component_server",
        files={"a": body},
        data={"component_id": "1"},
        trust_env=False,
    )
    assert answer.status_code == 415
    upload = f"{place.served.url}gradio_api/upload"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        files = {"files": ("a.png", body)}
        assert httpx.post(upload, files=files, headers=headers, trust_env=False).status_code == 403
    assert files_with(SECRET, place.home.parent)
    assert files_with(body, place.home.parent) == []
    answer = httpx.post(upload, files={"files": ("../../a.png", body)}, trust_env=False)
    assert answer.status_code == 200
    (left,) = files_with(body, place.home.parent)
    assert left.is_relative_to(place.home / "cache" / "gradio")
    left.unlink()


def test_bodies_have_a_limit(place: Place) -> None:
    body = b'{"data": ["' + b"x" * 2**21 + b'"]}'
    for path in ("gradio_api/run/status", "gradio_api/queue/join", "clip/1/favourite", "login"):
        answer = httpx.post(
            place.served.url + path,
            content=body,
            trust_env=False,
            headers={"Content-Type": "application/json", "X-Headroom": "1"},
        )
        assert answer.status_code in (405, 413), (path, answer.status_code)
    text = httpx.post(
        f"{place.served.url}receipt",
        content=b"MZ" + b"x" * 100,
        headers={"X-Headroom": "1"},
        trust_env=False,
    )
    assert "isn't an MP4" in text.json()["refused"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "library?wordz=a", None),
        ("POST", "clip/1/favourite", {"on": True, "of": 1}),
        ("POST", "clip/1/again", {"fresh": True, "model": "x"}),
        ("POST", "clip/1/trash", {"x": 1}),
        ("POST", "clip/1/restore", {"x": 1}),
        ("POST", "library/scan", {"x": 1}),
        ("POST", "clip/1/folder", {"x": 1}),
        ("POST", "clip/1/favourite", {"on": "yes"}),
        ("POST", "receipt?nam=x", None),
        ("GET", "live?x=1", None),
        ("GET", "clips/1.mp4?x=1", None),
        ("GET", "clip/1?x=1", None),
        ("POST", "gradio_api/call/v2/status", {"jop": 1}),
    ],
)
def test_unknown_fields_are_refused(place: Place, method: str, path: str, body: object) -> None:
    answer = httpx.request(
        method, place.served.url + path, json=body, headers={"X-Headroom": "1"}, trust_env=False
    )
    assert answer.status_code == 422, answer.text


def test_the_port_is_this_computers_alone(place: Place) -> None:
    from engine.machine.addresses import own_addresses

    for address in own_addresses():
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            assert probe.connect_ex((address, place.served.port)) != 0
