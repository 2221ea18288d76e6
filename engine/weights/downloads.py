"""Owns the processes that fetch and verify weights; they end with the program, not with a tab.

Whoever asks twice gets the same one, and what another program does in the same folder is followed.
"""

import contextlib
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

from psutil import pid_exists

from engine.home import Home
from engine.presets import ModelPreset, Presets
from engine.text import Text, listed
from engine.weights import owned_process
from engine.weights.checkpoint import get_it
from engine.weights.download import What
from engine.weights.download_process import ELSEWHERE, held_elsewhere
from engine.weights.hub import KEPT, WeightsError
from engine.weights.linked_folders import own_cache, snapshots
from engine.weights.manifest import OURS
from engine.weights.progress import PAUSE, WORKING, DownloadProgress
from engine.weights.safetensors_header import WrongWeights
from engine.weights.state import Weights, look, use, useful


@dataclass
class _Run:
    """A process of ours; its standard input is what keeps it alive."""

    process: subprocess.Popen[str]
    what: What
    begun: float
    ended: DownloadProgress | None = None

    @classmethod
    def start(cls, home: Home, model: str, what: What) -> "_Run":
        begun = time.time()
        process = owned_process.start(home, "engine.weights.download_process", model, what)
        return cls(process, what, begun)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        owned_process.stop(self.process)

    def end(self) -> DownloadProgress | None:
        """What the ended process said last; None where another process is at it."""
        if self.ended is None:
            code = self.process.wait()
            text = self.process.stdout.read() if self.process.stdout else ""
            if code == ELSEWHERE:
                return None
            try:
                self.ended = DownloadProgress.parse(text)
            except (ValueError, KeyError, TypeError):
                told = owned_process.how_it_ended(code)
                self.ended = DownloadProgress(
                    "failed", self.what, told=told, remedy=KEPT, at=time.time()
                )
        return self.ended


class Downloads:
    """The weights of every model in ``home``, as the page and the commands handle them."""

    def __init__(self, home: Home, presets: Presets) -> None:
        self.home, self.presets = home, presets
        self._runs: dict[str, _Run] = {}
        self._lock = threading.Lock()

    def folder(self, model: str) -> Path:
        return self.home.weights / self.files_of(model)

    def files_of(self, model: str) -> str:
        """The model that ``model`` shares its files with; its own id where it has its own."""
        preset = self.presets.models.get(model)
        return preset.weights_of if preset is not None else model

    @property
    def models(self) -> list[ModelPreset]:
        """Those whose weights have to be fetched."""
        return [preset for preset in self.presets.with_files if preset.weights]

    def look(self, model: str) -> Weights:
        return look(self.folder(model), self.presets.models[model])

    def refuse_damaged(self, model: str) -> None:
        """Raises WeightsError when a file is known not to be what was promised: it would give noise
        after minutes of loading."""
        damaged = self.look(model).damaged
        if damaged:
            named = listed(*map(str, damaged))
            raise WeightsError(
                Text("weights.damaged_files", files=named), get_it(self.presets.models[model])
            )

    def start(self, model: str, what: What = "pull") -> None:
        """Fetch, or verify, unless somebody is at it already.

        Raises:
            HomeError: there is no folder for it.
        """
        model = self.files_of(model)
        with self._lock:
            if self._progress(model).phase not in WORKING:
                self.home.made(self.folder(model))
                self._runs[model] = _Run.start(self.home, model, what)

    def pause(self, model: str) -> None:
        """End the work on ``model``, whoever does it; ``start`` goes on with it."""
        model = self.files_of(model)
        with self._lock:
            run = self._runs.get(model)
            if run is not None and run.alive:
                run.stop()
            elif self._progress(model).phase in WORKING:
                with contextlib.suppress(OSError):  # without its folder it ends by itself
                    (self.folder(model) / OURS / PAUSE).touch()

    def progress(self, model: str) -> DownloadProgress:
        """What is done now, or how the last work ended."""
        with self._lock:
            return self._progress(self.files_of(model))

    def _progress(self, model: str) -> DownloadProgress:
        run = self._runs.get(model)
        found = DownloadProgress.load(self.folder(model)) or DownloadProgress("done")
        if run is not None and run.alive:
            # Numbers of processes come again, in containers soon.
            own = found.pid == run.process.pid and found.at >= run.begun
            return found if own else DownloadProgress("asking", run.what)
        if run is not None:
            ended = run.end()
            if ended is not None and ended.at >= found.at:  # else another program went on since
                return ended
        if found.phase in WORKING and not self._works(found, model):
            told = Text("weights.interrupted")
            return replace(found, phase="paused", rate=0.0, left=None, told=told)
        return found

    def _works(self, found: DownloadProgress, model: str) -> bool:
        """Whether the process that wrote ``found`` is at it. After a sleep of the whole machine
        its last word is old; what it holds tells."""
        return found.working or (pid_exists(found.pid) and held_elsewhere(self.folder(model)))

    def offers(self, model: str) -> list[Path]:
        """Folders of the hub's cache that hold what this model still lacks."""
        preset, seen = self.presets.models[model], self.look(model)
        if seen.state == "ready":
            return []
        places = [p for p in snapshots(own_cache(), preset) if p not in seen.linked]
        with contextlib.suppress(WrongWeights):
            return useful(places, preset)
        return []

    def use(self, model: str, named: str | Path) -> list[Path]:
        """See ``weights.use``.

        Raises:
            WeightsError: also while a process works on this model.
            HomeError: there is no folder for the note of it.
        """
        if self.progress(model).phase in WORKING:
            raise WeightsError(Text("weights.in_work"), Text("weights.pause_first"))
        return use(self.home.made(self.folder(model)), self.presets.models[model], named)

    def close(self) -> None:
        """End what was started here; everything fetched stays."""
        with self._lock:
            for run in self._runs.values():
                if run.alive:
                    run.stop()
