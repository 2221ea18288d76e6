"""The report on the Set-up tab: shown to whoever asks for it, before it goes anywhere."""

import pytest

from engine.engine import Supervisor
from ui.tabs.report import written


def test_it_is_shown_with_what_helps(supervisor: Supervisor) -> None:
    box = written(supervisor)
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
    assert str(supervisor.home.root) not in box.value


def test_a_database_that_cant_be_read_is_a_sentence(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.store import StoreError

    def locked(_supervisor: Supervisor) -> str:
        raise StoreError("It is locked.", "Wait.")

    monkeypatch.setattr("ui.tabs.report.report", locked)
    assert written(supervisor).value == "It is locked. Wait."
