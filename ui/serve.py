"""Puts the page on a port and keeps it there until somebody ends the program."""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from engine.default_model import default_model
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.joined.machines import Machines
from engine.machine.addresses import everywhere, in_url, only_here, own_addresses
from engine.machine.open_files import raise_limit
from engine.process.console import say
from engine.process.terminal import end_signals
from engine.process.variables import settle_for_page
from engine.store import StoreError
from ui.browser import open_page
from ui.server.gradio_import import import_gradio
from ui.server.listening import Listening, asking_itself, listen, served_on

if TYPE_CHECKING:
    from engine.install.background import BackgroundInstall
    from ui.api.answers import Answers
    from ui.live import Live
    from ui.server.door import Door
    from ui.server.login import PageLogin
    from ui.share.session import Sharing

PORTS_TRIED = 20
TOLD_SECONDS = 0.7  # in which who waits for a clip is told that it goes on at the next start
LINGER_SECONDS = 1  # after that an open connection is cut off
M_ARENA_MAX = -8  # glibc's malloc.h
LOOK_SECONDS, PROGRESS_SECONDS = 0.01, 0.1  # between two looks of Gradio's queue
SESSIONS = 100  # tabs and programs that Gradio remembers


def serve(
    engine: Engine,
    host: str,
    port: int,
    share: bool,
    login: tuple[str, str] | None,
    open_browser: bool,
    mcp: bool = False,
    machines: Machines | None = None,
) -> None:
    """Serve the page until Ctrl-C or a polite kill. The engine starts once the page is up, and
    what it needs is here.

    Args:
        mcp: serve tools for language models, too.
        machines: those that may join, if any may.

    Raises:
        PortError: ``port`` and the ones after it are taken, or ``host`` isn't ours.
    """
    for line in settle_for_page(os.environ):
        say(line)
    # Gradio copies what it serves; keep that in our folder, where it is cleaned up.
    os.environ["GRADIO_TEMP_DIR"] = str(engine.home.cache / "gradio")
    _one_arena()
    signals = _Signals()
    listening = listen(host, port, PORTS_TRIED)
    try:
        with asking_itself():
            made = _make(engine, listening, login, mcp, machines)
    except BaseException:
        listening.close()
        raise
    try:
        engine.record()
        engine.folder_sync.start()
        _tell(listening, port, mcp)
        made.installer.begin()
        if said := made.installer.look().sentence():
            say(f"{said}. The page shows its progress.")
        if share:
            _share(made.sharing, engine)
        if open_browser and (trouble := open_page(listening.url)):
            say(trouble)
        signals.wait()
    except KeyboardInterrupt:
        pass
    finally:
        made.sharing.close()
        made.installer.close()
        end_page(made.page, made.live, made.answers)


@dataclass(frozen=True)
class _Made:
    page: Any
    live: "Live"
    answers: "Answers"
    sharing: "Sharing"
    installer: "BackgroundInstall"


def _make(
    engine: Engine,
    listening: Listening,
    login: tuple[str, str] | None,
    mcp: bool,
    machines: Machines | None,
) -> _Made:
    """The page, served already, with all its routes."""
    import_gradio(mcp)

    from engine.install.background import BackgroundInstall
    from ui.api.answers import Answers
    from ui.api.gradio_endpoints import add_clips
    from ui.live import Live, add_routes
    from ui.page import build_page
    from ui.server.access import answer_head
    from ui.server.door import Door, places
    from ui.server.login import PageLogin
    from ui.server.logout import add_logout_route
    from ui.server.texts import add_texts_route
    from ui.share.session import Sharing
    from ui.tabs.dropped import add_receipt_route
    from ui.tabs.library_routes import add_clip_routes
    from ui.tabs.pictures import add_picture_routes
    from ui.tabs.versions import add_version_routes

    most, asked, whole = places(raise_limit()), PageLogin(login), threading.Event()

    def begin() -> None:
        engine.start(warm=_ready_at_once(engine))
        engine.test_kernels()

    installer = BackgroundInstall(engine.home, begin, faults=engine.faults)
    answers, sharing = Answers(engine), Sharing(engine, connections=most)
    page = build_page(engine, installer, answers, sharing, machines)
    door = Door(most)
    app = _launch(page, engine, listening, asked, door, whole, answers if mcp else None)
    live = Live(engine, installer, sharing)
    add_routes(app, live)
    add_clips(app, answers, asked)
    add_clip_routes(app, engine)
    add_version_routes(app, engine)
    add_receipt_route(app, engine)
    add_picture_routes(app, engine)
    add_texts_route(app)
    add_logout_route(app)
    answer_head(app)
    whole.set()
    return _Made(page, live, answers, sharing, installer)


def _tell(listening: Listening, wanted: int, mcp: bool) -> None:
    if listening.port != wanted:
        say(f"Port {wanted} is in use by another program, so the page is on {listening.port}.")
    say(f"Headroom is at {listening.url}  (Ctrl-C ends it)")
    if everywhere(listening.host):
        families = {made.family for made in listening.sockets}
        for address in own_addresses():
            if (socket.AF_INET6 if ":" in address else socket.AF_INET) in families:
                say(f"Also at http://{in_url(address)}:{listening.port}/")
    if mcp:
        say(f"Its MCP server is at {listening.url}mcp")


