"""gradio_client and curl against a real page: the eight endpoints and the clips' addresses."""

import base64
import hashlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from tests.conftest import TESTS, Gate, wait_until
from tests.support.served import LAZY, Served, serve

pytestmark = pytest.mark.starts

EIGHT = ["/generate", "/enhance", "/status", "/cancel", "/pause", "/resume", "/check", "/library"]
LONG = "steps=200 step_seconds=0.2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "home"


@pytest.fixture(scope="module")
def page(home: Path) -> Iterator[Served]:
    folder = home.parent
    environment = {
        **os.environ,
        "HEADROOM_HOME": str(home),
        "HEADROOM_PRESETS": f"{TESTS}/fixtures/presets",
    }
    served = serve(folder / "serve.log", environment=environment, program=LAZY)
    yield served
    served.end(signal.SIGTERM)
    log = served.log()
    assert not re.search(r"Exception|Error|Traceback|Warning", log), log


@pytest.fixture
def client(page: Served, tmp_path: Path) -> Client:
    return Client(page.url, verbose=False, download_files=str(tmp_path))


def ask(client: Client, endpoint: str, *values: object, **fields: object) -> Any:
    if endpoint == "generate":
        fields = {"model": "scripted", **fields}
    return client.predict(*values, **fields, api_name=f"/{endpoint}")


def test_exactly_eight_endpoints_are_documented(page: Served) -> None:
    told = httpx.get(f"{page.url}gradio_api/info", trust_env=False).json()
    assert list(told["named_endpoints"]) == EIGHT
    assert told["unnamed_endpoints"] == {}
    for name, endpoint in told["named_endpoints"].items():
        assert len(endpoint["description"]) > 80, name
        assert endpoint["returns"][0]["type"]["properties"], name
        for parameter in endpoint["parameters"]:
            assert parameter["type"], (name, parameter)
            needed = parameter["parameter_name"] in ("prompt", "job", "clip") and name != "/status"
            assert parameter["parameter_has_default"] is not needed


