"""Every loop that lives as long as its process goes on after errors that nobody expected."""

import copy
import io
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe as make_pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import httpx
import psutil
import pytest

from engine.engine import Engine
from engine.install import background
from engine.install.background import BackgroundInstall
from engine.jobs import Jobs, State
from engine.joined import station
from engine.joined.cluster.head import Head
from engine.joined.cluster.node import Address
from engine.joined.feeder import Feeder
from engine.library import reader_process
from engine.library.posters import Posters
from engine.machine import memory
from engine.process import loops
from engine.process.loops import Faults, Loop, Name
from engine.text import Text
from engine.weights import download_process, owned_process
from engine.worker import messages, next_clip, supervisor
from engine.worker import pipe as worker
from engine.worker.outcomes import Outcomes
from engine.worker.process import WorkerProcess
from engine.worker.queue_lock import QueueLock
from engine.worker.wakeup import Wakeup
from tests.conftest import Ask, finish, wait_until
from tests.support.clipfiles import receipt, write
from tests.support.joined import Line, machines_of, station_in
from ui.live import Live
from ui.server.door import MOST, Door
from ui.server.listening import asking_itself, listen, served_on
from ui.share.session import Sharing
from ui.share.visitors import Visits
from ui.tabs.gauge import gauge_state

pytestmark = pytest.mark.starts

ERRORS: list[Exception] = [
    psutil.NoSuchProcess(1),
    OSError(24, "Too many open files"),
    sqlite3.InterfaceError("bad parameter"),
    RuntimeError("can't start new thread"),
    MemoryError(),
    UnicodeEncodeError("utf-8", "\udce4", 0, 1, "surrogates not allowed"),
]
PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "FIRST_SECONDS", 0.005)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr("engine.joined.feeder.LONGEST_PAUSE", 0.02)


@pytest.fixture
def faults() -> Faults:
    return Faults()


Failing = Callable[..., Any]


