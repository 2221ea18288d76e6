"""Set-up in small projects of its own: real environments and a real pip, with packages made here.

The whole install is what every run of the tests starts with, and tests/system/test_launch.py does
again.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.install import __main__, packages, trial
from engine.install.__main__ import Order, Setup, main, read_order
from engine.install.environments import (
    Environments,
    SetupError,
    Stamp,
    answers,
    python_of,
    read_stamp,
    rehome,
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
from engine.install.plan import ENGINE, GPU, HASHES, PAGE, TESTS, make_plan
from tests.engine.install.test_plan import LINUX, NO_GPU


def wheel(folder: Path, name: str, version: str) -> None:
    """A package of one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    texts = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*texts, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**texts, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


def _sha256(place: Path) -> str:
    return hashlib.sha256(place.read_bytes()).hexdigest()


class Small:
    """A project whose page is one small package; ``trials`` says what was tried."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.places = Environments(folder)
        self.trials: list[tuple[str, ...]] = []
        self.facts: Facts = NO_GPU
        wheels = folder.parent / "wheels"
        wheels.mkdir(exist_ok=True)
        for name in ("page", "torch", "clips", "tools"):
            for version in ("1.0", "2.0"):
                wheel(wheels, name, version)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setattr("shutil.which", lambda *_: None)  # no uv: these are pip's packages
        monkeypatch.setattr(__main__, "this_computer", lambda _: self.facts)
        monkeypatch.setattr(packages, "reachable", lambda _: False)
        monkeypatch.setattr(trial, "run", self._tried)
        for folder_name in ("engine", "ui"):
            (folder / folder_name).mkdir(parents=True, exist_ok=True)
        (folder / "app.py").write_text("")
        listed = [f"{_sha256(place)}  {place.name}\n" for place in sorted(wheels.iterdir())]
        (folder / HASHES).write_text("# A word.\n" + "".join(listed))
        self.require()

    def _tried(self, _: Path, python: Path, files: Collection[str]) -> Mapping[str, str]:
        self.trials.append(tuple(files))
        assert answers(python.parent.parent)
        return {}

    def require(self, page: str = "1.0", clips: str = "1.0") -> None:
        (self.folder / PAGE).write_text(f"page=={page}\n")
        (self.folder / ENGINE).write_text(f"-r {PAGE}\ntorch==1.0\nclips=={clips}\n")
        (self.folder / TESTS).write_text("tools==1.0\n")

    def make_quickly(self, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An empty environment takes seconds to make: copy one that was made in full."""

        def copy(packages: Packages) -> None:
            shutil.copytree(bare, packages._venv, symlinks=True)
            rehome(packages._venv, str(bare), str(packages._venv))

        monkeypatch.setattr(Packages, "make", copy)

    def set_up(self, command: str, repair: bool = False) -> None:
        Setup(self.folder, Order(command, repair=repair)).run()

    def has(self, module: str) -> str:
        """The version of ``module`` in the environment in force; "" without it."""
        code = f"import sys, {module}; sys.stdout.write({module}.VERSION)"
        done = subprocess.run(
            [python_of(self.places.now), "-c", code], capture_output=True, text=True
        )
        return done.stdout

    def left_behind(self) -> list[str]:
        return [p.name for p in (self.places.new, self.places.old) if p.exists()]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a bare one") / "ä bare & empty" / ".venv"
    Packages(PROJECT, folder, make_plan(NO_GPU), "linux").make()
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its page installed, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("first") / "small"
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Small(folder, monkeypatch)
        made.set_up("serve")
        assert made.has("page") == "1.0"
        assert made.has("clips") == ""
        assert made.trials == [(PAGE,)]
    return folder


