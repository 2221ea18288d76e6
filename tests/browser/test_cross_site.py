"""Web pages from elsewhere, and hostile words and files, in a real Chromium: nothing is queued,
changed or read, and nothing that others bring in becomes markup."""

import functools
import html
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.machine.addresses import own_addresses
from tests.conftest import TESTS, wait_until
from tests.support.browser import MARKS, settled, shared
from tests.support.clipfiles import receipt, write
from tests.support.served import Served, serving

pytestmark = [
    *MARKS,
    pytest.mark.reliability("pages elsewhere, and hostile words and names, in a real Chromium"),
]
BAD = "window.hacked=1"
IMG = f"<img src=x onerror={BAD}>"
HOSTILE = f"{IMG}<script>{BAD}</script>"
FILE = f"{IMG}&quot;'.mp4"
LONG = "steps=400 step_seconds=0.2"
# What a page elsewhere can send without being asked: forms, simple requests, and what loads by tag.
ATTACK = """<!doctype html><title>evil</title><script>
const target = %s;
window.read = [];
const body = JSON.stringify(%s);
const note = (what, options) => async (answer) => {
  const text = await answer.text();
  // Gradio lets pages of this computer read; what they get to read is a refusal.
  if (!text || answer.status === 403) return;
  window.read.push(`${what} ${options.method} ${answer.status} ${text.slice(0, 60)}`);
};
async function attack() {
  const all = [];
  for (const path of %s) {
    for (const mode of ["no-cors", "cors"]) {
      for (const method of ["GET", "POST", "PUT", "DELETE"]) {
        if (mode === "no-cors" && !["GET", "POST"].includes(method)) continue;
        const options = { method, mode, credentials: "include" };
        if (method !== "GET") options.body = body;
        if (mode === "cors") options.headers = {
          "Content-Type": "application/json", "X-Headroom": "1", "X-HTTP-Method-Override": "POST" };
        all.push(fetch(target + path, options).then(note(path, options), () => {}));
        const plain = { ...options, headers: {} };
        all.push(fetch(target + path, plain).then(note(path, options), () => {}));
      }
    }
    const form = Object.assign(document.createElement("form"), {
      method: "POST", action: target + path, enctype: "text/plain", target: "sink" });
    const field = Object.assign(document.createElement("input"), { name: body, value: "" });
    form.append(field); document.body.append(form); form.submit();
  }
  for (const [tag, path] of [["img", "thumb/1"], ["video", "clip/1"], ["script", "library"],
                             ["script", "config"], ["img", "clip/1.jpg"]]) {
    const one = document.createElement(tag);
    all.push(new Promise((done) => {
      one.onload = one.onloadeddata = () => { window.read.push(`${tag} ${path}`); done(); };
      one.onerror = done; setTimeout(done, 4000); }));
    one.src = target + path; document.body.append(one);
  }
  const frame = document.createElement("iframe");
  frame.id = "framed"; frame.src = target; document.body.append(frame);
  const source = new EventSource(target + "live", { withCredentials: true });
  source.onmessage = () => window.read.push("live");
  const socket = new WebSocket(target.replace("http", "ws") + "gradio_api/queue/join");
  socket.onopen = () => window.read.push("socket");
  await Promise.all(all);
  await new Promise((done) => setTimeout(done, 800));
  return window.read;
}
</script><body><iframe name="sink"></iframe></body>"""
OWNER = [
    "",
    "config",
    "library",
    "clip/1",
    "clip/1/trash",
    "clip/1/again",
    "clip/1/favourite",
    "clip/1/folder",
    "clip/1/receipt",
    "library/scan",
    "library/trash",
    "library/zip",
    "receipt",
    "clips/1.mp4",
    "live",
    "login",
    "gradio_api/info",
    "gradio_api/run/generate",
    "gradio_api/call/generate",
    "gradio_api/call/v2/generate",
    "gradio_api/run/predict",
    "gradio_api/queue/join",
    "gradio_api/component_server",
]
DOOR = ["", "state", "enter", "generate", "cancel", "clip/1.mp4", "static/visitors.js"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with hostile_page(tmp_path_factory.mktemp("hostile")) as running:
        yield running


@contextmanager
def hostile_page(folder: Path) -> Iterator[Served]:
    """A page with a hostile clip in its library and a model with a hostile name."""
    presets = folder / "presets"
    folder.mkdir(exist_ok=True)
    shutil.copytree(TESTS / "fixtures/presets", presets)
    text = (presets / "scripted.yaml").read_text()
    named = re.sub(r"(?m)^id: .*$", "id: hostile", text)
    named = re.sub(r"(?m)^(name|summary): .*$", lambda m: f"{m[1]}: {json.dumps(HOSTILE)}", named)
    (presets / "hostile.yaml").write_text(named)
    clips = folder / "home" / "clips"
    clips.mkdir(parents=True)
    old = 1_700_000_000
    os.utime(write(clips / FILE, hostile_receipt()), (old, old))
    with serving(folder, presets) as running:
        # Before a tab is opened: its lists don't follow what comes by hand.
        wait_until(lambda: state(running)["clips"], "the hostile clip")
        yield running


def hostile_receipt() -> dict[str, Any]:
    """Tags wherever a receipt has words; its request can be asked for."""
    told = receipt(f"steps=1 {HOSTILE}")
    return {
        **told,
        "label": HOSTILE,
        "device": HOSTILE,
        "plan": {HOSTILE: {"value": HOSTILE, "reason": HOSTILE}},
        "versions": {HOSTILE: HOSTILE},
    }


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """A web server that is somebody else's, and the folder of its pages."""
    folder = tmp_path_factory.mktemp("evil")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, server.server_address[1]
    server.shutdown()


def attacked(
    context: Any, evil: tuple[Path, int], name: str, target: str, body: object, paths: list[str]
) -> list[str]:
    """What a page of ``name`` could read of ``target``, after trying everything."""
    folder, port = evil
    page = ATTACK % (json.dumps(target), json.dumps(body), json.dumps(paths))
    (folder / "index.html").write_text(page)
    tab = context.new_page()
    tab.goto(f"http://{name}:{port}/index.html")
    found = list(tab.evaluate("attack()"))
    frame = tab.query_selector("#framed").content_frame()
    if frame is not None and frame.evaluate("!!document.querySelector('gradio-app, #enter, main')"):
        found.append("the page can be framed")
    tab.close()
    return found


def state(served: Served) -> dict[str, Any]:
    """Whatever a page elsewhere might have changed."""
    library = httpx.get(f"{served.url}library", trust_env=False).json()
    trash = httpx.get(f"{served.url}library?trash=true", trust_env=False).json()
    return {
        "clips": [(c["id"], c["favourite"]) for c in library["clips"]],
        "trash": trash["count"],
        "queue": served.state("queue"),
        "running": served.state("running"),
        "ended": served.state("ended"),
        "shared": served.state("share-text") != "",
    }


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "evil.localhost"])
def test_a_page_elsewhere_can_do_nothing_to_the_owner(
    chromium: Any, served: Served, evil: tuple[Path, int], name: str
) -> None:
    before = state(served)
    context = chromium.new_context()
    context.new_page().goto(served.url)  # the owner has the page open
    data = ["steps=1 not the owner's", "scripted", 32, 48, 5, 1, False, True]
    body = {"data": data, "fn_index": 0, "session_hash": "evil", "on": True, "fresh": False}
    assert attacked(context, evil, name, served.url, body, OWNER) == []
    context.close()
    assert state(served) == before


