"""A large import runs without the collector, which is on again afterwards."""

import gc
import sys
from pathlib import Path

import pytest

from engine.process.imports import import_large


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "large_one.py").write_text("import gc\nCOLLECTS = gc.isenabled()\n")
    (tmp_path / "broken_one.py").write_text("raise ImportError('half of it')\n")
    monkeypatch.delitem(sys.modules, "large_one", raising=False)
    return "large_one"


def test_nothing_is_collected_meanwhile(module: str) -> None:
    before = gc.get_freeze_count()
    made = import_large(module)
    assert made.COLLECTS is False
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    gc.unfreeze()
    assert import_large(module) is made
    assert gc.get_freeze_count() == 0, "what is there already isn't imported, so nothing is frozen"


def test_the_collector_comes_back_from_an_import_that_fails(module: str) -> None:
    with pytest.raises(ImportError, match="half of it"):
        import_large("broken_one")
    assert gc.isenabled()
    gc.unfreeze()


def test_who_has_turned_it_off_keeps_it_off(module: str) -> None:
    gc.disable()
    try:
        import_large(module)
        assert not gc.isenabled()
    finally:
        gc.enable()
