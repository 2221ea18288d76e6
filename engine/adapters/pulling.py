"""One LoRA at a time comes from a repository for the page, in a process of its own.

It goes on while no page is open, ends with the program, and whatever came of it is kept.
"""

import json
import subprocess
import threading
from contextlib import suppress
from dataclasses import replace

from engine.adapters.pull_state import WORKING, PullState
from engine.home import Home
from engine.weights import owned_process
from engine.weights.hub import KEPT

MODULE = "engine.adapters.pull_process"


class Pulling:
    """Any thread may ask."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._state = PullState()
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    @property
    def state(self) -> PullState:
        return self._state

    def look(self, what: str) -> None:
        """Ask the hub what ``what`` is and how large; nothing is fetched."""
        self._begin(PullState(what, "looking"), "look")

    def pull(self, what: str) -> None:
        """Fetch it, or go on."""
        before = self._state
        state = before if before.what == what and before.files else PullState(what)
        self._begin(replace(state, phase="working"), "pull")

    def pause(self) -> None:
        """End the work; ``pull`` goes on with it."""
        with self._lock:
            self._end()
            if self._state.phase in WORKING:
                self._state = replace(self._state, phase="paused")

    def close(self) -> None:
        self.pause()

    def _begin(self, state: PullState, action: str) -> None:
        with self._lock:
            if self._state.phase in WORKING and self._state.what == state.what:
                return  # two tabs ask for one
            self._end()
            self._state = state
            self._process = owned_process.start(self._home, MODULE, action, state.what)
            reader = threading.Thread(
                target=self._read, args=(self._process,), name="lora", daemon=True
            )
            reader.start()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            owned_process.stop(process)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError, KeyError, TypeError):  # somebody else's words
                self._put(process, PullState.from_json(json.loads(line)))
        code = process.wait()
        if self._state.phase in WORKING:
            told = owned_process.how_it_ended(code)
            self._put(process, replace(self._state, phase="failed", told=told, remedy=KEPT))

    def _put(self, process: "subprocess.Popen[str]", state: PullState) -> None:
        with self._lock:
            if process is self._process:  # else somebody paused it, or asked for something else
                self._state = state
