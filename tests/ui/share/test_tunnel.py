"""The program that makes a link: hashed before each start, and nothing else is ever run."""

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio import networking, tunneling

from tests.conftest import wait_until
from ui.share.tunnel import TunnelError, open_tunnel

pytestmark = [
    pytest.mark.starts,
    pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts"),
    pytest.mark.reliability(
        "another program in frpc's place, before, while and after it is fetched"
    ),
]
RIGHT = b'#!/bin/sh\necho "start proxy success: http://abc.share.test"\nexec sleep 60\n'


class Hub:
    """Gives out what ``content`` is now."""

    def __init__(self) -> None:
        self.content, self.asked = RIGHT, 0
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.asked += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(hub.content)))
                self.end_headers()
                self.wfile.write(hub.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    url = f"http://127.0.0.1:{made.server.server_port}/frpc"
    monkeypatch.setattr(tunneling, "BINARY_PATH", str(tmp_path / "kept/frpc_v0"))
    monkeypatch.setattr(tunneling, "BINARY_FOLDER", tmp_path / "kept")
    monkeypatch.setattr(tunneling, "BINARY_URL", url)
    monkeypatch.setattr(tunneling, "CHECKSUMS", {url: hashlib.sha256(RIGHT).hexdigest()})
    monkeypatch.setattr(networking, "GRADIO_SHARE_SERVER_ADDRESS", "127.0.0.1:9")
    (tmp_path / "cache").mkdir()
    yield made
    made.server.shutdown()
    made.server.server_close()


def evil(tmp_path: Path) -> bytes:
    return b"#!/bin/sh\ntouch " + bytes(tmp_path / "hacked") + b"\n" + RIGHT.partition(b"\n")[2]


def opens(tmp_path: Path) -> None:
    tunnel = open_tunnel(1, "t", tmp_path / "cache")
    assert tunnel.alive
    assert tunnel.url == "https://abc.share.test"
    tunnel.close()
    assert not tunnel.alive


def test_what_was_fetched_is_kept_and_hashed_at_each_start(hub: Hub, tmp_path: Path) -> None:
    kept = tmp_path / "kept/frpc_v0"
    opens(tmp_path)
    opens(tmp_path)
    assert (hub.asked, kept.read_bytes()) == (1, RIGHT)
    assert [file.name for file in kept.parent.iterdir()] == ["frpc_v0"]
    assert list((tmp_path / "cache").glob("frpc-*")) == [], "copies are taken away"
    assert tunneling.BINARY_PATH == str(kept)


@pytest.mark.parametrize("how", ["before", "after a start", "a link", "a folder", "empty"])
def test_what_lies_there_and_differs_is_deleted_and_never_run(
    hub: Hub, tmp_path: Path, how: str
) -> None:
    kept = tmp_path / "kept/frpc_v0"
    if how == "after a start":
        opens(tmp_path)
    kept.parent.mkdir(exist_ok=True)
    if how == "a folder":
        kept.mkdir()
    elif how == "a link":
        (tmp_path / "theirs").write_bytes(evil(tmp_path))
        kept.symlink_to(tmp_path / "theirs")
    else:
        kept.write_bytes(b"" if how == "empty" else evil(tmp_path))
        kept.chmod(0o755)
    opens(tmp_path)
    assert not (tmp_path / "hacked").exists()
    assert kept.is_dir() if how == "a folder" else kept.read_bytes() == RIGHT


def test_a_wrong_one_that_comes_is_not_run_at_any_press(hub: Hub, tmp_path: Path) -> None:
    hub.content = evil(tmp_path)
    for _ in range(3):
        with pytest.raises(TunnelError, match="isn't the file that Gradio's release names"):
            open_tunnel(1, "t", tmp_path / "cache")
        assert not (tmp_path / "kept").exists()
    assert not (tmp_path / "hacked").exists()
    hub.content = RIGHT
    opens(tmp_path)


def test_a_file_that_is_changed_after_it_was_hashed_isnt_what_is_run(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race: another process writes to it again and again, before and while it is started."""
    opens(tmp_path)
    start = tunneling.Tunnel._start_tunnel

    def changed(self: tunneling.Tunnel, program: str) -> str:
        (tmp_path / "kept/frpc_v0").write_bytes(evil(tmp_path))
        assert Path(program).stat().st_mode & 0o777 == 0o700
        assert Path(program).parent.stat().st_mode & 0o777 == 0o700, "nobody else can write there"
        return str(start(self, program))

    monkeypatch.setattr(tunneling.Tunnel, "_start_tunnel", changed)
    opens(tmp_path)
    assert not (tmp_path / "hacked").exists()


def test_a_copy_that_a_killed_program_left_is_taken_away(hub: Hub, tmp_path: Path) -> None:
    left = tmp_path / "cache/frpc-left/frpc_v0"
    left.parent.mkdir()
    left.write_bytes(evil(tmp_path))
    opens(tmp_path)
    wait_until(lambda: not left.exists(), "its end")


def test_a_system_without_a_pinned_program_is_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunneling, "CHECKSUMS", {})
    with pytest.raises(TunnelError, match="for this system") as caught:
        open_tunnel(1, "t", tmp_path / "cache")
    assert "own network" in str(caught.value.remedy)
    assert hub.asked == 0


def test_gradios_release_pins_a_program_for_each_system_that_headroom_runs_on() -> None:
    systems = ["windows_amd64.exe", "linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"]
    pinned = {url.rpartition("frpc_")[2]: found for url, found in tunneling.CHECKSUMS.items()}
    assert all(len(pinned[system]) == 64 for system in systems)


def test_a_program_that_is_taken_away_as_it_starts_is_told(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a virus scanner does."""

    def gone(_self: object, program: str) -> str:
        Path(program).unlink()
        raise FileNotFoundError(program)

    monkeypatch.setattr(tunneling.Tunnel, "_start_tunnel", gone)
    with pytest.raises(TunnelError, match="removed or blocked"):
        open_tunnel(1, "t", tmp_path / "cache")
