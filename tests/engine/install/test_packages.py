"""Which packages set-up asks for, from where, and with which hashes."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.install import packages
from engine.install.environments import (
    SetupError,
)
from engine.install.facts import Facts
from engine.install.packages import (
    InstallFailed,
    Packages,
    filtered,
    hashed,
    pinned,
    reachable,
    read_hashes,
)
from engine.install.plan import ENGINE, GPU, HASHES, PAGE, make_plan
from tests.support.computers import LINUX, NO_GPU
from tests.support.small_project import Small


class Recorded(Packages):
    """Records commands instead of running them; ``fails`` are words of commands that don't work."""

    def __init__(self, facts: Facts, tmp_path: Path, *fails: str) -> None:
        plan = make_plan(facts)
        tmp_path.mkdir(exist_ok=True)
        super().__init__(PROJECT, tmp_path, plan, facts.system)
        self.commands: list[str] = []
        self._fails = fails

    def _run(self, command: object) -> None:
        assert isinstance(command, list)
        told = " ".join(part for part in command[1:] if part not in packages.QUIET)
        self.commands.append(told)
        if any(word in told for word in self._fails):
            raise InstallFailed("no")


def test_an_optional_piece_that_cant_be_had_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Recorded(LINUX, tmp_path, "sglang-kernel.txt")
    recorded.install(make_plan(LINUX).files)
    assert set(recorded.left_out) == {"sglang-kernel"}
    assert "sglang-kernel is left out: it can't be installed here" in capsys.readouterr().err
    assert any("headroom-sageattention.txt" in command for command in recorded.commands)
    listed = (tmp_path / f"headroom-{GPU}").read_text()
    assert "torch==2.11.0" in listed
    assert "sageattention==" not in listed
    assert "torch==" not in (tmp_path / f"headroom-{ENGINE}").read_text()
    (lightx2v,) = [c for c in recorded.commands if "requirements-lightx2v" in c]
    assert "--no-deps" in lightx2v
    for name in (PAGE, ENGINE, GPU, "sageattention.txt"):
        (step,) = [c for c in recorded.commands if f"headroom-{name}" in c]
        # Else accelerate, before NVIDIA's torch is there, brings the newest one: gigabytes.
        assert "--no-deps --require-hashes" in step


@pytest.mark.starts
@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_an_archive_with_a_hash_is_taken_only_if_it_has_that(tmp_path: Path, tool: str) -> None:
    """By the real uv and pip, with the options that set-up gives them."""
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "")
        told = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        file.writestr("tiny-1.0.dist-info/METADATA", told)
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    right = hashlib.sha256(wheel.read_bytes()).hexdigest()
    start = (
        [sys.executable, "-m", "pip"]
        if tool == "pip"
        else [shutil.which("uv", path=Path(sys.executable).parent) or "", "pip"]
    )
    if not start[0]:
        pytest.skip("uv isn't here")
    for sha256, taken in ((right, True), ("0" * 64, False)):
        line = f"tiny @ {wheel.as_uri()} --hash=sha256:{sha256}"
        known, other = hashed(f"# a comment\n{line}\n", {})
        assert (known, other) == (f"{line}\n", "")
        listed = tmp_path / "listed.txt"
        listed.write_text(known)
        target = tmp_path / sha256
        options = ["--no-deps", "--require-hashes", "-r", str(listed), "--target", str(target)]
        done = subprocess.run([*start, "install", *options], capture_output=True, text=True)
        assert (done.returncode == 0) == taken, done.stderr
        assert (target / "tiny.py").exists() == taken


def test_windows_torch_comes_from_its_index(tmp_path: Path) -> None:
    from dataclasses import replace

    windows = replace(LINUX, system="windows")
    for folder, fails, index in (
        ("a", (), "--torch-backend cu130"),
        ("b", ("uv",), "--extra-index-url https://download.pytorch.org/whl/cu130"),
    ):
        place = tmp_path / folder
        place.mkdir()
        recorded = Recorded(windows, place, *fails)
        recorded.install((GPU,))
        (torch,) = [c for c in recorded.commands if f"other-{GPU}" in c and index in c]
        assert "--no-deps" in torch
        # Nothing else comes from there: it is no index that this program has hashes of.
        assert [c for c in recorded.commands if index in c] == [torch]
        (_, other) = (place / f"headroom-other-{GPU}").read_text().splitlines()
        assert other == 'torch==2.11.0+cu130; sys_platform == "win32"'


