"""The SDK's own client against a real page with --mcp, and who is let in."""

import asyncio
import base64
import hashlib
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import psutil
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from engine import VERSION
from engine.presets import Presets
from tests.conftest import TESTS, Gate, wait_until
from tests.support.served import LAZY, Served, serve
from ui.api.mcp_tools import TOOLS, instructions

pytestmark = pytest.mark.starts

PROGRAM = (*LAZY, "serve", "--mcp")
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("mcp")
    environment = {
        **os.environ,
        "HEADROOM_HOME": str(folder / "home"),
        "HEADROOM_PRESETS": f"{TESTS}/fixtures/presets",
    }
    served = serve(folder / "serve.log", environment=environment, program=PROGRAM)
    yield served
    served.end(signal.SIGTERM)
    log = served.log()
    assert not re.search(r"Exception|Error|Traceback|Warning", log), log


def talk(page: Served, conversation: Callable[[Client], Awaitable[None]], mode: str) -> None:
    async def main() -> None:
        async with Client(f"{page.url}mcp", mode=mode) as client:
            await conversation(client)

    asyncio.run(main())


def said(answer: Any) -> str:
    """A tool's error, as the model reads it."""
    assert answer.is_error
    return str(answer.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_whole_generation(page: Served, mode: str, gate: Gate) -> None:
    heard: list[tuple[float, str]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, str(message)))
        if "Denoising, step" in str(message):
            gate.open()

    async def conversation(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["generate", "enhance", "status", "check"]
        open_now = (await client.call_tool("check", {"model": "scripted"})).structured_content
        assert open_now["verdict"] == "open"
        fields = {"model": "scripted", "prompt": str(gate), "seed": 4}
        answer = await client.call_tool("generate", fields, progress_callback=hear)
        made = answer.structured_content
        assert made["state"] == "done"
        assert made["clip"]["seed"] == 4
        assert Path(made["clip"]["path"]).read_bytes()[4:8] == b"ftyp"
        assert httpx.get(made["clip"]["url"], trust_env=False).status_code == 200
        told = (await client.call_tool("status", {"job": made["job"]})).structured_content
        assert told["job"] == made
        smoother = {"clip": made["clip"]["number"], "fps": 24}
        again = (await client.call_tool("enhance", smoother)).structured_content
        assert (again["state"], again["clip"]["fps"]) == ("done", 24)

    talk(page, conversation, mode)
    assert any("Denoising, step" in message for _, message in heard)
    assert [fraction for fraction, _ in heard] == sorted(fraction for fraction, _ in heard)


def test_pictures_come_as_a_path_or_as_data(page: Served, tmp_path: Path) -> None:
    """By path only from where people's pictures are."""
    home = Path(page.log_file).parent / "home"
    inside, outside = home / "clips" / "a.png", tmp_path / "a.png"
    for file in (inside, outside):
        Image.new("RGB", (96, 64), (9, 90, 200)).save(file)
    data = base64.b64encode(inside.read_bytes()).decode()

    async def conversation(client: Client) -> None:
        fields = {"model": "scripted-i2v", "prompt": "it moves"}
        for image in (str(inside), f"data:image/png;base64,{data}"):
            answer = await client.call_tool("generate", {**fields, "image": image})
            made = answer.structured_content
            assert made["clip"]["image"] == hashlib.sha256(inside.read_bytes()).hexdigest()
        for image, words in (
            (str(outside), "outside the folders"),
            (str(home / "clips/../../../a.png"), "outside the folders"),
            ("data:image/png;base64,%%%", "isn't a picture's file"),
            ("data:image/png," + data, "isn't a picture's file"),
            ("data:image/png;base64," + "A" * 14_000_000, "larger than 10 MB"),
            (str(home / "nothing.png"), "doesn't exist"),
        ):
            told = said(await client.call_tool("generate", {**fields, "image": image}))
            assert words in told, told

    talk(page, conversation, "auto")


def test_the_server_tells_its_version(page: Served) -> None:
    asked = {"protocolVersion": "2025-03-26", "capabilities": {}}
    client = {"clientInfo": {"name": "a test", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked | client}
    answer = httpx.post(f"{page.url}mcp", json=body, headers=ACCEPT, trust_env=False)
    assert f'"version":"{VERSION}"' in answer.text


def test_every_address_of_ours_answers_head(page: Served) -> None:
    """A stream's, too, at once; what is only sent with POST says so."""
    for path in ("library", "live", "live-feed.js", "texts/zh.json", "clips/99.mp4", "clip/99"):
        answer = httpx.head(page.url + path, trust_env=False)
        assert answer.status_code == (404 if "99" in path else 200), path
        assert answer.content == b""
    live = httpx.head(f"{page.url}live", trust_env=False)
    assert live.headers["content-type"].startswith("text/event-stream")
    assert httpx.head(f"{page.url}receipt", trust_env=False).status_code == 405


def test_not_waiting_and_status_that_waits(page: Served, gate: Gate) -> None:
    async def conversation(client: Client) -> None:
        fields = {"model": "scripted", "prompt": str(gate), "wait": False}
        queued = (await client.call_tool("generate", fields)).structured_content
        assert queued["state"] in ("queued", "running")
        assert f"status with job {queued['job']} and wait true" in queued["next"]
        gate.open()
        fields = {"job": queued["job"], "wait": True}
        told = (await client.call_tool("status", fields)).structured_content
        assert told["job"]["state"] == "done"

    talk(page, conversation, "auto")


def test_errors_are_tool_errors_with_a_remedy(page: Served) -> None:
    async def conversation(client: Client) -> None:
        async def refused(tool: str, **fields: object) -> str:
            return said(await client.call_tool(tool, fields))

        scripted = {"model": "scripted", "prompt": "go"}
        locked = await refused("generate", **scripted, height=256, width=256, frames=81)
        assert "256 × 256, 10.1 s: not tested yet" in locked
        again = re.search(
            r"Call generate again with height (\d+), width (\d+), frames (\d+)", locked
        )
        assert again
        height, width, frames = (int(n) for n in again.groups())
        sides = {"height": height, "width": width, "frames": frames}
        answer = await client.call_tool("generate", {**scripted, **sides})
        assert answer.structured_content["state"] == "done"
        assert "multiple of 16" in await refused("generate", **scripted, height=17)
        assert "no such field; generate has" in await refused("generate", **scripted, fps=30)
        assert "Write a prompt first" in await refused("generate", model="scripted")
        assert "there is no model 'x'" in await refused("check", model="x")
        assert "isn't one of 24" in await refused("enhance", clip=1, fps=25)
        assert "no longer in the library" in await refused("enhance", clip=10**9)
        assert "fsp" in await refused("enhance", clip=1, fsp=24)
        assert "There is no job 999" in await refused("status", job=999)
        assert "wait: 'x' isn't true" in await refused("status", job=1, wait="x")
        assert "There is no tool 'draw'" in await refused("draw")
        failed = await refused("generate", model="scripted", prompt="fail=error")
        assert "ValueError: scripted failure" in failed

    talk(page, conversation, "auto")


def test_check_tells_a_model_what_it_can_do(page: Served) -> None:
    async def conversation(client: Client) -> None:
        told = (await client.call_tool("check", {})).structured_content
        assert told["model"] == "wan-tiny"
        assert {"height": 128, "width": 128, "frames": 17} == {
            key: told["open_sizes"][-1][key] for key in ("height", "width", "frames")
        }
        tiny = next(model for model in told["models"] if model["id"] == "wan-tiny")
        assert tiny["installed"]
        assert "triangle" in tiny["prompts"]
        scripted = (await client.call_tool("check", {"model": "scripted"})).structured_content
        assert scripted["model"] == "scripted"

    talk(page, conversation, "auto")


def test_websites_are_kept_out(tmp_path: Path) -> None:
    """Host and Origin have to be this computer's: a page of evil.example that resolves to it
    (DNS rebinding) sends its own."""
    served = serve(tmp_path / "serve.log", program=PROGRAM)
    try:
        for header, code in (
            ({}, 400),  # let in: it misses its session
            ({"Origin": f"http://127.0.0.1:{served.port}"}, 400),
            ({"Origin": "http://localhost:3000"}, 403),  # another program's page
            ({"Host": "evil.example"}, 400),
            ({"Host": f"evil.example:{served.port}"}, 400),
            ({"Origin": "http://evil.example"}, 403),
        ):
            answer = httpx.post(
                f"{served.url}mcp", json=LIST, headers={**ACCEPT, **header}, trust_env=False
            )
            assert answer.status_code == code, header
    finally:
        served.end(signal.SIGTERM)


def test_the_login_is_asked_for(tmp_path: Path) -> None:
    served = serve(tmp_path / "serve.log", program=(*PROGRAM, "--auth", "me:secret"))
    try:
        for auth in (None, ("me", "wrong")):
            answer = httpx.post(
                f"{served.url}mcp", json=LIST, headers=ACCEPT, auth=auth, trust_env=False
            )
            assert answer.status_code == 401
            assert "Authorization: Basic" in answer.text

        def ask() -> httpx.Response:
            return httpx.post(
                f"{served.url}mcp",
                json=LIST,
                headers=ACCEPT,
                auth=("me", "secret"),
                trust_env=False,
            )

        waits = ask()
        assert (waits.status_code, "Try again in" in waits.text) == (429, True)
        wait_until(lambda: ask().status_code != 429, "the end of the wait")

        async def main() -> None:
            async with (
                httpx2.AsyncClient(auth=("me", "secret")) as web,
                Client(streamable_http_client(f"{served.url}mcp", http_client=web)) as client,
            ):
                assert len((await client.list_tools()).tools) == 4

        asyncio.run(main())
    finally:
        served.end(signal.SIGTERM)


def test_without_the_option_there_is_no_trace_of_it(tmp_path: Path) -> None:
    """Gradio would import the SDK just because it is installed."""
    served = serve(tmp_path / "serve.log", program=LAZY)
    try:
        assert httpx.post(f"{served.url}mcp", json=LIST, trust_env=False).status_code in (404, 405)
        if sys.platform == "linux":
            maps = [Path(m.path).name for m in psutil.Process(served.pid).memory_maps()]
            assert not [name for name in maps if name.startswith("rpds")]
    finally:
        served.end(signal.SIGTERM)


def test_the_words_name_every_field_and_stay_short(presets: Presets) -> None:
    for tool in TOOLS:
        for name, field in tool["input_schema"]["properties"].items():
            assert field["description"], (tool["name"], name)
        assert len(str(tool["description"])) < 1100
    assert "red" in instructions(presets)
