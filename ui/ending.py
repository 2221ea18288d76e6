"""How the page's server ends: those who wait are told, then nothing holds it up any more."""

import contextlib
import time
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse

TOLD_SECONDS = 0.7  # in which who waits for a clip is told that it goes on at the next start
LINGER_SECONDS = 1  # after that an open connection is cut off


def no_store(_request: Request, error: Exception) -> JSONResponse:
    """A route that the database refused: locked, full or damaged, and what to do."""
    return JSONResponse({"detail": str(error)}, 503)


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
