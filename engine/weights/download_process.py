"""The process that fetches or verifies one model's files.

``python -m engine.weights.download_process ID pull`` (or ``verify``) starts it.

It belongs to the program that started it and ends with it, or when somebody asks it to pause; a
kill at any moment loses nothing. What it does stands in a DownloadProgress, what it found in the
Manifest.
"""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from engine import logs
from engine.home import Home, HomeError
from engine.presets import load_presets
from engine.process.loops import Loop
from engine.text import Text
from engine.weights.download import Download
from engine.weights.hub import explain
from engine.weights.manifest import OURS
from engine.weights.owned_process import until_its_end
from engine.weights.progress import PAUSE, DownloadProgress

log = logging.getLogger("headroom.weights")

TICK_SECONDS = 0.25
LOCK_SECONDS = 2.0  # a page that only looks holds the lock for a moment
LONGEST_PAUSE = 3.0  # whoever asks for a pause waits for it
ELSEWHERE = 75  # exit code: another process is at it


def lock_of(folder: Path) -> FileLock:
    return FileLock(folder / OURS / "lock", thread_local=False)


def held_elsewhere(folder: Path) -> bool:
    """Whether a process holds the lock; False where the file system has none."""
    try:
        with FileLock(folder / OURS / "lock", is_singleton=False).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


class Teller(threading.Thread):
    """Writes the progress; ends the process when its owner is gone or somebody wants a pause."""

    def __init__(self, download: Download, orphaned: Callable[[], bool]) -> None:
        super().__init__(name="teller", daemon=True)
        self._download, self._orphaned = download, orphaned
        self._over = threading.Event()
        (download.folder / OURS / PAUSE).unlink(missing_ok=True)

    def run(self) -> None:
        loop = Loop("teller", lambda _, said: self._download.tell(said), LONGEST_PAUSE)
        while not self._over.wait(max(TICK_SECONDS, loop.pause)):
            with loop.turn():
                self._download.progress().save(self._download.folder)
                if self._orphaned() or os.path.exists(self._download.folder / OURS / PAUSE):
                    finish(self._download, self._download.progress("paused"))

    def end(self) -> None:
        self._over.set()
        self.join()


def finish(download: Download, progress: DownloadProgress) -> None:
    """Tell how it ended, to the file for everybody and to the owner, who hears it even when the
    disk is full; and end at once: threads that wait for bytes would hold the process."""
    progress = replace(progress, at=time.time())
    progress.save(download.folder)
    (download.folder / OURS / PAUSE).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(progress.to_json()) + "\n")
        sys.stdout.flush()
    logging.shutdown()
    os._exit(0)


def main(arguments: list[str]) -> int:
    model, what = arguments
    home = Home.find()
    kept = logging.FileHandler(home.logs / "weights.log", encoding="utf-8")
    kept.setFormatter(logs.Form(logs.FORM))
    logging.basicConfig(level=logging.WARNING, handlers=[kept])
    folder, preset = home.weights / model, load_presets().models[model]
    try:
        home.check(folder / OURS)
        (folder / OURS).mkdir(parents=True, exist_ok=True)
        lock = lock_of(folder)
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        return ELSEWHERE
    except (OSError, HomeError) as error:
        about = Text("weights.model_in_folder", model=preset.name, folder=folder)
        refusal = error if isinstance(error, HomeError) else explain(error, about)
        failed = DownloadProgress("failed", told=refusal.sentence, remedy=refusal.remedy)
        sys.stdout.write(json.dumps(failed.to_json()) + "\n")
        return 0
    owner = threading.Thread(target=until_its_end, name="owner", daemon=True)
    owner.start()
    download = Download(folder, preset, "verify" if what == "verify" else "pull")
    teller = Teller(download, lambda: not owner.is_alive())
    teller.start()
    progress = download.run()
    teller.end()
    finish(download, progress)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
