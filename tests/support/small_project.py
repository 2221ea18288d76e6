"""A project whose page is one small package, for set-up to install with a real pip."""

import hashlib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from engine.install import __main__, packages, trial
from engine.install.__main__ import Order, Setup
from engine.install.environments import Environments, answers, python_of, rehome
from engine.install.facts import Facts
from engine.install.packages import Packages
from engine.install.plan import ENGINE, HASHES, LANES, PAGE, TESTS
from tests.support.computers import NO_GPU


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
    """See the module's docstring; ``trials`` says what was tried."""

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
        (self.folder / LANES).write_text("# Nothing here connects machines.\n")
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
