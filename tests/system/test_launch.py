"""The launcher in an empty clone: a real install into a folder whose name is a nuisance, once, and
everything that follows from it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.home import PROJECT
from engine.install.plan import ENGINE, PAGE
from tests.conftest import wait_until
from tests.support.served import Served, serve

pytestmark = [
    pytest.mark.long,
    pytest.mark.model,
    pytest.mark.skipif(os.name == "nt", reason="launch.bat has its own tests"),
]


@dataclass(frozen=True)
class Clone:
    """A copy of the project, with nothing in it that git doesn't know."""

    folder: Path
    home: Path

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("HEADROOM_PRESETS", "PYTHONPATH")}
        return {**kept, "HEADROOM_HOME": str(self.home)}

    def launch(self, *arguments: str, offline: bool = False) -> subprocess.CompletedProcess[str]:
        """Called from another folder, as a menu would. ``offline``: without any network."""
        command = [str(self.folder / "launch.sh"), *arguments]
        if offline:
            command = ["unshare", "--net", *command]
        return subprocess.run(
            command,
            cwd="/",
            env=self.environment(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=540,
        )

    def installed(self) -> set[str]:
        stamp: dict[str, Any] = json.loads((self.folder / ".venv/headroom.json").read_text())
        return set(stamp["files"])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("launch") / "Zoë's clips"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    return Clone(folder, folder.parent / "höme")


def offline_works() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def opened(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of a first start, while what makes clips is still on its way."""
    log = tmp_path_factory.mktemp("log") / "serve.log"
    launched = serve(log, environment=clone.environment(), program=[clone.folder / "launch.sh"])
    yield launched
    if launched.process.poll() is None:
        launched.end(signal.SIGTERM)


# These build on each other, in this order: an install takes a minute.


def test_1_the_page_opens_with_nothing_but_its_own_packages(clone: Clone, opened: Served) -> None:
    assert clone.installed() == {PAGE}
    assert opened.state("packages") == "working"
    assert "Installing the engine" in str(opened.state("engine"))
    refused = clone.launch("check", "--height", "128", "--width", "128", "--frames", "17", "--json")
    assert json.loads(refused.stdout)["verdict"] == "open", refused.stderr


def test_2_what_makes_clips_arrives_while_it_is_open(clone: Clone, opened: Served) -> None:
    wait_until(lambda: opened.state("packages") != "working", "the packages' end", 480)
    log = clone.home / "logs/setup.log"
    assert opened.state("packages") == "here", log.read_text()
    wait_until(lambda: opened.state("engine_state") == "ready", "wan-tiny loaded")
    assert clone.installed() == {PAGE, ENGINE}
    assert opened.end(signal.SIGTERM) == 0


def test_3_the_second_start_needs_no_network_and_installs_nothing(clone: Clone) -> None:
    stamp = (clone.folder / ".venv/headroom.json").stat().st_mtime_ns
    offline = offline_works()
    done = clone.launch(
        "generate", "a red ball moves left", "--seed", "1", "--json", offline=offline
    )
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["path"]).is_file()
    assert "Installing" not in done.stderr
    assert (clone.folder / ".venv/headroom.json").stat().st_mtime_ns == stamp


def test_4_set_up_again_has_nothing_to_do_and_the_doctor_agrees(clone: Clone) -> None:
    done = clone.launch("setup", offline=offline_works())
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Installing" not in done.stderr
    told = json.loads(clone.launch("doctor", "--json").stdout)["lines"]
    found = {line["subject"]: line for line in told}
    assert found["Packages"]["state"] == "good", found["Packages"]


def test_4_the_plan_is_one_json_object(clone: Clone) -> None:
    told = json.loads(clone.launch("--dry-run").stdout)
    assert told["installed"]["target"] == told["plan"]["target"]


def test_5_exit_codes_and_arguments_go_through(clone: Clone) -> None:
    assert clone.launch("generate", "x", "--height", "100").returncode == 2
    assert "the nearest is 96" in clone.launch("generate", "x", "--height", "100").stderr
    assert clone.launch("read", "no such file & more.mp4").returncode == 2


def test_without_a_python_it_says_what_to_install(tmp_path: Path) -> None:
    for name in ("sh", "dirname", "ps", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    too_old = tmp_path / "python3"
    too_old.write_text(f"#!{tmp_path}/sh\nexit 1\n")
    too_old.chmod(0o755)
    done = subprocess.run(
        [PROJECT / "launch.sh"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 5
    assert "Headroom needs Python 3.11, 3.12 or 3.13" in done.stderr


@pytest.mark.parametrize("way", ["absolute", "relative", "twice", "over a linked folder"])
def test_a_link_to_the_launcher_starts_it_in_its_own_folder(way: str, tmp_path: Path) -> None:
    """With a Python that only says what it was asked to run."""
    project, commands = tmp_path / "Zoë's clips", tmp_path / "opt/bin"
    for folder in (project, commands, tmp_path / "bin"):
        folder.mkdir(parents=True)
    shutil.copy(PROJECT / "launch.sh", project)
    (tmp_path / "bin/python3").write_text('#!/bin/sh\n[ "$1" = -c ] || { echo "$1"; exit 7; }\n')
    (tmp_path / "bin/python3").chmod(0o755)
    link = commands / "head room"
    relative = Path("../..") / project.name / "launch.sh"
    match way:
        case "absolute":
            link.symlink_to(project / "launch.sh")
        case "relative":
            link.symlink_to(relative)
        case "twice":
            (commands / "other").symlink_to(relative)
            link.symlink_to("other")
        case _:
            link.symlink_to(relative)
            (tmp_path / "far/away").mkdir(parents=True)
            (tmp_path / "far/away/bin").symlink_to(commands)
            link = tmp_path / "far/away/bin" / link.name
    tools = ("dirname", "readlink", "ps", "tr")
    for name in tools:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        ["/bin/sh", link, "clips"],
        env={"PATH": str(tmp_path / "bin")},
        cwd="/",
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert (done.stdout, done.returncode) == (f"{project}/engine/install\n", 7), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="script is Linux' here")
def test_a_window_of_its_own_stays_open_with_the_reason(tmp_path: Path) -> None:
    """A double click's terminal runs nothing but the launcher."""
    if shutil.which("script") is None:
        pytest.skip("needs script, of util-linux")
    (tmp_path / "sh").symlink_to("/bin/sh")
    for name in ("dirname", "ps", "tr"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    launcher = PROJECT / "launch.sh"

    def run(command: str) -> str:
        done = subprocess.run(
            [str(shutil.which("script")), "-qec", command, "/dev/null"],
            env={"PATH": str(tmp_path), "SHELL": "/bin/sh"},
            input="\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    assert "Press Enter to close this window." in run(f"exec '{launcher}'")
    assert "Press Enter" not in run(f"'{launcher}'; true")
