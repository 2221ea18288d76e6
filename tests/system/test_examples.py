"""The examples of docs really run: those for programs against a page on loopback."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands.main import _parser
from engine.home import PROJECT
from tests.conftest import TESTS
from tests.support.served import Served, serve
from tests.tools import examples

pytestmark = [pytest.mark.starts, pytest.mark.long]

SECTION = (PROJECT / "docs" / "programs.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:7860/"
GENERATED = 'generate "a blue star bounces" --seed 7 --json'
# Run by tests that look at more than the shape; each takes longer than most of the others together.
ELSEWHERE = {
    GENERATED: "system/test_examples.py",
    "measure --height 64 --width 64 --frames 9 --json": "engine/commands/test_main.py",
    "kernels": "engine/commands/test_kernels.py",
    "bench --only model": "engine/commands/bench/test_model.py",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("examples")
    environment = {**os.environ, "HEADROOM_HOME": str(folder / "home")}
    program = (sys.executable, PROJECT / "app.py", "serve", "--mcp")
    served = serve(folder / "serve.log", environment=environment, program=program)
    yield served
    served.end(signal.SIGTERM)


def run(example: str, kind: str, page: Served, folder: Path) -> str:
    """What ``example`` prints, with this page's address and this Python."""
    text = example.replace(ADDRESS.rstrip("/"), page.url.rstrip("/"))
    text = text.replace("./launch.sh ", f"'{sys.executable}' '{PROJECT / 'app.py'}' ")
    command = [sys.executable, "-c", text] if kind == "python" else ["sh", "-e", "-c", text]
    environment = {
        **os.environ,
        "HEADROOM_HOME": str(page.log_file.parent / "home"),
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, env=environment, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kind(kind: str) -> list[str]:
    return [example for found, example in EXAMPLES if found == kind]


@pytest.mark.model
def test_gradio_client_makes_a_clip_and_cancels_another(page: Served, tmp_path: Path) -> None:
    told = run(of_kind("python")[0], "python", page, tmp_path)
    *_, first, second = told.splitlines()  # before them it says where it is connected
    clip, seed = re.split(r"\.mp4 ", first)
    assert Path(f"{clip}.mp4").read_bytes()[4:8] == b"ftyp"
    assert seed.startswith("7 ")
    assert second.split()[0] in ("queued", "running", "done")


@pytest.mark.model
def test_curl_asks_for_a_verdict(page: Served, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl isn't installed")
    told = run(of_kind("sh")[0], "sh", page, tmp_path)
    assert "event: complete" in told
    assert '"verdict"' in told


@pytest.mark.model
def test_the_command_line_works_beside_the_page(page: Served, tmp_path: Path) -> None:
    told = run(of_kind("sh")[1], "sh", page, tmp_path)
    decoder = json.JSONDecoder()
    verdict, end = decoder.raw_decode(told)
    receipt, _ = decoder.raw_decode(told[end:].lstrip())
    assert verdict["verdict"] == "open"
    assert receipt["seed"] == 7
    assert Path(receipt["path"]).is_file()
    assert examples.looks_as_told(GENERATED, json.dumps(receipt))


@pytest.mark.model
def test_an_mcp_client_makes_a_clip(page: Served, tmp_path: Path) -> None:
    told = run(of_kind("python")[1], "python", page, tmp_path)
    assert Path(told.strip()).read_bytes()[4:8] == b"ftyp"
    (configuration,) = of_kind("json")
    assert json.loads(configuration)["mcpServers"]["headroom"]["url"] == f"{ADDRESS}mcp"


def test_every_example_is_run() -> None:
    kinds = [kind for kind, _ in EXAMPLES]
    assert (kinds.count("python"), kinds.count("sh"), kinds.count("json")) == (2, 2, 1)
    assert len(kinds) == 5


@pytest.mark.model
def test_what_the_commands_print_has_the_shape_that_is_told(tmp_path: Path) -> None:
    """Not the same numbers: those are of the run that python -m tests.tools.examples --write
    made."""
    for command, printed in examples.fresh(tmp_path, but=ELSEWHERE):
        assert examples.looks_as_told(command, printed), command


def test_what_isnt_run_here_is_looked_at_where_it_is_run() -> None:
    for command, file in ELSEWHERE.items():
        text = (TESTS / file).read_text(encoding="utf-8")
        assert command in text, command
        assert "looks_as_told" in text, file


def test_every_command_has_an_example() -> None:
    commands = _parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert {command.split()[0] for command in examples.documented()} == set(commands or ())
