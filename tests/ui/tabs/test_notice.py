"""The engine's notice on the page says nothing twice, and can be dismissed."""

from functools import partial

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.presets import Presets
from engine.store import Store
from engine.text import NOTHING, Memory, Text, from_row, joined, plain, to_row
from engine.worker.status import Status
from ui.live import Live
from ui.tabs import notice
from ui.tabs.notice import notice_state, without
from ui.wording import spoken

WHY = Text("worker.hung", seconds=12.0)
RESTARTED = Text("worker.restarted")
GIVEN_UP = Text("jobs.given_up")


def words(status: Status, outcome: Text = NOTHING, trouble: Text = NOTHING) -> str:
    return str(spoken(notice_state(status, outcome, trouble), "en")["notice"])


def test_a_notice_has_its_time_and_what_dismisses_it() -> None:
    state = notice_state(Status(notice=RESTARTED, notice_at=90_000.5), NOTHING)
    assert spoken(state, "en")["notice"].endswith(":00  The engine was restarted.")
    assert state["notice_at"] == 90_000.5
    assert notice_state(Status(), NOTHING) == {"notice": NOTHING, "notice_at": 0}


def test_what_the_outcome_says_is_not_said_again() -> None:
    """The job's row kept its note as JSON: it is the same all the same."""
    outcome = joined(from_row(to_row(joined(WHY, GIVEN_UP))), plain("Try a smaller size."))
    both = Status(notice=joined(WHY, RESTARTED), notice_at=1.0)
    assert words(both, outcome).endswith("  The engine was restarted.")
    assert "hung for" not in words(both, outcome)
    assert words(Status(notice=WHY, notice_at=1.0), outcome) == ""
    assert "hung for 12 s" in words(both, GIVEN_UP)


def test_values_that_rows_keep_as_words_are_the_same() -> None:
    full = Text("guard.expected_about", peak=Memory(2**30), budget=Memory(2**31))
    assert without(full, joined(plain("Then."), from_row(to_row(full)))) == NOTHING


def test_what_goes_wrong_now_cant_be_dismissed() -> None:
    state = notice_state(Status(), NOTHING, plain("The database is locked."))
    assert str(state["notice"]) == "The database is locked."
    assert state["notice_at"] == 0


def test_the_button_dismisses_what_it_stood_beside(presets: Presets) -> None:
    store = Store(Home.find().database, mended=plain("The database was damaged."))
    engine = Engine(Home.find(), presets, Jobs(store))
    try:
        dismissed = partial(notice.dismissed, engine)
        state = Live(engine).state()
        assert str(state["notice"]).endswith("The database was damaged.")
        dismissed("no number")
        dismissed(None)
        assert engine.status().notice
        dismissed(state["notice_at"])
        assert not engine.status().notice
        assert Live(engine).state()["notice"] == NOTHING
    finally:
        engine.close()
        store.close()
