"""What the live stream tells, and to whom."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from engine.engine import Engine
from engine.jobs import State
from tests.conftest import Ask, Gate, finish, wait_until
from ui import wording
from ui.live import Live, add_routes

pytestmark = pytest.mark.starts

KEYS = {
    "engine",
    "engine_state",
    "paused",
    "label",
    "notice",
    "running",
    "title",
    "job",
    "title_kind",
    "stage",
    "left",
    "fraction",
    "preview",
    "outcome",
    "outcome_kind",
    "queue",
    "ended",
    "waiting-for",
    "gauge-name",
    "gauge-use",
    "gauge-split",
    "gauge-health",
    "gauge-problem",
    "meter",
    "ram-text",
    "ram",
    "spark",
    "cards",
    "lane",
    "others",
    "pulls",
    "weights",
    "pull-head",
    "came",
    "notice_at",
    "packages",
    "arriving",
    "share-text",
    "share-short",
    "share-trouble",
    "share-visitors",
}


def fresh(live: Live) -> dict[str, Any]:
    live._at = 0.0  # two looks within a turn share one answer
    return said(live)


def said(live: Live) -> dict[str, Any]:
    """As an English browser gets it."""
    return dict(wording.spoken(live.state(), "en"))


def test_an_idle_page(engine: Engine) -> None:
    state = said(Live(engine))
    assert set(state) == KEYS
    assert json.loads(json.dumps(state)) == state
    assert state["queue"] == {"waiting": [], "more": 0, "ended": []}
    assert (state["running"], state["outcome"], state["ended"]) == (False, "", 0)
    assert state["gauge-name"] == "RAM"
    assert str(state["gauge-problem"]).startswith("No NVIDIA GPU")
    meter = state["meter"]
    assert isinstance(meter, dict)
    assert 0 < meter["others"] < 1


def test_a_run_is_told_from_start_to_end(engine: Engine, ask: Ask, gate: Gate) -> None:
    live = Live(engine)
    engine.start(warm="scripted")
    job = engine.submit(ask(f"<b>bold</b> steps=3 step_seconds=1 {gate}"))
    engine.submit(ask("waits"))
    wait_until(lambda: fresh(live)["preview"], "a preview on the page")
    state = fresh(live)
    assert state["running"] is True
    assert state["job"] == str(job.id), "Cancel is meant for this one"
    assert state["title"] == f"<b>bold</b> steps=3 step_seconds=1 {gate}"
    assert "Denoising, step" in str(state["stage"])
    assert "left" in str(state["left"])
    assert [row["title"] for row in state["queue"]["waiting"]] == ["waits"]
    assert str(state["preview"]).startswith("data:image/webp;base64,")
    assert 0 < float(str(state["fraction"])) < 1
    gate.open()
    finish(engine, job)


def test_the_end_is_told_as_a_sentence(engine: Engine, ask: Ask) -> None:
    live = Live(engine)
    engine.start(warm="scripted")
    finish(engine, engine.submit(ask()))
    assert (fresh(live)["outcome"], fresh(live)["outcome_kind"]) == ("Done.", "good")
    failed = finish(engine, engine.submit(ask("fail=oom")))
    assert failed.state is State.FAILED
    state = fresh(live)
    assert str(state["outcome"]).startswith(
        "The script ran out of memory. RAM ran out while denoising 48 × 32, 0.6 s. "
        "Choose a smaller size."
    )
    assert state["outcome_kind"] == "bad"
    assert state["ended"] == failed.id


def test_a_job_behind_a_login_stays_there(engine: Engine) -> None:
    """A real Gradio app with a login: 401 without the cookie, the stream with it."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("hello")
    app, url, _ = page.launch(auth=("me", "secret"), prevent_thread_lock=True, quiet=True)
    live = Live(engine)
    add_routes(app, live)
    try:
        with httpx.Client(base_url=url, trust_env=False) as browser:
            assert browser.get("live").status_code == 401
            feed = browser.get("live-feed.js")  # which is to tell that the login has ended
            assert (feed.status_code, "follow" in feed.text) == (200, True)
            browser.cookies.set(f"access-token-{app.cookie_id}", "guess")
            assert browser.get("live").status_code == 401
            browser.cookies.clear()
            assert browser.post("login", data={"username": "me", "password": "no"}).is_error
            browser.post("login", data={"username": "me", "password": "secret"})
            assert "gauge-name" in first_event(browser)
    finally:
        live.closed = True
        page.close(verbose=False)


def first_event(browser: httpx.Client) -> str:
    with browser.stream("GET", "live") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return next(line for line in answer.iter_lines() if line)


@pytest.fixture
def served(engine: Engine) -> Iterator[tuple[str, Live]]:
    """The stream alone, on a port of its own."""
    import uvicorn

    app = FastAPI()
    app.auth = app.auth_dependency = None  # type: ignore[attr-defined]
    live = Live(engine)
    add_routes(app, live)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/", live
    live.closed = server.should_exit = True
    thread.join()


def test_only_changes_cross(served: tuple[str, Live], engine: Engine, ask: Ask) -> None:
    url, _ = served
    with (
        httpx.Client(base_url=url, trust_env=False) as browser,
        browser.stream("GET", "live") as answer,
    ):
        events = (json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:"))
        assert set(next(events)) == KEYS
        engine.jobs.add(ask("one more"))
        later = next(event for event in events if "queue" in event)
        assert [row["title"] for row in later["queue"]["waiting"]] == ["one more"]
        assert "title" not in later


@pytest.mark.starts
def test_every_clip_that_is_made_is_told_and_every_card(two_lanes: Engine, ask: Ask) -> None:
    live = Live(two_lanes)
    two_lanes.record()
    two_lanes.start()
    script = "steps=400 step_seconds=0.1"
    queued = two_lanes.submit_all([ask(f"{script} {name}") for name in ("one", "two", "three")])
    wait_until(lambda: len(two_lanes.jobs.all_running()) == 2, "two clips at once")
    wait_until(lambda: fresh(live)["others"][0]["fraction"] > 0, "the second one's progress")
    state = fresh(live)
    assert {state["job"], state["others"][0]["job"]} == {str(queued[0].id), str(queued[1].id)}
    assert {state["lane"], state["others"][0]["lane"]} == {
        "processor, lane 1",
        "processor, lane 2",
    }
    assert [card["state"] for card in state["cards"]] == ["makes a clip with Scripted"] * 2
    (waiting,) = state["queue"]["waiting"]
    assert waiting["why"] == "", "either lane may make it"
    for job in queued:
        two_lanes.cancel(job.id)
    wait_until(lambda: not two_lanes.jobs.all_running(), "the end of both")
    assert fresh(live)["others"] == []
