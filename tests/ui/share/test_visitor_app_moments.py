"""A share while its link is opened, while it ends, and while the database is locked."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine import store
from engine.engine import Engine
from engine.jobs import Job, State
from engine.store import StoreError
from tests.conftest import wait_until
from tests.support.databases import locked_elsewhere
from tests.support.visitors import Doors, asked, error
from ui.live import Live
from ui.share.session import Sharing
from ui.share.tunnel import Tunnel
from ui.share.visitors import Share, Visitor
from ui.tabs.share import share_state

pytestmark = pytest.mark.starts


def test_who_comes_after_its_end_is_told_apart(doors: Doors) -> None:
    """By the status: the page hides what asks for a password that opens nothing any more."""
    ana, visits = doors.visitor(), doors.sharing._visits
    assert visits is not None
    visits.end()
    answer = ana.get("state")
    assert (answer.status_code, error(answer)) == (410, "This share has ended.")


def test_nothing_is_queued_once_it_has_ended(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share ends after the visitor's cookie was looked at, and before their clip is queued."""
    ana = doors.visitor()
    visits = doors.sharing._visits
    assert visits is not None
    look = Share.visitor

    def late(share: Share, token: str | None) -> Visitor | None:
        found = look(share, token)
        assert found is not None
        visits.end()
        return found

    monkeypatch.setattr(Share, "visitor", late)
    answer = ana.post("generate", json=asked())
    assert (answer.status_code, "share has ended" in error(answer)) == (409, True)
    assert doors.engine.jobs.unfinished_of_visitors() == []


def test_the_end_waits_for_what_is_being_queued(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = doors.visitor()
    visits = doors.sharing._visits
    assert visits is not None
    queue, begun, go_on = doors.engine.submit_all, threading.Event(), threading.Event()

    def slowly(*given: Any, **more: Any) -> list[Job]:
        begun.set()
        assert go_on.wait(20)
        return queue(*given, **more)

    monkeypatch.setattr(doors.engine, "submit_all", slowly)
    sender = threading.Thread(target=lambda: ana.post("generate", json=asked()))
    ender = threading.Thread(target=visits.end)
    sender.start()
    assert begun.wait(20)
    ender.start()
    ender.join(0.3)
    assert ender.is_alive(), "the end came before what was being queued"
    go_on.set()
    sender.join(20)
    ender.join(20)
    assert [job.state for job in doors.engine.jobs.recent()] == [State.CANCELLED]


@pytest.mark.reliability("a share's end while another program holds the database")
def test_an_end_while_the_database_is_held(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of its visitors is made afterwards: what runs is stopped without the database, what
    waits is never claimed, and both are cancelled as soon as that can be written."""
    monkeypatch.setattr(store, "TIMEOUT_SECONDS", 0.2)
    engine, jobs, ana = doors.engine, doors.engine.jobs, doors.visitor()
    engine.start()
    running = ana.post("generate", json=asked("steps=400 step_seconds=0.1")).json()["job"]
    waiting = ana.post("generate", json=asked()).json()["job"]
    wait_until(lambda: jobs.get(running).state is State.RUNNING, "the visitor's job")
    with locked_elsewhere(jobs.store.path):
        doors.sharing.stop()
        assert jobs.get(waiting).state is State.QUEUED, "it couldn't be written"
        wait_until(lambda: engine.status().job is None or engine.status().notice, "the stop")
        assert jobs.get(waiting).attempts == 0
    wait_until(lambda: not jobs.unfinished_of_visitors(), "the end of all of theirs")
    ended = [jobs.get(running), jobs.get(waiting)]
    assert [(job.state, job.attempts) for job in ended] == [
        (State.CANCELLED, 1),
        (State.CANCELLED, 0),
    ]


def test_a_machine_that_slept_through_the_end_lets_nobody_in(engine: Engine) -> None:
    slept = [0.0]
    doors = Doors(engine)
    doors.sharing = Sharing(engine, doors.tunnel, wall=lambda: time.time() + slept[0])
    doors.open(hours=1)
    ana = doors.visitor()
    ana.post("generate", json=asked())
    slept[0] = 3601.0
    assert ana.get("state").status_code == 410
    wait_until(lambda: not doors.sharing.open, "the end")
    wait_until(lambda: not engine.jobs.unfinished_of_visitors(), "its jobs' end")
    ana.close()


def test_it_is_told_once_it_has_an_address(engine: Engine) -> None:
    """A tunnel takes seconds to be opened."""
    told: list[bool] = []

    def opens(port: int, token: str, folder: Path) -> Tunnel:
        told.append(sharing.open or sharing.state()["open"])
        assert not share_state(sharing)["share-text"]
        return Tunnel("https://abc123.share.test", None)

    sharing = Sharing(engine, opens)
    sharing.start("link", 2, "scripted")
    told.append(sharing.open)
    assert told == [False, True]
    shared = share_state(sharing)["share-text"]
    assert shared.id == "share.shared_at"
    assert shared.values["address"] == "https://abc123.share.test/"
    assert str(shared) == ("Shared at https://abc123.share.test/, 2 h 0 min left; no visitors yet.")
    sharing.close()
    assert not sharing.open


def test_a_database_that_is_locked_leaves_the_live_stream_open(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many clips a visitor has is asked of it at each turn."""
    doors.visitor()
    live = Live(doors.engine, sharing=doors.sharing)
    before = live.state()
    assert [*map(str, before["share-visitors"])] == ["Ana: 0 done, 0 unfinished"]

    def locked(_visitor: str) -> list[Job]:
        raise StoreError("The database is locked.", "Close what holds it.")

    monkeypatch.setattr(doors.engine.jobs, "of_visitor", locked)
    live._at = 0.0
    state = live.state()
    assert str(state["notice"]) == "The database is locked. Close what holds it."
    assert state["share-visitors"] == before["share-visitors"], "what was shown last stays"


def test_a_visitor_is_told_of_a_pause_and_can_still_ask(doors: Doors) -> None:
    doors.engine.pause()
    ana = doors.visitor()
    ana.post("generate", json=asked("{red|blue} ball"))
    (job,) = ana.get("state").json()["jobs"]
    assert (job["state"], job["prompt"]) == ("queued", "{red|blue} ball"), "one form, one clip"
    assert job["told"] == "Its owner has paused Headroom; your clip waits."
    doors.engine.resume()
    assert ana.get("state").json()["jobs"][0]["told"] == ""
