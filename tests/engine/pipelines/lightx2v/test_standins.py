"""``import lightx2v`` without what text-to-video never calls, tried with a needy module."""

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.pipelines.lightx2v import standins
from engine.pipelines.lightx2v.standins import RUNNERS, StandInUsed, standing_in

ABSENT = "headroom_absent_package"


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that imports a missing one and a runner, and ``sys.modules`` as it was."""
    (tmp_path / "needy.py").write_text(
        f"import {ABSENT}\nimport {ABSENT}.parts as parts\nfrom {ABSENT}.parts import tool\n"
        f"from {RUNNERS[0]} import SomeRunner\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(standins, "PACKAGES", (ABSENT, f"{ABSENT}.parts", "json"))
    monkeypatch.setattr(standins, "_let_others_look", lambda: None)
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def test_what_is_missing_stands_in_and_is_gone_afterwards() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("needy")
    with standing_in():
        needy = import_module("needy")
    assert ABSENT not in sys.modules
    assert f"{ABSENT}.parts" not in sys.modules
    assert find_spec(ABSENT) is None
    assert RUNNERS[0] in sys.modules  # whoever imports LightX2V's pipeline again finds them
    assert needy.parts is not None


def test_a_stand_in_may_be_named_but_not_called() -> None:
    with standing_in():
        needy = import_module("needy")
    assert needy.tool.deeper is not None
    for action in (needy.tool, needy.parts.other.thing, needy.SomeRunner):
        with pytest.raises(StandInUsed, match="was called"):
            action()


def test_what_is_installed_is_left_alone() -> None:
    import json

    with standing_in():
        assert import_module("json") is json


def test_they_go_even_if_the_import_fails() -> None:
    with pytest.raises(ImportError, match="half-way"), standing_in():
        raise ImportError("half-way")
    assert ABSENT not in sys.modules


def test_twice_is_as_good_as_once() -> None:
    with standing_in():
        first = import_module("needy")
    with standing_in():
        assert import_module("needy") is first
