"""Set-up in small projects of its own: real environments and a real pip, with packages made here.

The whole install is what every run of the tests starts with, and tests/system/test_launch.py does
again.
"""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.install import __main__, trial
from engine.install.__main__ import Order, Setup, main, read_order
from engine.install.environments import (
    SetupError,
    Stamp,
    answers,
    python_of,
    read_stamp,
)
from engine.install.facts import Facts
from engine.install.plan import ENGINE, GPU, LANES, PAGE, TESTS
from tests.support.computers import LINUX
from tests.support.small_project import Small

pytestmark = pytest.mark.starts


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
    assert small.trials == [(ENGINE,), (LANES, TESTS)]
    assert python_of(small.places.now).lstat().st_ino == before
    stamp = read_stamp(small.places.now)
    assert stamp is not None
    assert set(stamp.files) == {PAGE, ENGINE, LANES, TESTS}


def test_new_versions_are_built_beside_and_swapped_in(small: Small) -> None:
    small.set_up("test")
    small.require(page="2.0")
    small.set_up("serve")
    # A plain start keeps what was there besides: clips and the tests' tools.
    assert [small.has(name) for name in ("page", "clips", "tools")] == ["2.0", "1.0", "1.0"]
    assert small.trials[-1] == (PAGE, ENGINE, LANES, TESTS)
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
        monkeypatch.setattr("engine.install.environments.answers", lambda _: False)
    with pytest.raises(error):
        small.set_up("generate")
    monkeypatch.undo()
    assert (small.has("page"), small.has("clips")) == ("1.0", "1.0")
    assert answers(small.places.now)
    assert small.left_behind() == []


def test_an_addition_that_fails_leaves_the_page_and_is_taken_up_again(small: Small) -> None:
    small.require(clips="9.9")
    with pytest.raises(SetupError, match="starting again continues from there"):
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
    assert "`launch.sh setup` replaces them" in capfd.readouterr().err
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
    assert "waiting for it to finish" in capfd.readouterr().err


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
    assert "intact; continuing with it" in capfd.readouterr().err
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
        (["check"], Order("test")),
        (["check", "--height", "64"], Order("check")),
        (["join", "192.168.1.10"], Order("join", lanes=True)),
        (["serve", "--lanes"], Order("serve", lanes=True)),
        (["--lanes=10.0.0.2"], Order("serve", lanes=True)),
        (["lanes"], Order("lanes")),
        (["generate", "--lanes"], Order("generate")),
        (["setup"], Order("setup")),
        (["setup", "--cpu"], Order("setup", "cpu")),
        (["setup", "--gpu", "--repair"], Order("setup", "gpu", True)),
        (["setup", "--dry-run"], Order("setup", dry_run=True)),
        (["--dry-run", "--gpu"], Order("setup", "gpu", dry_run=True)),
    ],
)
def test_orders(arguments: list[str], order: Order) -> None:
    assert read_order(arguments) == order


def test_machines_that_work_together_need_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brought at the first asking, on the one system where Ray has several machines."""

    def files(arguments: list[str], system: str) -> tuple[str, ...]:
        monkeypatch.setattr(sys, "platform", system)
        return Setup(PROJECT, read_order(arguments))._files("cpu")

    assert files(["serve"], "linux") == (PAGE,)
    assert files(["serve", "--lanes"], "linux") == (PAGE, ENGINE, LANES)
    assert files(["join", "10.0.0.2"], "linux") == (PAGE, ENGINE, LANES)
    assert files(["join", "10.0.0.2"], "win32") == (PAGE, ENGINE)
    assert files(["test"], "linux") == (PAGE, ENGINE, LANES, TESTS)


def test_cpu_and_gpu_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        read_order(["setup", "--cpu", "--gpu"])
    assert ended.value.code == 2
    assert "can't be combined" in capsys.readouterr().err


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; import engine.install.__main__; sys.stdout.write(' '.join("
        "m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in done.stdout.split()} <= {"engine", "__main__"}


def test_a_stamp_of_before_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "headroom.json").write_text(json.dumps({"python": "3.11", "requirements.txt": "0"}))
    assert read_stamp(tmp_path) is None
    (tmp_path / "headroom.json").write_text("{")
    assert read_stamp(tmp_path) is None