@pytest.mark.skipif(not own_addresses(), reason="this machine is in no network")
def test_a_page_elsewhere_can_do_nothing_to_a_visitor(
    chromium: Any, served: Served, evil: tuple[Path, int]
) -> None:
    context = chromium.new_context()
    owner = context.new_page()
    owner.goto(served.url)
    address, password = shared(owner)
    guest = context.new_page()
    guest.goto(f"{address}#{password}")
    guest.fill("#enter [name=name]", HOSTILE[:40])
    guest.click("#enter button")
    guest.wait_for_selector("#make", state="visible")
    before = state(served)
    body = {"prompt": "steps=1 not theirs", "height": 32, "width": 48, "frames": 5, "job": 1}
    # The last is the share's own address: another port is the same site, so its cookie is sent.
    for name in ("localhost", "evil.localhost", address.split("/")[2].rpartition(":")[0]):
        assert attacked(context, evil, name, address, body, DOOR) == [], name
    assert state(served) == before

    guest.fill("#make textarea", f"steps=1 {HOSTILE}")
    guest.click("#make button")
    guest.wait_for_selector("#jobs video")
    owner.wait_for_selector("#share-live >> text=1 done")
    for tab in (guest, owner):
        assert tab.evaluate("[window.hacked, document.querySelectorAll('img[src=x]').length]") == [
            None,
            0,
        ]
    owner.click("#share-stop")
    owner.wait_for_selector("#share-told >> text=Sharing has ended")
    context.close()


