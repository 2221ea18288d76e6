"""The process that looks for a LoRA in a repository, and downloads it.

``python -m engine.adapters.pull_process look WHAT`` (or ``pull``) starts it, for a page; a kill at
any moment loses nothing. Each line that it prints is a ``PullState``, the last one how it ended.
"""

import json
import os
import sys
import threading
from dataclasses import replace

from engine.adapters.pull import offered, pull, read_place
from engine.adapters.pull_state import PullState
from engine.adapters.store import Adapters
from engine.errors import HeadroomError
from engine.home import Home, free_bytes
from engine.text import as_text
from engine.weights.owned_process import until_its_end


def main(arguments: list[str]) -> int:
    action, what = arguments
    threading.Thread(target=_end_with_its_owner, name="owner", daemon=True).start()
    state = PullState(what, "looking")
    try:
        store = Adapters(Home.find())
        files = offered(read_place(what))
        state = replace(
            state,
            phase="found",
            files=tuple(one.path for one in files),
            total=sum(one.bytes for one in files),
            free=free_bytes(store.folder),
        )
        if action == "pull":
            entries = pull(
                store, files, told=lambda done, _: tell(replace(state, phase="working", done=done))
            )
            sha256s = tuple(file.sha256 for entry in entries for file in entry.files)
            state = replace(state, phase="done", done=state.total, sha256s=sha256s)
    except HeadroomError as error:
        told, remedy = as_text(error.sentence), as_text(error.remedy)
        state = replace(state, phase="failed", told=told, remedy=remedy)
    tell(state)
    os._exit(0)  # threads that wait for bytes would hold it


def tell(state: PullState) -> None:
    sys.stdout.write(json.dumps(state.to_json()) + "\n")
    sys.stdout.flush()


def _end_with_its_owner() -> None:
    until_its_end()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
