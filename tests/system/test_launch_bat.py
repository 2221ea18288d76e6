"""launch.bat, executed by Wine's cmd with a stand-in for Python that writes its arguments down.

Wine 8 isn't Windows: `where`, `timeout`, `A && B || C` and delayed substrings differ there, and
the file uses none of them. Nor does Wine keep a % in an argument, which Windows does.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.home import PROJECT

pytestmark = pytest.mark.starts

SOURCE = PROJECT / "tests/system/wine/python_standin.c"
COMPILER = "x86_64-w64-mingw32-gcc"
REQUIRED = "HEADROOM_REQUIRE_WINE"


@dataclass(frozen=True)
class Ran:
    """An ended launch.bat: what it started, each with its name first, and what it said."""

    code: int
    started: list[list[str]]
    said: str

    def after_checks(self) -> list[list[str]]:
        """Without the looks for a Python."""
        return [run for run in self.started if "ensurepip" not in " ".join(run)]


class Windows:
    """A folder with launch.bat in it, and whatever Pythons a test puts on the PATH."""

    def __init__(self, folder: Path, prefix: Path, standin: Path) -> None:
        self.project = folder / "Tom & Jerry's ä clips (1)"
        self.path = folder / "bin"
        self._log, self._prefix, self._standin = folder / "log.txt", prefix, standin
        self.path.mkdir()
        scripts = self.project / ".venv/Scripts"
        scripts.mkdir(parents=True)
        (self.project / "engine/install").mkdir(parents=True)
        shutil.copy(PROJECT / "launch.bat", self.project)
        shutil.copy(standin, scripts / "python.exe")

    def python(self, *names: str) -> None:
        for name in names:
            shutil.copy(self._standin, self.path / name)

    def run(self, *arguments: str, fails: str = "", code: int = 0) -> Ran:
        more = {"STANDIN_FAILS": fails, "STANDIN_CODE": str(code)} if fails else {}
        environment = wine(self._prefix) | {
            "WINEPATH": self._windows(self.path),
            "STANDIN_LOG": self._windows(self._log),
            **more,
        }
        environment.pop("CI", None)
        # Quotes go through as a person would type them.
        command = ["wine", "cmd", "/c", "launch.bat", *arguments]
        done = subprocess.run(
            command,
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            errors="replace",
        )
        log = self._log.read_text(encoding="utf-8") if self._log.exists() else ""
        started = [run.split("\n") for run in log.split("\n\n") if run]
        return Ran(done.returncode, started, done.stdout + done.stderr)

    def file(self, name: str) -> str:
        return self._windows(self.project / name)

    def _windows(self, path: Path) -> str:
        return "Z:" + str(path).replace("/", "\\")


def wine(prefix: Path) -> dict[str, str]:
    """Wine without a screen, its chatter and its browser."""
    quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree=;mshtml=", "DISPLAY": ""}
    # Its files' names are UTF-8 whatever this machine's own language is.
    return {**os.environ, **quiet, "WINEPREFIX": str(prefix), "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("wine") is None or shutil.which(COMPILER) is None:
        if os.environ.get(REQUIRED):
            pytest.fail(f"wine and {COMPILER} are required here")
        pytest.skip(f"needs wine and {COMPILER}")
    folder = tmp_path_factory.mktemp("wine")
    subprocess.run(
        ["wine", "cmd", "/c", "exit"], env=wine(folder), capture_output=True, timeout=180
    )
    return folder


@pytest.fixture(scope="module")
def standin(prefix: Path) -> Path:
    made = prefix / "python_standin.exe"
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-municode"]
    subprocess.run([COMPILER, *flags, "-o", str(made), str(SOURCE)], check=True)
    return made


@pytest.fixture
def windows(tmp_path: Path, prefix: Path, standin: Path) -> Windows:
    return Windows(tmp_path, prefix, standin)


def test_without_a_python_it_says_what_to_install(windows: Windows) -> None:
    ran = windows.run()
    assert ran.code == 5
    assert "Headroom needs Python 3.11, 3.12 or 3.13" in ran.said
    assert "python.org" in ran.said
    assert ran.started == []


def test_away_from_its_folder_it_says_so(windows: Windows) -> None:
    """What a symbolic link to it looks like from inside."""
    windows.python("py.exe")
    (windows.project / "engine/install").rmdir()
    ran = windows.run("clips")
    assert ran.code == 5
    assert "use a shortcut" in ran.said
    assert ran.started == []


def test_a_python_that_is_too_old_is_passed_over(windows: Windows) -> None:
    windows.python("py.exe", "python.exe")
    ran = windows.run(fails="ensurepip", code=1)
    assert ran.code == 5
    assert "none was found" in ran.said
    looks = [run[0].removesuffix(".exe") + " ".join(run[1:2]) for run in ran.started]
    assert looks == ["py-3.12", "py-3.13", "py-3.11", "python-c"]


def test_the_newest_tested_python_is_taken(windows: Windows) -> None:
    windows.python("py.exe", "python.exe")
    ran = windows.run("doctor", fails="-3.12", code=103)  # py's own code for a missing version
    assert [run[1] for run in ran.started[:2]] == ["-3.12", "-3.13"]
    install, program = ran.after_checks()
    assert install[1:] == ["-3.13", windows.file("engine\\install"), "doctor"]
    assert program[1:] == [windows.file("app.py"), "doctor"]
    assert ran.code == 0


def test_a_path_with_spaces_and_signs_and_arguments_with_quotes_go_through(
    windows: Windows,
) -> None:
    windows.python("python.exe")
    typed = ["generate", "a red & blue ball (half) moves ^ left", "--seed", "7", "--out", "ä b.mp4"]
    ran = windows.run(*typed)
    assert ran.code == 0
    install, program = ran.after_checks()
    assert install == ["python", windows.file("engine\\install"), *typed]
    assert program == [windows.file(".venv\\Scripts\\python.exe"), windows.file("app.py"), *typed]


def test_a_bare_check_is_the_developers_and_one_with_a_size_the_programs(windows: Windows) -> None:
    windows.python("python.exe")
    _, ours = windows.run("check").after_checks()
    assert ours[1:] == ["-m", "tests.tools.check"]
    typed = ["check", "--height", "64", "--width", "64", "--frames", "5"]
    program = windows.run(*typed).after_checks()[-1]  # the log goes on
    assert program[1:] == [windows.file("app.py"), *typed]


def test_without_arguments_the_page_opens(windows: Windows) -> None:
    windows.python("python.exe")
    install, program = windows.run().after_checks()
    assert install[1:] == [windows.file("engine\\install")]
    assert program[1:] == [windows.file("app.py")]


@pytest.mark.parametrize(("command", "code"), [("serve", 5), ("setup", 5), ("test", 130)])
def test_a_failed_set_up_ends_with_its_code(windows: Windows, command: str, code: int) -> None:
    windows.python("python.exe")
    ran = windows.run(command, fails="install", code=code)
    assert ran.code == code
    assert len(ran.after_checks()) == 1


@pytest.mark.parametrize("code", [2, 3, 4])
def test_the_programs_exit_code_is_the_launchers(windows: Windows, code: int) -> None:
    windows.python("python.exe")
    assert windows.run("clips", fails="app.py", code=code).code == code


def test_setup_stops_after_it_and_takes_its_options(windows: Windows) -> None:
    windows.python("python.exe")
    ran = windows.run("setup", "--repair", "--cpu")
    (install,) = ran.after_checks()
    assert install[2:] == ["setup", "--repair", "--cpu"]
    assert ran.code == 0
    (_, install) = windows.run("--dry-run").after_checks()
    assert install[2:] == ["--dry-run"]


def test_tests_get_every_argument_but_the_word(windows: Windows) -> None:
    windows.python("python.exe")
    words = ["-k", "one or two", *"abcdefghijk"]  # more than %1 to %9
    ran = windows.run("test", *words, fails="import pytest", code=1)
    assert ran.code == 1
    install, tests = ran.after_checks()
    assert install[2:] == ["test", *words]
    assert tests[1] == "-c"
    assert tests[3:] == ["test", *words]
    assert "sys.argv[2:]" in tests[2]


def test_its_lines_end_as_windows_wants() -> None:
    """cmd loses its labels in a long file with bare line feeds."""
    assert PROJECT.joinpath("launch.bat").read_bytes().count(b"\n") == (
        PROJECT.joinpath("launch.bat").read_bytes().count(b"\r\n")
    )