def test_a_clip_is_made_of_a_file_of_the_clients(
    page: Served, client: Client, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "holiday.png"
    Image.new("RGB", (96, 64), (9, 90, 200)).save(file)
    made = ask(client, "generate", "it moves", model="scripted-i2v", image=handle_file(str(file)))
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    assert (made["state"], made["request"]["image"]) == ("done", sha)
    assert (made["request"]["width"], made["request"]["height"]) == (48, 32), "its shape"
    # The same one again, by what it is known as, and as text for curl.
    url = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
    for image in (sha, url):
        fields = {"model": "scripted-i2v", "image": image, "wait": False}
        queued = ask(client, "generate", "it moves", **fields)
        told = ask(client, "status", queued["job"])["job"]
        assert told["request"]["image"] == sha
        ask(client, "cancel", queued["job"])


def test_no_path_of_this_computer_is_a_picture(page: Served, client: Client, home: Path) -> None:
    """gradio_client names an uploaded file by its path, which may be made up."""
    secret = home / "secret.png"
    Image.new("RGB", (96, 64)).save(secret)
    for path in (str(secret), str(home / "cache/gradio/../../secret.png"), "/etc/passwd", "\0"):
        body = {"prompt": "x", "model": "scripted-i2v", "image": {"path": path}, "wait": False}
        url = f"{page.url}gradio_api/call/v2/generate"
        asked = httpx.post(url, json=body, trust_env=False)
        event = asked.json()["event_id"]
        told = httpx.get(f"{page.url}gradio_api/call/generate/{event}", trust_env=False).text
        assert "event: error" in told
        assert "isn't a picture's file" in told, told
    assert ask(client, "status")["waiting"] == []
    large = {"files": ("a.png", bytes(52_000_000))}
    answer = httpx.post(f"{page.url}gradio_api/upload", files=large, trust_env=False)
    assert answer.status_code == 413
    assert "larger than 50 MB" in answer.json()["error"]


def test_a_clip_is_made_and_downloaded(page: Served, client: Client, gate: Gate) -> None:
    job = client.submit(f"downloaded {gate}", model="scripted", seed=5, api_name="/generate")
    seen = set()
    while not job.done():
        seen |= {unit.desc for unit in job.status().progress_data or ()}
        if any("Denoising, step" in sentence for sentence in seen):
            gate.open()
        time.sleep(0.1)
    made = job.result()
    assert any("Denoising, step" in sentence for sentence in seen), seen
    assert (made["state"], made["seed"], made["request"]["width"]) == ("done", 5, 48)
    assert set(made["stages"]) == {"load", "encode", "denoise", "decode", "save"}
    mp4 = Path(made["clip"]).read_bytes()
    assert mp4[4:8] == b"ftyp"
    assert httpx.get(made["url"], trust_env=False).content == mp4
    told = ask(client, "status", made["job"])["job"]
    assert (told["state"], told["clip"], told["url"]) == ("done", made["id"], made["url"])
    newest = ask(client, "library", "downloaded", limit=1)
    assert newest["clips"][0] | {"seconds": 0} == {
        "id": made["id"],
        "created": newest["clips"][0]["created"],
        "request": made["request"],
        "seed": 5,
        "seconds": 0,
        "url": made["url"],
    }


def test_a_clip_is_made_smoother(page: Served, client: Client) -> None:
    first = ask(client, "generate", "a ball", seed=4)
    made = ask(client, "enhance", first["id"], fps=32)
    assert (made["request"]["fps"], made["seed"], made["state"]) == (32, 4, "done")
    assert made["request"]["frames"] == 20
    assert Path(made["clip"]).read_bytes()[4:8] == b"ftyp"
    queued = ask(client, "enhance", first["id"], wait=False)
    assert queued["state"] in ("queued", "running")
    for fields, said in (
        ({"clip": 10**9}, "no longer in the library"),
        ({"clip": first["id"], "fps": 25}, "isn't one of"),
        ({"clip": "x"}, "no longer in the library"),
    ):
        with pytest.raises(AppError, match=said):
            ask(client, "enhance", **fields)


def test_not_waiting_then_status_and_cancel(client: Client) -> None:
    first = ask(client, "generate", LONG, wait=False)
    second = ask(client, "generate", "second", wait=False)
    assert set(first) == {"job", "state", "place"}
    wait_until(lambda: (ask(client, "status")["running"] or {}).get("step"), "a step")
    told = ask(client, "status", second["job"])
    assert told["running"]["job"] == first["job"]
    assert told["job"]["place"] == 1
    assert ask(client, "cancel", second["job"])["state"] == "cancelled"
    assert ask(client, "cancel", first["job"])["state"] in ("running", "cancelled")
    wait_until(lambda: ask(client, "status", first["job"])["job"]["state"] == "cancelled", "it")
    with pytest.raises(AppError, match="There is no job 99999"):
        ask(client, "cancel", 99999)


def test_who_stops_waiting_loses_nothing(client: Client, gate: Gate) -> None:
    job = client.submit(f"left alone {gate}", model="scripted", api_name="/generate")
    wait_until(lambda: ask(client, "status")["running"], "the job")
    number = ask(client, "status")["running"]["job"]
    job.cancel()
    client.close()
    gate.open()
    other = Client(client.src, verbose=False)
    wait_until(lambda: ask(other, "status", number)["job"]["state"] == "done", "the clip")


def test_the_queue_is_paused_and_goes_on(client: Client) -> None:
    job = ask(client, "generate", LONG, wait=False)["job"]
    wait_until(lambda: (ask(client, "status")["running"] or {}).get("step"), "a step")
    assert ask(client, "pause")["running"] == job
    assert ask(client, "pause", now=True)["paused"] is True
    wait_until(lambda: ask(client, "status", job)["job"]["state"] == "queued", "its return")
    told = ask(client, "status", job)
    assert (told["paused"], told["waiting_for"]) == (True, "The queue is paused.")
    assert ask(client, "cancel", job)["state"] == "cancelled"
    assert ask(client, "resume") == {"paused": False, "running": None, "waiting": 0}
    with pytest.raises(AppError, match="now: 'soon' isn't true or false"):
        ask(client, "pause", now="soon")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"height": 17}, "height: 17 isn't a multiple of 16; the nearest is 16."),
        ({"height": "tall"}, "height: 'tall' isn't a whole number; Scripted starts at 32."),
        ({"model": "x"}, "model: there is no model 'x'; available are"),
        ({"seed": 0.5}, "seed: '0.5' isn't a whole number"),
        ({"wait": "yes"}, "wait: 'yes' isn't true or false."),
        (
            {"height": 256, "width": 256, "frames": 81},
            "256 × 256, 10.1 s: not tested yet. No size this large",
        ),
        ({"height": 256, "width": 256, "frames": 81}, "The nearest size that is open:"),
    ],
)
def test_refusals_are_sentences(client: Client, fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(AppError) as refused:
        ask(client, "generate", "go", **fields)
    assert sentence in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_a_failed_clip_is_told_as_on_the_page(client: Client) -> None:
    with pytest.raises(AppError, match="ValueError: scripted failure"):
        ask(client, "generate", "fail=error")


def test_the_verdict_has_the_shape_of_the_command(client: Client) -> None:
    verdict = ask(client, "check", model="scripted", height=64, width=64, frames=9)
    assert list(verdict) == [
        "verdict",
        "reason",
        "reason_id",
        "reason_values",
        "remedy",
        "basis",
        "predicted_peak_bytes",
        "budget_bytes",
        "tokens",
        "nearest_open",
    ]
    assert (verdict["verdict"], verdict["tokens"]) == ("open", 48)
    locked = ask(client, "check", model="scripted", height=256, width=256, frames=81)
    assert locked["verdict"] == "locked"
    assert locked["remedy"] == "Test it: a short real run shows whether it fits."
    assert (locked["remedy_id"], locked["remedy_values"]) == ("guard.measure_it", {})
    assert set(locked["nearest_open"]) == {"height", "width", "frames"}


def test_curl_with_a_wrong_name_gets_a_sentence(page: Served) -> None:
    address = f"{page.url}gradio_api/call/v2/check"
    wrong = httpx.post(address, json={"hight": 64}, trust_env=False)
    assert wrong.status_code == 422
    assert "`hight`" in wrong.json()["error"]
    assert "/gradio_api/info" in wrong.json()["remedy"]


def test_many_waiting_calls_starve_neither_the_page_nor_other_calls(
    page: Served, client: Client
) -> None:
    running = ask(client, "generate", LONG, wait=False)["job"]
    waiting = [
        client.submit(f"number {n}", model="scripted", api_name="/generate") for n in range(45)
    ]
    wait_until(lambda: len(ask(client, "status")["waiting"]) == 32, "32 that wait")
    begun = time.monotonic()
    assert ask(client, "check", model="scripted")["verdict"] == "open"
    own = next(  # one of the page's own events
        d
        for d in client.config["dependencies"]
        if d["api_visibility"] == "private" and d["backend_fn"] and not d["inputs"]
    )
    answer = httpx.post(
        f"{page.url}gradio_api/run/predict",
        json={"data": [], "fn_index": own["id"]},
        trust_env=False,
    )
    assert answer.status_code == 200
    assert page.state("running") is True
    assert time.monotonic() - begun < 30
    wait_until(lambda: sum(one.done() for one in waiting) == 13, "13 refusals")
    refused = [one for one in waiting if one.done()]
    for one in refused:
        with pytest.raises(AppError, match="32 calls are already waiting for clips"):
            one.result()
    ask(client, "cancel", running)
    made = [one.result() for one in waiting if one not in refused]
    assert len({one["job"] for one in made}) == 32


@pytest.mark.parametrize("name", ["0", "99999", "-1", str(2**80)])
def test_clips_that_are_not_there(page: Served, name: str) -> None:
    answer = httpx.get(f"{page.url}clips/{name}.mp4", trust_env=False)
    assert answer.status_code == 404
    assert "There is no clip" in answer.text


def test_with_a_login_clips_and_endpoints_ask_for_it(tmp_path: Path) -> None:
    program = (*LAZY, "serve", "--auth", "me:secret")
    served = serve(tmp_path / "serve.log", program=program)
    try:
        client = Client(served.url, auth=("me", "secret"), verbose=False)
        made = ask(client, "generate", "a red ball")
        assert Path(made["clip"]).exists()
        assert httpx.get(made["url"], trust_env=False).status_code == 401

        def clip(password: str) -> int:
            return httpx.get(made["url"], auth=("me", password), trust_env=False).status_code

        assert [clip("secret") for _ in range(20)] == [200] * 20, "which slows nobody down"
        assert (clip("no"), clip("secret")) == (401, 429)
        wait_until(lambda: clip("secret") == 200, "the end of the wait")
        refused = httpx.post(f"{served.url}gradio_api/call/v2/check", json={}, trust_env=False)
        assert refused.status_code == 401
    finally:
        served.end(signal.SIGTERM)


@pytest.mark.skipif(sys.platform == "win32", reason="a link")
def test_a_cache_on_a_drive_that_is_gone_is_told_before_a_clip_is_made(
    client: Client, home: Path
) -> None:
    """Gradio gives the clip out of a copy in there, and says nothing where it can't make one."""
    (home / "cache").rename(home / "plugged out")
    (home / "cache").symlink_to(home / "nowhere")
    waits = len(list((home / "clips").iterdir()))
    try:
        with pytest.raises(AppError, match=r"cache is a link to .*, which doesn't exist\. Connect"):
            ask(client, "generate", "a red ball")
    finally:
        (home / "cache").unlink()
        (home / "plugged out").rename(home / "cache")
    assert len(list((home / "clips").iterdir())) == waits
    assert Path(ask(client, "generate", "a red ball")["clip"]).exists()
