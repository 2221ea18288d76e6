"""The report on the Models tab: shown to whoever asks for it, before it goes anywhere."""

import pytest

from engine.engine import Engine
from ui.tabs.report import written


def test_it_is_shown_with_what_helps(engine: Engine) -> None:
    box = written(engine)
    assert box.visible
    for title in (
        "Headroom's report",
        "Machine",
        "Plan, ",
        "Verdict",
        "Last failure",
        "worker.log",
    ):
        assert f"### {title}" in box.value
    assert str(engine.home.root) not in box.value


def test_a_database_that_cant_be_read_is_a_sentence(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.store import StoreError

    def locked(_engine: Engine) -> str:
        raise StoreError("It is locked.", "Wait.")

    monkeypatch.setattr("ui.tabs.report.report", locked)
    assert written(engine).value == "It is locked. Wait."