def failing(original: Failing = lambda *_, **__: None) -> Failing:
    """``original``, after each of ERRORS was raised."""
    left = [copy.copy(error) for error in ERRORS[:-1]]

    def call(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop(0)
        return original(*args, **kwargs)

    return call


def worked_again(faults: Faults, name: Name) -> Callable[[], bool]:
    who = str(Text(f"loops.who_{name}"))
    return lambda: f"{who} recovered" in str(faults.text())


# ---- what they share -----------------------------------------------------------------------


def test_an_error_is_logged_once_and_told_and_the_pause_grows(
    faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop("recorder", faults.tell, longest=0.05)
    pauses: list[float] = []
    for _ in range(8):
        with loop.turn():
            raise ERRORS[0]
        pauses.append(loop.pause)
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.05, 0.05, 0.05, 0.05]
    assert not loop.due
    assert caplog.text.count("goes on") == 1
    assert "The memory gauge hit an unexpected error and is retrying (NoSuchProcess" in str(
        faults.text()
    )
    with loop.turn():
        pass
    assert (loop.pause, loop.due) == (0.0, True)
    assert "The memory gauge recovered" in str(faults.text())
    assert loops.CALM_SECONDS > 0
    late = Faults(clock=iter([0.0, 1000.0]).__next__)
    late.tell("recorder", Text("loops.who_recorder"))
    assert not late.text(), "an old story isn't told for ever"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_nothing_that_telling_runs_into_ends_a_loop(error: Exception) -> None:
    def tell(_loop: Name, _said: Text) -> None:
        raise error

    loop = Loop("recorder", tell)
    with loop.turn():
        raise error
    with loop.turn():
        pass
    assert loop.pause == 0


def test_flapping_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop("recorder")
    for turn in range(20):
        with loop.turn():
            if turn % 2:
                raise OSError("again")
    assert caplog.text.count("goes on") == 1


# ---- the engine's ----------------------------------------------------------------------------


def supervisor_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors at each thing that its thread does; the clip is made all the same."""
    for where, name in [
        (QueueLock, "take"),
        (Outcomes, "recover"),
        (Jobs, "waiting"),
        (Jobs, "claim"),
        (next_clip, "second_look"),
        (WorkerProcess, "start"),
        (WorkerProcess, "take"),
        (WorkerProcess, "overdue"),
        (Wakeup, "wait"),
        (Outcomes, "keep_clip"),
    ]:
        monkeypatch.setattr(where, name, failing(getattr(where, name)))
    job = engine.submit(ask("the one"))
    engine.start()
    assert finish(engine, job).state is State.DONE
    wait_until(worked_again(engine.faults, "supervisor"), "the good news")


def recorder_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.machine.recorder.IDLE_SECONDS", 0.01)
    meter = engine.lane._meter
    monkeypatch.setattr(meter, "sample", failing(meter.sample))
    engine.recorder.start()
    wait_until(worked_again(engine.faults, "recorder"), "the good news")
    assert engine.recorder.window(100)


def folder_sync_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.library.folder_sync.SETTLED_SECONDS", 0.0)
    write(engine.home.clips / "one.mp4", receipt())
    monkeypatch.setattr(engine.library, "purge", failing())
    engine.folder_sync.start()
    wait_until(worked_again(engine.faults, "folder_sync"), "the good news")
    assert [clip.file for clip in engine.library.newest()] == ["one.mp4"]


def posters_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.library.folder_sync.SETTLED_SECONDS", 0.0)
    write(engine.home.clips / "one.mp4", receipt())
    engine.folder_sync.scan()
    posters = Posters(engine.library, engine.faults)
    clip = engine.library.newest()[0]
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", failing())
        assert posters.of(clip) is None, "a picture is missing, and that is all"
    monkeypatch.setattr(reader_process, "posters", failing(reader_process.posters))
    wait_until(lambda: posters.of(clip), "the picture")
    wait_until(worked_again(engine.faults, "posters"), "the good news")


def install_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[str] = []
    here: list[bool] = []

    def on_ready() -> None:
        ready.append("ready")

    call = failing(on_ready)
    monkeypatch.setattr(background, "engine_here", lambda: bool(here))
    monkeypatch.setattr(background, "forget_packages", failing())
    # Five errors, and each time somebody asks for another try.
    coming = BackgroundInstall(engine.home, call, [sys.executable, "-c", ""], engine.faults)

    def install(_: BackgroundInstall) -> tuple[int, str]:
        here.append(True)
        return 0, ""

    monkeypatch.setattr(BackgroundInstall, "_install", install)
    for error in ERRORS[:-1]:
        here.clear()
        coming.again()
        wait_until(lambda: coming._state and coming._state.phase == "failed", "its end")
        assert coming._state
        assert type(error).__name__ in str(coming._state.told)
    here.clear()
    coming.again()
    wait_until(lambda: ready, "what was to be called")
    assert coming.look().phase == "here"


# ---- the page's ------------------------------------------------------------------------------


def live_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    live = Live(engine)
    monkeypatch.setattr("ui.live.gauge_state", failing(gauge_state))

    def look() -> dict[str, Any]:
        live._at = 0.0
        return live.state()

    first = look()
    assert first["queue"] == {"waiting": [], "more": 0, "ended": []}, "the other parts are told"
    assert "The live display hit an unexpected error" in str(first["notice"])
    wait_until(lambda: "meter" in look(), "the gauge")
    assert "The live display recovered" in str(look()["notice"])


def page_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    import gradio as gr
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", failing(uvicorn.Server.run))
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Markdown("hello")
    listening = listen("127.0.0.1", 0)
    with served_on(listening, Door(MOST), engine.faults.tell), asking_itself():
        page.launch(prevent_thread_lock=True, quiet=True)
    try:
        assert httpx.get(listening.url, trust_env=False).status_code == 200
        assert "The page's server hit" in str(engine.faults.text())
    finally:
        page.close()


def visitors_page_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    monkeypatch.setattr(uvicorn.Server, "run", failing(uvicorn.Server.run))
    monkeypatch.setattr("ui.share.session.own_addresses", lambda: ["127.0.0.1"])
    sharing = Sharing(engine)
    try:
        opened = sharing.start("network", 1, "scripted")
        assert httpx.get(opened.address, trust_env=False).status_code == 200
        assert "The visitors' page hit" in str(engine.faults.text())
    finally:
        sharing.close()


def share_end_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.share.session.own_addresses", lambda: ["127.0.0.1"])
    monkeypatch.setattr(Visits, "end", failing(Visits.end))
    sharing = Sharing(engine)
    sharing.start("network", 0.2 / 3600, "scripted")
    visits = sharing._visits
    assert visits is not None
    wait_until(lambda: visits.share.closed, "the end")
    assert not sharing.open
    wait_until(worked_again(engine.faults, "share_end"), "the good news")


# ---- the other processes' -------------------------------------------------------------------


class Ear:
    """A connection whose ``recv`` and ``send`` run into ERRORS."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.recv, self.send = failing(connection.recv), failing(connection.send)

    @property
    def closed(self) -> bool:
        return bool(self.connection.closed)


def worker_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(worker.Pipe, "_orphaned", lambda _: sys.exit())
    before = set(threading.enumerate())  # other tests' pipes have threads of these names, too
    theirs, mine = make_pipe()
    connection: Any = Ear(mine)
    pipe = worker.Pipe(connection)
    theirs.send(messages.Cancel(7))
    wait_until(lambda: pipe.cancelled == 7, "the cancel")
    heard = [theirs.recv() for _ in range(12)]
    assert messages.Heartbeat(None) in heard
    told = {message.loop for message in heard if isinstance(message, messages.Fault)}
    assert told, "the supervisor hears of it"
    theirs.close()
    # They end what they are in, once nobody stands in for that any more: the tests' own process.
    names = {"_receive", "_beat"}
    own = {one for one in threading.enumerate() if one not in before and one.name in names}
    wait_until(lambda: not any(one.is_alive() for one in own), "their end")


def teller_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Text] = []
    saved: list[str] = []
    monkeypatch.setattr(download_process, "TICK_SECONDS", 0.005)
    progress = failing(lambda: SimpleNamespace(save=lambda _folder: saved.append("saved")))
    download: Any = SimpleNamespace(folder=engine.home.root, progress=progress, tell=told.append)
    teller = download_process.Teller(download, lambda: False)
    teller.start()
    wait_until(lambda: saved, "the progress")
    teller.end()
    assert "hit an unexpected error" in str(told[0])


