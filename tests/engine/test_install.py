"""Set-up's decisions. The install itself is what every run of the tests starts with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine import install
from engine.home import PROJECT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(install, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(install, "STAMP", tmp_path / ".venv/headroom.json")
    return tmp_path


def test_a_second_start_installs_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    monkeypatch.setattr(install, "run", lambda *command: runs.append(command))
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 0
    first = len(runs)
    assert first >= 2
    assert install.main() == 0
    assert len(runs) == first


def test_an_interrupted_set_up_is_taken_up_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def cut_off(*_: object) -> None:
        nonlocal calls
        calls += 1
        raise install.SetupError("no network")

    monkeypatch.setattr(install, "run", cut_off)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 5
    assert install.main() == 5
    assert calls == 2
    assert install.installed() == {}


def test_new_requirements_are_installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "run", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 0
    facts = json.loads(install.STAMP.read_text())
    install.STAMP.write_text(json.dumps({**facts, "requirements.txt": "older"}))
    runs: list[tuple[object, ...]] = []
    monkeypatch.setattr(install, "run", lambda *command: runs.append(command))
    assert install.main() == 0
    assert any("-r" in command for command in runs)


def test_test_tools_are_not_dropped_by_a_plain_start(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[tuple[object, ...]] = []
    monkeypatch.setattr(install, "run", lambda *command: runs.append(command))
    monkeypatch.setattr(sys, "argv", ["install.py", "--tests"])
    assert install.main() == 0
    runs.clear()
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 0
    assert runs == []


def test_a_full_disk_is_told_before_anything_is_made(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    usage = shutil.disk_usage(place)._replace(free=2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 5
    assert "1.0 GB are free" in capsys.readouterr().err
    assert not install.VENV.exists()


def test_an_unfit_python_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install, "OLDEST", (3, 99))
    monkeypatch.setattr(sys, "argv", ["install.py"])
    assert install.main() == 5
    assert "Headroom needs 3.11 to 3.13" in capsys.readouterr().err


def test_it_needs_nothing_but_the_standard_library() -> None:
    code = (
        "import sys; sys.path.insert(0, 'engine'); import install; "
        "sys.stdout.write(' '.join(m for m in sys.modules if m.split('.')[0] not in "
        "sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {"install", "__main__"}


def test_every_requirement_is_exact() -> None:
    for name in ("requirements.txt", "requirements-test.txt"):
        for line in (PROJECT / name).read_text().splitlines():
            if line and not line.startswith("#"):
                assert line.count("==") == 1, line
