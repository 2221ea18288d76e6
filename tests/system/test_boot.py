"""The boot test: a real `app.py serve`, a clean log, no torch in the page's process."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from engine.home import PROJECT
from engine.machine.addresses import in_url, own_addresses
from engine.process.variables import AUTH
from tests.conftest import wait_until
from tests.support.hostile import HOSTILE, LOOPBACK, faults
from tests.support.served import SCRIPTED, Served, serve
from ui.serve import PORTS_TRIED

pytestmark = pytest.mark.starts


@pytest.mark.model
def test_it_boots_clean_and_leaves_nothing_behind(tmp_path: Path) -> None:
    served = serve(tmp_path / "serve.log")
    try:
        wait_until(lambda: served.state("engine_state") == "ready", "wan-tiny loaded")
        maps = Path(f"/proc/{served.pid}/maps")
        if maps.exists():
            assert "libtorch" not in maps.read_text(), "torch is in the page's process"
        workers = psutil.Process(served.pid).children(recursive=True)
        assert any("libtorch" in Path(f"/proc/{w.pid}/maps").read_text() for w in workers)
        log = served.log()
        assert not re.search(r"Exception|Error|Traceback|Warning", log), log
        assert f"Headroom is at {served.url}" in log
    finally:
        code = served.end(signal.SIGTERM)
    assert code == 0
    wait_until(lambda: not [w for w in workers if w.is_running()], "the worker's end")


def test_what_others_read_of_the_environment_changes_nothing(tmp_path: Path) -> None:
    """All at once; tests/tools/hostile_environments.py tries them one by one."""
    (tmp_path / "fsspec").mkdir()
    (tmp_path / "fsspec/damaged.json").write_text("{")
    environment = {**os.environ, **{k: v for one in HOSTILE.values() for k, v in one.items()}}
    environment["FSSPEC_CONFIG_DIR"] = str(tmp_path / "fsspec")
    program = (sys.executable, PROJECT / "app.py", "serve", "--host", LOOPBACK[-1])
    served = serve(tmp_path / "serve.log", environment=environment, program=program)
    try:
        assert faults(served.pid, served.url) == []
        log = served.log()
        assert "Ignored, because these variables don't apply" in log
        assert "GRADIO_SERVER_PORT: --port chooses the port." in log
        assert "Traceback" not in log
    finally:
        code = served.end(signal.SIGTERM)
    assert code == 0


def begun(parent: psutil.Process) -> list[psutil.Process]:
    """Its children that run programs of their own by now."""
    own, found = parent.cmdline(), []
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.cmdline() not in (own, []):
                found.append(child)
    return found


def test_every_address_asks_for_the_login_that_no_process_shows(tmp_path: Path) -> None:
    """``--host ::`` is IPv4, too. Each address is a name of its own at the gate."""
    environment = {**os.environ, "HEADROOM_AUTH": "me:s3cret"}
    program = (sys.executable, PROJECT / "app.py", "serve", "--host", "::")
    served = serve(tmp_path / "serve.log", environment=environment, program=program)
    try:
        ours = psutil.Process(served.pid)
        # Between fork and exec a child shows what its parent was started with.
        wait_until(lambda: begun(ours), "the worker")
        for one in (ours, *begun(ours)):
            assert "s3cret" not in " ".join(one.cmdline())
            assert one == ours or AUTH not in one.environ()
        assert "s3cret" not in served.log()
        for host in (*map(in_url, (*LOOPBACK, *own_addresses())), "localhost"):
            base = f"http://{host}:{served.port}/"
            # Gradio's cookie for plain HTTP isn't marked as secure.
            with httpx.Client(base_url=base, trust_env=False, timeout=30) as client:
                assert client.get("config").status_code == 401, host
                for listed in ("openapi.json", "docs", "redoc"):
                    assert "gradio_api" not in client.get(listed).text
                form = {"username": "me", "password": "s3cret"}
                assert client.post("login", data=form).status_code == 200, host
                assert client.get("config").json()["root"] == base.rstrip("/")
                assert client.get("config", headers={"Host": "evil.example"}).status_code == 400
    finally:
        assert served.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP], ids=["Ctrl-C", "its terminal"])
def test_ctrl_c_and_the_end_of_its_terminal_end_both_processes(
    tmp_path: Path, how: signal.Signals
) -> None:
    served = serve(tmp_path / "serve.log")
    wait_until(lambda: served.state("engine_state") in ("ready", "loading"), "the worker")
    children = psutil.Process(served.pid).children(recursive=True)
    assert served.end(how) == 0
    wait_until(lambda: not [c for c in children if c.is_running()], "the children's end")
    assert "Traceback" not in served.log()


@pytest.mark.reliability("the port taken, and a second program on the same folder")
def test_a_taken_port_moves_to_the_next(tmp_path: Path) -> None:
    first = serve(tmp_path / "first.log", program=SCRIPTED)
    second: Served | None = None
    try:
        second = serve(tmp_path / "second.log", port=first.port, program=SCRIPTED)
        assert first.port < second.port < first.port + PORTS_TRIED, "others may take some, too"
        assert f"Port {first.port} is in use" in second.log()
        # The second shares the folder, so it leaves the engine to the first, and says so.
        assert "Another Headroom is already working on" in second.log()
        wait_until(lambda: second and second.state("engine_state") == "elsewhere", "standing aside")
        assert str(second.state("engine")).startswith("Another Headroom process makes the clips")
    finally:
        for served in (first, second):
            if served:
                served.end(signal.SIGTERM)


def test_a_page_without_its_own_packages_says_so(tmp_path: Path) -> None:
    """app.py outside the environment: a sentence, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-S", "app.py", "serve"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 5
    assert "launch.sh" in done.stderr
    assert "Traceback" not in done.stderr
