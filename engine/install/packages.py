"""Puts packages into an environment, step by step, with uv where it can be had and pip otherwise.

Standard library only.
"""

import http.client
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from engine.install.environments import SetupError, python_of
from engine.install.plan import (
    ENGINE,
    GPU,
    HASHES,
    LANES,
    LIGHTX2V,
    OPTIONAL,
    PAGE,
    TESTS,
    InstallPlan,
)
from engine.process.console import say
from engine.process.variables import wrong_way

UV = "uv==0.13.9"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# How pip is told what uv calls a torch backend.
INDEXES = {
    "cpu": ("--index-url", CPU_INDEX),
    "cu130": ("--extra-index-url", "https://download.pytorch.org/whl/cu130"),
}
INDEX_SECONDS = 10
AFRESH = "--force-reinstall"
QUIET = ("--quiet", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
LOOK = (
    "The lines above say why. The first set-up needs a network connection; what was downloaded is "
    "kept, so starting again continues from there."
)
TITLES = {
    PAGE: "Installing the page (130 MB to download)",
    ENGINE: "Installing the engine",
    GPU: "Installing PyTorch and kernels for NVIDIA's cards (about 3.5 GB to download)",
    LIGHTX2V: "Installing LightX2V",
    LANES: "Installing Ray, which connects machines (80 MB to download)",
    TESTS: "Installing the tests' tools",
}


class InstallFailed(Exception):
    """A command ended with an error."""


class Packages:
    """Installs into the environment ``venv`` of ``project``; ``left_out`` says what it couldn't."""

    def __init__(
        self, project: Path, venv: Path, plan: InstallPlan, system: str, again: bool = False
    ) -> None:
        """``again``: an earlier try was cut off, so what seems to be here may not be whole."""
        self.left_out: dict[str, str] = {}
        self._again = again
        self._project, self._plan, self._system = project, plan, system
        self._venv, self._python = venv, python_of(venv)
        self._uv: str | None = None
        try:
            self._hashes = read_hashes((project / HASHES).read_text(encoding="utf-8"))
        except OSError as error:
            raise SetupError(f"{HASHES} can't be read: restore it from the project.") from error

    def make(self) -> None:
        """An empty environment, always with pip: uv can't be had everywhere."""
        self._begin("Creating a Python environment")
        import venv

        try:
            venv.EnvBuilder(with_pip=True, clear=True).create(self._venv)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SetupError(
                f"No Python environment can be created in {self._venv}: {error}.\n"
                "Check that the folder is writable and that Python has its venv module "
                "(Debian and Ubuntu: sudo apt install python3-venv)."
            ) from error

    def install(self, files: Sequence[str]) -> None:
        """Each of ``files`` in its turn, then the optional pieces.

        Raises:
            SetupError: one that is needed can't be installed.
        """
        self._uv = self._find_uv()
        for file in files:
            if file == ENGINE and self._plan.target == "cpu":
                self._torch()
            self._begin(TITLES[file])
            self._install_file(file, self._without(file))
        if GPU in files:
            self._optional()

    def remove(self, package: str, why: str) -> None:
        """Leave an optional piece out after all."""
        say(f"{package} is left out: {why}")
        self.left_out[package] = why
        self._try_pip(["uninstall", "--yes", *QUIET[1:3], package])

    # ---- one file --------------------------------------------------------------------------

    def _without(self, file: str) -> set[str]:
        """What is installed otherwise, or not at all on this machine."""
        if file == ENGINE:
            return {"torch"} if self._system == "linux" or self._plan.target != "cpu" else set()
        return set(OPTIONAL) if file == GPU else set()

    def _install_file(self, file: str, without: set[str]) -> None:
        known, other = hashed(
            filtered((self._project / file).read_text(encoding="utf-8"), without), self._hashes
        )
        more = [AFRESH] if self._again else []
        if known:
            self._needed([*more, *self._listed(file, known)])
        if other:
            # PyPI's torch for Windows has no CUDA in it.
            backend = "cu130" if file == GPU and self._system == "windows" else ""
            listed = self._written(f"other-{file}", other)
            self._needed([*more, "--no-deps", "-r", listed], backend)

    def _listed(self, name: str, lines: str) -> list[str]:
        """Exactly these: the locks are complete, so what a package asks for stands in them, and a
        file that isn't one of those that were listed is an error."""
        return ["--no-deps", "--require-hashes", "-r", self._written(name, lines)]

    def _one(self, pin: str) -> list[str]:
        """As ``_listed``, for one package.

        Raises:
            InstallFailed: its hash isn't known.
        """
        known, _ = hashed(pin, self._hashes)
        if not known:
            raise InstallFailed(f"{HASHES} has no line for {pin}")
        return self._listed(f"{pin.partition('==')[0]}.txt", known)

    def _written(self, name: str, text: str) -> str:
        place = self._venv / f"headroom-{name}"
        place.write_text(text, encoding="utf-8")
        return str(place)

    def _needed(self, arguments: Sequence[str], backend: str = "") -> None:
        try:
            self._any(arguments, backend)
        except InstallFailed as error:
            step = " ".join(arguments)
            raise SetupError(f"This step failed: pip install {step}\n{error}. {LOOK}") from error

    def _any(self, arguments: Sequence[str], backend: str = "") -> None:
        """With uv; with pip where there is none, or where only pip knows the way (its own
        configuration, an index that uv doesn't read).

        Args:
            backend: one of INDEXES: torch comes from there.
        """
        if self._uv is not None:
            chosen = ["--torch-backend", backend] if backend else []
            try:
                self._run(
                    [
                        self._uv,
                        "pip",
                        "install",
                        "--python",
                        str(self._python),
                        "--quiet",
                        *chosen,
                        *arguments,
                    ]
                )
                return
            except InstallFailed as error:
                say(f"uv failed ({error}); trying pip.")
        self._pip(["install", *QUIET, *INDEXES.get(backend, ()), *arguments])

    # ---- torch of the CPU default ----------------------------------------------------------

    def _torch(self) -> None:
        """PyPI's torch for Linux brings several GB of CUDA, PyTorch's own index the CPU build.

        Which of them it will be isn't known before, so it is held against no hash of ours.
        Elsewhere PyPI's is a CPU build, and comes with the file.
        """
        if self._system != "linux":
            return
        self._begin("Installing PyTorch (200 MB to download)")
        pin = pinned(self._project / ENGINE, "torch")
        if self._again:
            self._try_pip(["uninstall", "--yes", "torch"])
        if reachable(f"{CPU_INDEX}/torch/"):
            try:  # its dependencies come with the file that follows
                self._any(["--no-deps", pin], "cpu")
                return
            except InstallFailed as error:
                say(f"PyTorch's index of CPU builds: {error}.")
        else:
            say("PyTorch's index of CPU builds can't be reached.")
        say("Taking what pip finds; PyPI's build includes several GB of CUDA packages.")
        try:
            self._pip(["install", *QUIET, pin])  # uv would not see a wheel that pip is shown
        except InstallFailed as error:
            raise SetupError(f"PyTorch can't be installed: {error}. {LOOK}") from error

    # ---- optional pieces -------------------------------------------------------------------

    def _optional(self) -> None:
        for package in self._plan.optional:
            self._begin(f"Installing {package}, which is optional")
            try:
                self._any(
                    ["--only-binary", ":all:", *self._one(pinned(self._project / GPU, package))]
                )
            except InstallFailed as error:
                self.left_out[package] = f"it can't be installed here ({error})."
                say(f"{package} is left out: {self.left_out[package]}")

    # ---- commands --------------------------------------------------------------------------

    def _find_uv(self) -> str | None:
        own = self._python.with_name("uv.exe" if os.name == "nt" else "uv")
        try:
            if not own.exists():
                self._pip(["install", *QUIET, *self._one(UV)])
            return str(own)
        except InstallFailed as error:
            say(str(error))
        return shutil.which("uv")

    def _try_pip(self, arguments: Sequence[str]) -> bool:
        try:
            self._pip(arguments)
        except InstallFailed as error:
            say(str(error))
            return False
        return True

    def _pip(self, arguments: Sequence[str]) -> None:
        if arguments[0] == "install" and (wrong := wrong_way(os.environ)):
            raise InstallFailed(f"{wrong}; set it to an HTTP proxy or unset it")  # pip: a traceback
        self._run([str(self._python), "-m", "pip", *arguments])

    def _run(self, command: Sequence[str]) -> None:
        # No shell: a folder with spaces or & in its name is passed on as it is.
        result = subprocess.run(command, cwd=self._project, stdout=sys.stderr)
        if result.returncode != 0:
            name = "uv" if command[0] == self._uv else "pip"
            raise InstallFailed(f"{name} ended with code {result.returncode}")

    def _begin(self, title: str) -> None:
        say(f"{title} …")


def filtered(text: str, without: Collection[str]) -> str:
    """A requirement file's ``text`` for a folder elsewhere: its -r lines go, what they name is
    installed before, and so do the packages in ``without``."""
    kept = []
    for line in text.splitlines():
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if line.startswith("-r ") or (name is not None and name[0].lower() in without):
            continue
        kept.append(line)
    return "\n".join(kept) + "\n"


def read_hashes(text: str) -> dict[str, list[str]]:
    """Of every wheel that ``text`` lists, by what a requirement file calls it: name==version."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            sha256, file = line.split()
            name, version = file.split("-")[:2]
            found.setdefault(f"{_canonical(name)}=={version}", []).append(sha256)
    return found


def hashed(text: str, hashes: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """The lines of ``text`` with their hashes, and those that have none: pip takes a file only if
    all or none of its lines have. "" where there would be nothing to install."""
    known, other, options = [], [], []
    for line in text.splitlines():
        line = line.partition(" #")[0].strip()
        pin = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        found = hashes.get(f"{_canonical(pin[1])}=={pin[2]}") if pin is not None else None
        if " --hash=" in line:  # LightX2V's archive, which no index has
            known.append(line)
        elif found:
            known.append(" ".join([line, *(f"--hash=sha256:{sha256}" for sha256 in found)]))
        elif line.startswith("-"):
            options.append(line)
        elif line and not line.startswith("#"):
            other.append(line)

    def written(lines: list[str]) -> str:
        return "\n".join([*options, *lines, ""]) if lines else ""

    return written(known), written(other)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: Path, package: str) -> str:
    """The line of ``file`` for ``package``, without its marker: the plan has decided already."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{package}=="):
            return line.partition(";")[0].partition(" #")[0].strip()
    raise SetupError(f"{file.name} has no line for {package}: restore it from the project.")


def reachable(
    url: str, opener: Callable[..., object] = urllib.request.urlopen, seconds: float = INDEX_SECONDS
) -> bool:
    """Whether ``url`` answers: pip and uv would try for minutes to find that out."""
    began = time.monotonic()
    try:
        opener(urllib.request.Request(url, method="HEAD"), timeout=seconds)
    except urllib.error.HTTPError as error:
        return error.code < 500 and error.code not in (403, 407)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return time.monotonic() - began < seconds