def owner_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    read = failing(io.BytesIO(b"word").read)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=read)))
    owned_process.until_its_end()


def peak_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.PeakRss, "_CLEAR", engine.home.root / "no such file" / "x")
    held = failing(lambda: SimpleNamespace(rss=42))
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=held))
    peak = memory.PeakRss(interval=0.001)
    wait_until(lambda: peak._sampled == 42, "a sample")
    peak.close()


def lease_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(station, "LEASE_SECONDS", 0.0)
    with station_in(engine.home.root / "station") as made:
        monkeypatch.setattr(made, "_cancel_all", failing(made._cancel_all))
        wait_until(worked_again(made._engine.faults, "lease"), "the good news")


def machine_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        machines_of(engine) as machines,
        station_in(engine.home.root / "station") as made,
    ):
        machine = machines.met(Line(made))
        monkeypatch.setattr(machine, "_watch", failing(machine._watch))
        wait_until(worked_again(engine.faults, "machine"), "the good news")
        assert machines.all == (machine,)


def maker_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    feeder_goes_on("maker", ["_adopted", "_send", "_ended"], engine, ask, monkeypatch)


def home_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    feeder_goes_on("home", ["_bring"], engine, ask, monkeypatch)


def feeder_goes_on(
    loop: Name, steps: list[str], engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors at each of ``steps``; the clip is made and comes home all the same."""
    with (
        machines_of(engine) as machines,
        station_in(engine.home.root / "station") as made,
    ):
        lane = machines.met(Line(made)).lanes[0]
        for name in steps:
            monkeypatch.setattr(Feeder, name, failing(getattr(Feeder, name)))
        engine.start()
        job = finish(engine, engine.submit(ask("far"), lane=lane.name))
        assert (job.state, job.attempts) == (State.DONE, 1), str(job.note)
        wait_until(worked_again(engine.faults, loop), "the good news")


def cluster_goes_on(engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with machines_of(engine) as machines:
        head = Head(machines, Address("127.0.0.1"), engine.home.root, engine.faults.tell)
        monkeypatch.setattr(head, "_serve", failing(lambda: time.sleep(0.01)))
        loops.start(head._thread)
        wait_until(worked_again(engine.faults, "cluster"), "the good news")
        head.close()


CASES: dict[Name, Callable[[Engine, Ask, pytest.MonkeyPatch], None]] = {
    "supervisor": supervisor_goes_on,
    "recorder": recorder_goes_on,
    "folder_sync": folder_sync_goes_on,
    "posters": posters_goes_on,
    "install": install_goes_on,
    "page": page_goes_on,
    "live": live_goes_on,
    "visitors_page": visitors_page_goes_on,
    "share_end": share_end_goes_on,
    "orders": worker_goes_on,
    "beat": worker_goes_on,
    "teller": teller_goes_on,
    "owner": owner_goes_on,
    "peak": peak_goes_on,
    "lease": lease_goes_on,
    "machine": machine_goes_on,
    "maker": maker_goes_on,
    "home": home_goes_on,
    "cluster": cluster_goes_on,
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", [name for name in CASES if name != "beat"])
def test_a_loop_goes_on_after_what_nobody_expected(
    name: Name,
    engine: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    CASES[name](engine, ask, monkeypatch)
    logged = [r.getMessage() for r in caplog.records if r.name == "headroom.loops"]
    assert len(logged) == len(set(logged)), "each error is logged once"


SHORT_LIVED = (
    "loops.py",
    "browser.py",
    "reader_limits.py",
    "engine.py",  # the kernel test, and
    "child.py",  # who listens to its process: both end with it
    "clip_writer.py",  # ends with its clip
    "read_ahead.py",  # ends with the files
    "pull.py",  # ends with its download, which a command waits for
    "pulling.py",  # ends with the process that it listens to
    "pull_process.py",  # waits for the end of a process that is short
    "held.py",  # ends with the command that it runs
    "node.py",  # reads what its process says
    "terminal.py",  # asks for the end until it has come
)


def test_each_loop_and_each_thread_has_a_case() -> None:
    assert set(CASES) == set(get_args(Name))
    threads, named = [], []
    for folder in ("engine", "ui"):
        for file in (PROJECT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            # What opens a browser is over at once; the reader's watch ends with its child.
            if "bench" not in file.parts and file.name not in SHORT_LIVED:
                threads += re.findall(r"threading\.(?:Thread|Timer)[(\)]", text)
                named += re.findall(r"\bLoop\(\s*\"(\w+)\"", text)
    assert set(named) == set(CASES)
    # A clip's way home, its writing and a meeting are short; the others are those of CASES.
    assert len(threads) == 12 + 8, "a thread more: give it a Loop and a case here, then count it"


def test_a_step_that_always_fails_is_given_up_and_the_queue_goes_on(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Outcomes.keep_clip

    def broken(self: Outcomes, job: Any, *rest: Any) -> None:
        if job.request.prompt == "cursed":
            raise ZeroDivisionError("no such thing")
        keep(self, job, *rest)

    monkeypatch.setattr(Outcomes, "keep_clip", broken)
    engine.start(warm="scripted")
    cursed = engine.submit(ask("cursed"))
    after = engine.submit(ask("after"))
    assert finish(engine, after).state is State.DONE
    found = engine.jobs.get(cursed.id)
    assert (found.state, found.attempts) == (State.FAILED, 2)
    assert "Headroom lost track of this clip after an unexpected error" in str(found.note)


def test_a_job_that_nobody_has_is_settled(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim was written, and then its answer got lost."""
    claim, lost = Jobs.claim, [True]

    def half(self: Jobs, *args: Any) -> Any:
        found = claim(self, *args)
        if lost:
            lost.pop()
            raise MemoryError
        return found

    monkeypatch.setattr(Jobs, "claim", half)
    job = engine.submit(ask())
    engine.start()
    assert finish(engine, job).state is State.DONE


def test_a_thread_that_cant_be_had_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", _raises(RuntimeError("can't start new thread")))
    with pytest.raises(loops.ThreadRefused, match="won't start more threads for Headroom") as told:
        loops.start(threading.Thread())
    assert "ulimit -u" in str(told.value)


def _raises(error: Exception) -> Failing:
    def call(*_: object) -> None:
        raise error

    return call
