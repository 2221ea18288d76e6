"""The live part of the page: one server-sent stream a browser, plain values, drawn by live.js.

A stream of our own costs the server less than any timer of Gradio's, goes on while the page's
queue is busy and in a tab in the background. Everything crosses as text that the browser sets
with ``textContent``, so no prompt can become markup. The state has ids and values; each stream
makes words of its own browser's language.
"""

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from engine.engine import Engine
from engine.install.background import BackgroundInstall
from engine.jobs import Job
from engine.process.loops import Loop
from engine.store import StoreError
from engine.text import NOTHING, Language, Text, joined
from engine.worker.by_lane import title_of
from engine.worker.status import EngineState, Status
from ui import wording
from ui.server.access import known_fields, member
from ui.share.session import Sharing
from ui.tabs import pausing
from ui.tabs.gauge import away_state, card_state, gauge_state
from ui.tabs.notice import notice_state
from ui.tabs.pulls import pulls_state
from ui.tabs.share import share_state
from ui.tabs.strip import QueueView, title
from ui.theme import ASSETS

TURN_SECONDS = 0.25
KEEP_ALIVE_SECONDS = 15.0  # proxies close a silent stream


class Live:
    """One state for all tabs: computed at most once a turn, however many look."""

    def __init__(
        self,
        engine: Engine,
        installer: BackgroundInstall | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self._engine, self._sharing = engine, sharing
        self._installer = installer or BackgroundInstall(engine.home)
        self._queue = QueueView(engine)
        self._lock = threading.Lock()
        self._at = 0.0
        self._state: dict[str, Any] = {}
        self.closed = False
        parts: list[Callable[[Status], dict[str, Any]]] = [
            self._engine_line,
            self._job,
            lambda _: share_state(sharing),
            self._gauge,
            lambda _: pulls_state(engine.downloads),
        ]
        self._parts = [(Loop("live", engine.faults.tell), part) for part in parts]

    def state(self) -> dict[str, Any]:
        """Flat, with texts where words belong; ``live.js`` has an element for every key."""
        with self._lock:
            now = time.monotonic()
            if now - self._at >= TURN_SECONDS / 2:
                self._at = now
                self._state = {**self._state, **self._told()}
            return self._state

    def _told(self) -> dict[str, Any]:
        """Each part by itself: of one that fails, what was shown last stays, with the reason."""
        told: dict[str, Any] = {}
        trouble = NOTHING
        status = self._engine.status()
        for loop, part in self._parts:
            if loop.due:
                with loop.turn():
                    try:
                        told |= part(status)
                    except StoreError as error:
                        trouble = error.text
        if trouble:  # now; what the engine last said of it is older
            status = replace(status, notice=NOTHING)
        trouble = joined(trouble, self._engine.faults.text())
        return told | notice_state(status, told.get("outcome", NOTHING), trouble)

    def _engine_line(self, status: Status) -> dict[str, Any]:
        models = self._engine.presets.models
        known = status.model in models
        name = models[status.model].name if known else Text("live.the_engine")
        sentence = {
            EngineState.OFF: Text("live.engine_off"),
            EngineState.ELSEWHERE: Text("live.engine_elsewhere"),
            EngineState.LOADING: Text("live.engine_loading", name=name),
            EngineState.READY: Text("live.engine_ready", name=name),
            EngineState.BUSY: Text("live.engine_busy", name=name),
            EngineState.FAILED: Text("live.engine_failed"),
        }[status.state]
        paused = self._engine.is_paused()
        sentence = pausing.engine_line(self._engine, status) if paused else sentence
        arriving = self._installer.look()
        return {
            "engine": sentence if arriving.phase == "here" else arriving.sentence(),
            "packages": arriving.phase,
            "arriving": arriving.doing if arriving.phase == "working" else "",
            "engine_state": status.state.value,
            "paused": paused,
            "label": status.label,
        }

    def _job(self, status: Status) -> dict[str, Any]:
        jobs = self._engine.jobs
        queue = self._queue.state(status)
        running = jobs.all_running()
        latest = jobs.latest()
        told, kind = wording.outcome(None if running else latest)
        return {
            "running": bool(running),
            **self._run(running[0] if running else None),
            # What other lanes make, each a tile of the strip; pressed, the stage shows it.
            "others": [self._run(job) for job in running[1:]],
            "waiting-for": status.waiting_for if queue["waiting"] and not running else NOTHING,
            "outcome": told,
            "outcome_kind": kind,
            "queue": queue,
            "ended": latest.id if latest else 0,
        }

    def _run(self, job: Job | None) -> dict[str, Any]:
        """What the stage shows of a running job; without one, nothing."""
        engine, presets = self._engine, self._engine.presets
        shown: dict[str, Any] = {
            "title": title(job, presets) if job else "",
            "job": str(job.id) if job else "",
            "title_kind": job.kind if job else "",
            "stage": Text("wording.stage_load") if job else NOTHING,
            "left": NOTHING,
            "fraction": 0.0,
            "preview": "",
            "lane": "",
        }
        if job is None:
            return shown
        lane = engine.lane_of(job)
        several = len(engine.makers) > 1
        status, shown["lane"] = lane.status, title_of(lane) if several else ""
        progress = lane.progress(job)
        if progress is None:
            return shown
        request, left = job.request, engine.time_left(job)
        shown["stage"] = wording.stage(progress)
        if status.probing is not None:
            size = wording.size_of(presets, request.model, status.probing)
            shown["stage"] = Text("live.probing", size=size, stage=shown["stage"])
        shown["left"] = wording.time_left(left)
        shown["fraction"] = round(progress.total, 3)
        if status.preview and job.kind == "clip":
            data = base64.b64encode(status.preview).decode()
            shown["preview"] = f"data:image/webp;base64,{data}"
        return shown

    def _gauge(self, status: Status) -> dict[str, Any]:
        lanes, presets = self._engine.lanes, self._engine.presets
        away = self._engine.away
        cards = [card_state(lane, presets) for lane in lanes] if len(lanes) > 1 or away else []
        cards += [away_state(lane, presets) for lane in away]
        # The first's: a bar that changed the card that it is about would tell nothing.
        status = self._engine.lane.status if cards else status
        preset = presets.models.get(status.model, presets.default)
        recorder, told = self._engine.recorder, status.device_bytes
        shown = gauge_state(recorder, preset, status.worker_pid, status.job, told)
        return {**shown, "cards": cards}

    async def stream(self, language: Language) -> AsyncIterator[str]:
        """Server-sent events in words of ``language``: the keys that changed since the last one."""
        sent: dict[str, Any] = {}
        spoke = time.monotonic()
        loop = Loop("live", self._engine.faults.tell)
        while not self.closed:
            line = ""
            with loop.turn():
                state = await asyncio.to_thread(self.state)
                changed = {k: value for k, value in state.items() if sent.get(k, self) != value}
                if changed:
                    line = f"data: {json.dumps(wording.spoken(changed, language))}\n\n"
                    sent = state
            if not line and time.monotonic() - spoke > KEEP_ALIVE_SECONDS:
                line = ": still here\n\n"
            if line:
                spoke = time.monotonic()
                yield line
            await asyncio.sleep(max(TURN_SECONDS, loop.pause))


def add_routes(app: FastAPI, live: Live) -> None:
    """``GET /live``: Gradio's login covers its own routes only, so this asks for it itself.

    ``GET /live-feed.js``, the script that listens to it for all tabs, holds nothing to hide.
    """

    @app.get("/live", dependencies=[Depends(known_fields), Depends(member)])
    async def stream(request: Request) -> Response:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        if request.method == "HEAD":  # of a stream there is nothing else
            return Response(media_type="text/event-stream", headers=headers)
        language = wording.language_of(request.headers)
        return StreamingResponse(
            live.stream(language), media_type="text/event-stream", headers=headers
        )

    @app.get("/live-feed.js", dependencies=[Depends(known_fields)])
    def feed() -> FileResponse:
        # A tab of an older version may have the worker; a new one must not get the old script.
        headers = {"Cache-Control": "no-cache"}
        return FileResponse(
            ASSETS / "page/live-feed.js", media_type="text/javascript", headers=headers
        )
