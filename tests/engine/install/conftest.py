"""Small projects, made once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from engine.home import PROJECT
from engine.install.packages import Packages
from engine.install.plan import PAGE, make_plan
from tests.support.computers import NO_GPU
from tests.support.small_project import Small


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