def test_a_cpus_torch_has_a_hash_where_it_is_pypis(tmp_path: Path) -> None:
    from dataclasses import replace

    recorded = Recorded(replace(NO_GPU, system="windows"), tmp_path)
    recorded.install((ENGINE,))
    listed = (tmp_path / f"headroom-{ENGINE}").read_text()
    assert re.search(r"^torch==\S+ --hash=sha256:", listed, re.M)
    assert not [c for c in recorded.commands if "torch==" in c]


@pytest.mark.parametrize(("there", "index"), [(True, True), (False, False)])
def test_torch_for_a_linux_without_a_gpu_is_the_cpu_build_where_it_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, index: bool
) -> None:
    monkeypatch.setattr(packages, "reachable", lambda _: there)
    recorded = Recorded(NO_GPU, tmp_path)
    recorded.install((ENGINE,))
    (torch,) = [c for c in recorded.commands if c.endswith(pinned(PROJECT / ENGINE, "torch"))]
    assert ("--torch-backend cpu" in torch) == index
    assert ("--no-deps" in torch) == index


def test_a_requirement_file_for_a_folder_elsewhere() -> None:
    text = "-r page.txt\n--only-binary :all:\ntorch==1; a\ntorchvision==2\n# torch\n"
    assert filtered(text, {"torch"}) == "--only-binary :all:\ntorchvision==2\n# torch\n"


SHA = "0" * 64
KNOWN = read_hashes(
    f"# A word.\n{SHA}  some_kit-1.0-py3-none-any.whl\n{SHA}  two-2.0-cp311-cp311-win_amd64.whl\n"
    f"{SHA}  two-2.0-cp312-cp312-win_amd64.whl\n"
)


def test_a_line_gets_each_hash_of_its_version_and_one_without_goes_by_itself() -> None:
    text = (
        '--only-binary :all:\n# A word.\n\nSome.Kit==1.0; python_version >= "3.12"  # why\n'
        "two==2.0\ntwo==2.0+cpu\nthree @ https://a/b.zip\n"
    )
    known, other = hashed(text, KNOWN)
    one = f"--hash=sha256:{SHA}"
    assert known == (
        f'--only-binary :all:\nSome.Kit==1.0; python_version >= "3.12" {one}\n'
        f"two==2.0 {one} {one}\n"
    )
    assert other == "--only-binary :all:\ntwo==2.0+cpu\nthree @ https://a/b.zip\n"
    assert hashed("--only-binary :all:\n# A word.\n", KNOWN) == ("", "")


@pytest.mark.starts
def test_another_file_than_the_one_that_was_listed_is_refused(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = small.folder.parent / "wheels/tools-1.0-py3-none-any.whl"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(SetupError, match="This step failed"):
        small.set_up("test")
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert (small.has("page"), small.has("tools")) == ("1.0", "")


@pytest.mark.starts
def test_without_its_list_of_hashes_nothing_is_installed(small: Small) -> None:
    (small.folder / HASHES).unlink()
    with pytest.raises(SetupError, match="restore it from the project"):
        small.set_up("setup")


def test_an_index_answers_or_not() -> None:
    assert not reachable("http://127.0.0.1:9/simple")
    assert not reachable("no address")
    assert reachable("http://127.0.0.1/", lambda *_, **__: None)


@pytest.mark.parametrize("proxy", ["socks5://h:1", "http://[::1"])
def test_a_proxy_that_pip_cant_use_is_a_sentence_before_it_is_started(
    tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    recorded = Recorded(LINUX, tmp_path, "uv")
    with pytest.raises(SetupError, match=r"ALL_PROXY .*HTTP proxy or unset it"):
        recorded.install((PAGE,))
    assert not [c for c in recorded.commands if c.startswith("-m pip install")]


@pytest.mark.parametrize("proxy", ["http://h:port", "::::", "socks4://h", "http://[::1"])
def test_an_index_behind_no_proxy_isnt_reachable(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    assert reachable("https://index.invalid/", seconds=2) is False