def _ready_at_once(engine: Engine) -> str | None:
    """The CPU default, where it is the usual model. A large one takes tens of GB of RAM, from
    whoever may only want to look: it is loaded once somebody begins to write a prompt."""
    usual = default_model(engine).preset
    return usual.id if usual.runs_on == "cpu" else None


def _one_arena() -> None:
    """glibc gives each thread's allocations a heap of its own and hardly returns what was freed
    there; over 10,000 calls the page's process grew by 12 % with that, by 4 % with one heap."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _launch(
    page: Any,
    engine: Engine,
    listening: Listening,
    login: "PageLogin",
    door: "Door",
    whole: threading.Event,
    mcp: "Answers | None",
) -> Any:
    """Put ``page`` on these sockets, behind the gate; returns its app."""
    from fastapi.exceptions import RequestValidationError
    from starlette.middleware import Middleware

    from ui import icons
    from ui.api.gradio_endpoints import wrong_fields
    from ui.server.compression import Compressed
    from ui.server.gate import Gate, own_names
    from ui.server.gradio_errors import Malformed, no_store, nonsense, tell_faults
    from ui.server.own_files import HeadFirst, OwnFiles
    from ui.theme import CSS, theme

    tell_faults(page)
    files = OwnFiles(page)
    copies, host = engine.home.cache / "gradio", listening.host
    options: dict[str, Any] = dict(
        server_name=host,
        server_port=listening.port,
        root_path="",
        num_workers=0,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        share=False,  # what Gradio shares is this page; visitors get another (ui/share/session.py)
        auth=login.pair,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        allowed_paths=[str(engine.home.clips)],  # to copy from; the gate serves copies only
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        theme=theme(),
        css=icons.css(),
        css_paths=CSS,
        max_file_size="60mb",  # the gate has a lower one, and a sentence
        # Each has 150 KB, and each call of a program makes one that nothing ends.
        state_session_capacity=SESSIONS,
        app_kwargs={
            # FastAPI's own list of routes: it has no login, and prints warnings with paths.
            "openapi_url": None,
            "exception_handlers": {
                TypeError: wrong_fields,
                RequestValidationError: nonsense,
                StoreError: no_store,
            },
            "middleware": [
                Middleware(Gate, names=own_names(host), files=copies, login=login, whole=whole),
                Middleware(Compressed),
                Middleware(HeadFirst, files=files),
                Middleware(Malformed),
            ],
            **(_with_mcp(mcp, login, not only_here(host)) if mcp is not None else {}),
        },
    )
    with served_on(listening, door, engine.faults.tell):
        app, _, _ = page.launch(**options)
    files.add_route(app)
    _tame(page._queue)
    return app


def _tame(queue: Any) -> None:
    """Gradio's queue looks for work a thousand times a second, and for progress a hundred times:
    9 % of a core while nobody does anything, 2 % like this. And what nobody fetches is kept for
    each session that a program made up, two thousand of them."""
    queue.sleep_when_free = max(queue.sleep_when_free, LOOK_SECONDS)
    queue.progress_update_sleep_when_free = max(
        queue.progress_update_sleep_when_free, PROGRESS_SECONDS
    )
    queue.pending_messages_per_session.max_size = SESSIONS


def _share(sharing: "Sharing", engine: Engine) -> None:
    """Share for the default time and tell how to come in; without a link the page goes on."""
    from ui.share.visitors import DEFAULT_HOURS
    from ui.tabs.share import invitation_lines

    try:
        model = default_model(engine).preset.id
        opened = sharing.start("link", DEFAULT_HOURS, model)
    except HeadroomError as error:
        say(f"{error} Use the page's Share tab; the same rules apply there.")
        return
    for line in invitation_lines(opened):
        say(line)
    say(f"Sharing ends in {DEFAULT_HOURS} hours, or when you stop it on the Share tab.")


def _with_mcp(answers: "Answers", login: "PageLogin", open_to_others: bool) -> dict[str, Any]:
    from ui.api.mcp import McpServer

    server = McpServer(answers, login, open_to_others)
    return {"lifespan": server.run, "routes": [server.route]}


class _Signals:
    """Ctrl-C, a polite kill, and its terminal's end. The first one breaks off what starts, or ends
    ``wait``; further ones don't disturb the end."""

    def __init__(self) -> None:
        self._ended, self._waiting = threading.Event(), False
        for number in end_signals():
            signal.signal(number, self._end)

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        first = not self._ended.is_set()
        self._ended.set()
        if first and not self._waiting:
            raise KeyboardInterrupt

    def wait(self) -> None:
        self._waiting = True
        # A plain wait() would not let Windows see Ctrl-C.
        while not self._ended.wait(0.5):
            pass


# ---- how it ends ---------------------------------------------------------------------------


class Closes(Protocol):
    closed: bool


def end_page(page: Any, *streams: Closes) -> None:
    """Close ``streams``, then the server of ``page``, a gr.Blocks that was launched.

    By itself uvicorn waits for every open connection, and Gradio gives it 5 s for that: a client
    that waits in /generate, or a tab that is asleep, would take them all.
    """
    for stream in streams:
        stream.closed = True
    server = getattr(page, "server", None)
    if server is not None:
        deadline = time.monotonic() + TOLD_SECONDS
        state = getattr(server, "server_state", None)
        while state is not None and state.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(AttributeError):
            server.config.timeout_graceful_shutdown = LINGER_SECONDS
            server.should_exit = True
    page.close(verbose=False)