def clean(tab: Any, where: str) -> None:
    found = tab.evaluate("[window.hacked, document.querySelectorAll('img[src=x]').length]")
    assert found == [None, 0], where


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[Served]:
    """The hostile page before any other test has made a clip on it."""
    with hostile_page(tmp_path / "page") as running:
        yield running


def test_nothing_that_comes_in_becomes_markup(
    chromium: Any, untouched: Served, tmp_path: Path
) -> None:
    """Prompt, receipt, names of files and models: on every tab, in every list and notice."""
    tab = chromium.new_context(viewport={"width": 1366, "height": 900}).new_page()
    tab.goto(untouched.url)
    tab.wait_for_selector("#strip li.made")
    tab.click("#open-receipt")
    tab.wait_for_selector("#receipt table")
    assert FILE in tab.inner_text("#receipt")
    assert HOSTILE in tab.inner_text("#receipt")
    clean(tab, "the receipt")
    tab.keyboard.press("Escape")

    file = write(tmp_path / FILE, hostile_receipt())
    tab.set_input_files(".from-clip input[type=file]", str(file))
    tab.wait_for_selector("#brought .hint")
    assert tab.input_value("#prompt textarea") == f"steps=1 {HOSTILE}"
    clean(tab, "what a dropped clip brought")
    strange = write(tmp_path / f"2{FILE}", {**hostile_receipt(), "request": {"prompt": HOSTILE}})
    tab.set_input_files(".from-clip input[type=file]", str(strange))
    tab.wait_for_selector("#brought .refusal, .from-clip-told:has-text('img')")
    clean(tab, "a refused clip")

    tab.fill("#prompt textarea", f"{LONG} {HOSTILE}")
    tab.click("#generate")
    tab.wait_for_selector(".live-panel.running")
    tab.fill("#prompt textarea", f"steps=1 {HOSTILE}")
    tab.click("#generate")
    tab.wait_for_selector("#strip [data-queue=waiting] li")
    clean(tab, "the queue")
    tab.click("#strip [data-do=cancel_waiting]")
    tab.wait_for_selector("#strip [data-queue=ended] li")
    tab.click("#cancel")
    tab.wait_for_function("!document.querySelector('.live-panel.running')")
    clean(tab, "what was cancelled")
    for name in ("Library", "Memory", "Models", "Share"):
        tab.get_by_role("tab", name=name).click()
        settled(tab)
        clean(tab, name)
    assert html.escape(HOSTILE, quote=False) in tab.content(), "the model's name is shown somewhere"
    tab.context.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_foreign_origins_and_rebound_names_reach_nothing(
    served: Served, headers: dict[str, str]
) -> None:
    before = state(served)
    with httpx.Client(base_url=served.url, trust_env=False, headers=headers) as client:
        for path in OWNER:
            for method in ("POST", "PUT", "DELETE", "PATCH") if "Origin" in headers else ("GET",):
                answer = client.request(
                    method, path, json={"data": []}, headers={"X-Headroom": "1"}
                )
                assert answer.status_code in (400, 403), (method, path, answer.text[:80])
    assert state(served) == before