@pytest.fixture
def small(first: Path, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    folder = tmp_path / "ä small & project"
    shutil.copytree(first, folder, symlinks=True)
    made = Small(folder, monkeypatch)
    made.make_quickly(bare, monkeypatch)
    return made


def refuse(*_: object) -> None:
    raise AssertionError("nothing was to be installed")


def test_a_second_start_installs_nothing_wherever_the_folder_went(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "_install", refuse)
    small.set_up("serve")
    stamp = read_stamp(small.places.now)
    assert stamp is not None
    assert stamp.place == str(small.places.now)
    pip = (small.places.now / "bin/pip").read_text()
    assert str(small.places.now) in pip
    small.set_up("doctor")


def test_what_only_adds_is_added_and_the_rest_left_alone(small: Small) -> None:
    before = python_of(small.places.now).lstat().st_ino
    small.set_up("generate")
    assert (small.has("page"), small.has("clips"), small.has("torch")) == ("1.0", "1.0", "1.0")
    small.set_up("test")
    assert small.has("tools") == "1.0"
    assert small.trials == [(ENGINE,), (TESTS,)]
    assert python_of(small.places.now).lstat().st_ino == before
    stamp = read_stamp(small.places.now)
    assert stamp is not None
    assert set(stamp.files) == {PAGE, ENGINE, TESTS}


def test_new_versions_are_built_beside_and_swapped_in(small: Small) -> None:
    small.set_up("test")
    small.require(page="2.0")
    small.set_up("serve")
    # A plain start keeps what was there besides: clips and the tests' tools.
    assert [small.has(name) for name in ("page", "clips", "tools")] == ["2.0", "1.0", "1.0"]
    assert small.trials[-1] == (PAGE, ENGINE, TESTS)
    assert small.left_behind() == []
    pip = (small.places.now / "bin/pip").read_text()
    assert ".venv.new" not in pip
    done = subprocess.run([small.places.now / "bin/pip", "--version"], capture_output=True)
    assert done.returncode == 0


def test_a_start_of_the_page_renews_what_makes_clips_too(small: Small) -> None:
    small.set_up("generate")
    small.require(clips="2.0")
    small.set_up("serve")
    assert (small.has("page"), small.has("clips")) == ("1.0", "2.0")


@pytest.mark.parametrize("broken", ["install", "trial", "swap", "interrupt"])
def test_a_set_up_that_fails_in_the_middle_leaves_the_old_one_working(
    small: Small, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    small.set_up("generate")
    small.require(page="2.0", clips="9.9" if broken == "install" else "2.0")
    error: type[BaseException] = SetupError
    if broken in ("trial", "interrupt"):
        error = KeyboardInterrupt if broken == "interrupt" else SetupError

        def fail(*_: object) -> None:
            raise error("in the middle")

        monkeypatch.setattr(trial, "run", fail)
    if broken == "swap":
        monkeypatch.setattr("engine.install.__main__.environments.answers", lambda _: False)
    with pytest.raises(error):
        small.set_up("generate")
    monkeypatch.undo()
    assert (small.has("page"), small.has("clips")) == ("1.0", "1.0")
    assert answers(small.places.now)
    assert small.left_behind() == []


def test_an_addition_that_fails_leaves_the_page_and_is_taken_up_again(small: Small) -> None:
    small.require(clips="9.9")
    with pytest.raises(SetupError, match="starting again goes on from there"):
        small.set_up("finish")
    assert small.has("page") == "1.0"
    stamp = read_stamp(small.places.now)
    assert stamp is not None
    assert set(stamp.files) == {PAGE}
    small.require()
    small.set_up("finish")
    assert small.has("clips") == "1.0"


@pytest.mark.parametrize("state", ["between the renames", "after them", "while it was built"])
def test_what_a_kill_left_is_put_right(small: Small, state: str) -> None:
    places = small.places
    if state == "between the renames":
        places.now.rename(places.old)
        places.new.mkdir()
    elif state == "after them":
        places.old.mkdir()
    else:
        places.new.mkdir()
    small.set_up("generate")
    assert (small.has("page"), small.has("clips")) == ("1.0", "1.0")
    assert small.left_behind() == []
    assert small.trials == [(ENGINE,)]  # the page was not installed again


def test_an_addition_that_was_cut_off_is_made_afresh(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip and uv take a package that has its metadata for whole."""

    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial, "run", cut_off)
        with pytest.raises(KeyboardInterrupt):
            small.set_up("finish")
    for name in ("clips", "torch"):
        next((small.places.now / "lib").rglob(f"{name}.py")).unlink()
    small.set_up("finish")
    assert (small.has("clips"), small.has("torch"), small.has("page")) == ("1.0", "1.0", "1.0")
    assert not (small.places.now / __main__.ADDING).exists()


def test_what_was_asked_for_is_remembered(small: Small) -> None:
    small.set_up("generate")
    Setup(small.folder, Order("setup", "cpu")).run()
    small.facts = LINUX  # the card's driver was installed since
    stamp = read_stamp(small.places.now)
    assert stamp is not None
    assert stamp.wish == "cpu"
    small.set_up("setup")
    assert small.trials == [(ENGINE,)]


def test_repair_makes_everything_afresh(small: Small) -> None:
    damaged = next((small.places.now / "lib").rglob("page.py"))
    damaged.write_text("VERSION = 'damaged'\n")
    small.set_up("setup", repair=True)
    assert small.has("page") == "1.0"
    assert small.trials == [(PAGE, ENGINE)]


def test_a_broken_environment_is_replaced(small: Small) -> None:
    python_of(small.places.now).unlink()
    small.set_up("serve")
    assert small.has("page") == "1.0"


def test_a_start_changes_no_cards_packages_and_set_up_does(
    small: Small, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    small.facts = LINUX
    small.set_up("serve")
    small.set_up("generate")
    assert "`launch.sh setup` changes them" in capfd.readouterr().err
    asked: list[tuple[str, ...]] = []

    def build(self: Setup, stamp: Stamp, plan: object, files: tuple[str, ...]) -> None:
        asked.append((stamp.target, *files))

    monkeypatch.setattr(Setup, "_build", build)
    small.set_up("setup")
    assert asked == [("nvidia", PAGE, ENGINE, GPU, "requirements-lightx2v.txt")]


def test_one_set_up_waits_for_another(small: Small, capfd: pytest.CaptureFixture[str]) -> None:
    with small.places.locked():
        second = threading.Thread(target=small.set_up, args=("generate",))
        second.start()
        second.join(timeout=1.0)
        assert second.is_alive()
        assert small.has("clips") == ""
    second.join(timeout=60)
    assert small.has("clips") == "1.0"
    assert "waiting for its end" in capfd.readouterr().err


# ---- what can't be done --------------------------------------------------------------------


def test_a_full_disk_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Small(tmp_path / "p", monkeypatch)
    made.facts = Facts("linux", "x86_64", (3, 12, 0), 2**35, 2**29)
    with pytest.raises(SetupError, match=r"0\.5 GB are free"):
        made.set_up("serve")
    made.facts = Facts("linux", "x86_64", (3, 12, 0), 2**35, 2**31)
    with pytest.raises(SetupError, match=r"2\.0 GB are free .* needs 4 GB"):
        made.set_up("generate")
    assert not made.places.now.exists()


def test_after_a_failure_a_start_goes_on_with_what_was_there(
    small: Small, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "PROJECT", small.folder)
    small.require(page="9.9")
    assert main(["--port", "8000"]) == 0
    assert "untouched; going on with it" in capfd.readouterr().err
    assert main(["setup"]) == 5
    assert main(["test"]) == 5
    assert main(["generate", "a prompt"]) == 5  # what makes clips was never there
    assert "This step failed" in capfd.readouterr().err


def test_an_unfit_python_is_told(small: Small) -> None:
    small.facts = Facts("linux", "x86_64", (3, 9, 0), 2**35, 2**36)
    small.require(page="2.0")
    with pytest.raises(SetupError, match=r"This is Python 3\.9"):
        small.set_up("serve")


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ([], Order("serve")),
        (["--port", "8000", "--gpu"], Order("serve")),
        (["generate", "--cpu"], Order("generate")),
        (["setup"], Order("setup")),
        (["setup", "--cpu"], Order("setup", "cpu")),
        (["setup", "--gpu", "--repair"], Order("setup", "gpu", True)),
        (["setup", "--dry-run"], Order("setup", dry_run=True)),
        (["--dry-run", "--gpu"], Order("setup", "gpu", dry_run=True)),
    ],
)
def test_orders(arguments: list[str], order: Order) -> None:
    assert read_order(arguments) == order


def test_cpu_and_gpu_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_order(["setup", "--cpu", "--gpu"])
    assert ended.value.code == 2
    assert "exclude" in capsys.readouterr().err


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; import engine.install.__main__.__main__; sys.stdout.write(' '.join("
        "m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in done.stdout.split()} <= {"engine", "__main__"}


# ---- packages ------------------------------------------------------------------------------


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
    (lightx2v,) = [c for c in recorded.commands if "other-requirements-lightx2v" in c]
    assert "--no-deps" in lightx2v
    for name in (PAGE, ENGINE, GPU, "sageattention.txt"):
        (step,) = [c for c in recorded.commands if f"headroom-{name}" in c]
        # Else accelerate, before NVIDIA's torch is there, brings the newest one: gigabytes.
        assert "--no-deps --require-hashes" in step


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


def test_another_file_than_the_one_that_was_listed_is_refused(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = small.folder.parent / "wheels/tools-1.0-py3-none-any.whl"
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(SetupError, match="This step failed"):
        small.set_up("test")
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert (small.has("page"), small.has("tools")) == ("1.0", "")


def test_without_its_list_of_hashes_nothing_is_installed(small: Small) -> None:
    (small.folder / HASHES).unlink()
    with pytest.raises(SetupError, match="restore it from the project"):
        small.set_up("setup")


def test_an_index_answers_or_not() -> None:
    assert not reachable("http://127.0.0.1:9/simple")
    assert not reachable("no address")
    assert reachable("http://127.0.0.1/", lambda *_, **__: None)


def test_a_stamp_of_before_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "headroom.json").write_text(json.dumps({"python": "3.11", "requirements.txt": "0"}))
    assert read_stamp(tmp_path) is None
    (tmp_path / "headroom.json").write_text("{")
    assert read_stamp(tmp_path) is None
