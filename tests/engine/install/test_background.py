"""What makes clips arrives while the page is open: scripted set-ups in processes of their own."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.engine import Engine
from engine.guard.verdicts import NotHere
from engine.home import Home
from engine.install import background as module
from engine.install import installed
from engine.install.background import BackgroundInstall
from engine.install.environments import TRIAL, Stamp
from engine.install.plan import ENGINE, FILES, PAGE
from engine.pipelines import is_here
from engine.presets import Presets
from engine.text import Text
from tests.conftest import wait_until

pytestmark = pytest.mark.starts

BEGINS = "import sys; print('WARNING: noise'); print('Installing PyTorch …', flush=True); "


class Environment:
    """This environment, as far as its stamp goes."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setattr(sys, "prefix", str(folder))
        monkeypatch.setattr(module, "PROJECT", folder.parent)

    def has(self, *files: str, target: str = "cpu") -> None:
        stamp = Stamp("3.11", str(self.folder), target, "auto", dict.fromkeys(files, "0"))
        stamp.write(self.folder)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    folder = tmp_path / ".venv"
    folder.mkdir()
    made = Environment(folder, monkeypatch)
    made.has(PAGE)
    return made


def arrival(script: str, ready: list[str]) -> BackgroundInstall:
    command = [sys.executable, "-c", BEGINS + script]
    return BackgroundInstall(Home.find(), lambda: ready.append("ready"), command)


def test_the_steps_are_told_and_the_engine_starts_when_all_is_here(
    environment: Environment, tmp_path: Path
) -> None:
    ready: list[str] = []
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)"
    coming = arrival(f"exec({wait!r})", ready)
    assert coming.look().phase == "failed"
    assert coming.look().sentence().id == "install.failed"
    coming.begin()
    wait_until(lambda: coming.look().doing == "Installing PyTorch", "the first step")
    assert coming.look().phase == "working"
    told = str(coming.look().sentence())
    assert told.startswith("Installing the engine, once: Installing PyTorch (")
    coming.again()  # one at a time: nothing happens
    assert ready == []
    environment.has(PAGE, ENGINE)
    assert coming.look().phase == "working"  # until the set-up itself has ended
    go.touch()
    wait_until(lambda: ready == ["ready"], "the engine's start")
    assert coming.look().phase == "here"
    assert not coming.look().sentence()
    coming.close()


def test_a_failure_is_told_and_tried_again(environment: Environment) -> None:
    ready: list[str] = []
    coming = arrival("print('No space left on <device>'); sys.exit(5)", ready)
    coming.begin()
    wait_until(lambda: coming.look().phase == "failed", "the failure")
    state = coming.look()
    assert state.told == "No space left on <device>"
    assert state.remedy == Text("install.log_has_it", file=Home.find().logs / "setup.log")
    assert "WARNING: noise" in (Home.find().logs / "setup.log").read_text()
    assert ready == []
    environment.has(PAGE, ENGINE)  # it was set up from a terminal meanwhile
    assert coming.look().phase == "here"


def test_a_set_up_that_brings_nothing_is_a_failure(environment: Environment) -> None:
    coming = arrival("pass", [])
    coming.begin()
    wait_until(lambda: coming.look().phase == "failed", "the failure")


def test_a_set_up_that_cant_be_started_is_told(environment: Environment) -> None:
    coming = BackgroundInstall(Home.find(), command=["/no/such/program"])
    coming.begin()
    wait_until(lambda: coming.look().told != "" and coming.look().phase == "failed", "the failure")
    told = coming.look().told
    assert isinstance(told, Text)
    assert told.id == "install.cant_start"
    assert "can't be started: No such file" in str(told)


def test_closing_the_page_ends_it(environment: Environment) -> None:
    coming = arrival("import time; time.sleep(600)", [])
    coming.begin()
    wait_until(lambda: coming.look().doing == "Installing PyTorch", "the first step")
    process = coming._process
    assert isinstance(process, subprocess.Popen)
    coming.close()
    assert process.poll() is not None
    coming.again()

    def over() -> bool:  # the thread still has to see that its process is gone
        alive = [
            t for t in threading.enumerate() if t.name == "background install" and t.is_alive()
        ]
        return not alive or coming.look().phase == "failed"

    wait_until(over, "the end")


def test_with_everything_here_the_engine_starts_at_once(environment: Environment) -> None:
    environment.has(PAGE, ENGINE)
    ready: list[str] = []
    arrival("sys.exit(1)", ready).begin()
    assert ready == ["ready"]


def test_an_environment_of_somebody_elses_is_left_alone(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment.folder / "headroom.json").unlink()
    monkeypatch.setattr(installed, "find_spec", lambda _: None)
    ready: list[str] = []
    coming = arrival("sys.exit(1)", ready)
    coming.begin()
    assert coming.look().phase == "failed"
    assert "launch.sh setup" in str(coming.look().remedy)
    assert coming._process is None


def test_clips_are_refused_until_then(
    environment: Environment,
    engine: Engine,
    presets: Presets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = presets.default
    assert not is_here(tiny)
    with pytest.raises(NotHere, match="isn't installed yet"):
        engine.guard.check_here(tiny.id)
    monkeypatch.setenv(TRIAL, "1")  # a set-up tries what its stamp doesn't name yet
    assert is_here(tiny)
    monkeypatch.delenv(TRIAL)
    environment.has(PAGE, ENGINE)
    assert is_here(tiny)


def test_the_large_models_wait_for_their_files(
    environment: Environment, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda _: object())
    model = presets.models["wan2.1-t2v-14b-fp8"]
    environment.has(PAGE, ENGINE, target="nvidia")
    assert not is_here(model)
    environment.has(*FILES["nvidia"], target="nvidia")
    assert is_here(model)


def test_versions_are_told_against_the_lock(environment: Environment) -> None:
    (wrong,) = [w for w in installed.differing() if w.startswith("gradio ")] or [""]
    assert wrong == ""  # the tests run on the tested versions
    environment.has(PAGE, ENGINE)
    assert not [w for w in installed.differing() if "missing" in w]
