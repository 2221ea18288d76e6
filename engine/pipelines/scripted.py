"""A pipeline that does what its prompt says: it drives everything above the pipeline in tests.

``steps=6 step_seconds=0.2 blocks=4 fail=oom at=denoise:2``: words that aren't ``key=value``
are ignored. ``fail`` is one of error, quote (an error that has the prompt in it), oom,
broken (as a dead CUDA context is), hang (ignores
cancel), busy (ignores it for ``busy=SECONDS``, and says so), exit (as ``kill -9`` looks) and once
(``exit``, but only in the first try: it needs ``marker=PATH``). ``at`` is a stage, ``denoise:STEP``
or ``decode:PART``, after which some of the frames are there. With ``until=decode:tiled`` it
fails only while the plan says otherwise; ``memory=VRAM`` names the memory that runs out.
``hold=PATH``: two steps, and then it waits until that file is there, or for a cancel.

HEADROOM_SCRIPTED_BECOMES=fail: it can't go on as its draft.
HEADROOM_SCRIPTED_LOAD: seconds, or fail, broken, exit, or oom (while the plan offloads "block").
HEADROOM_SCRIPTED_RUNS=attention:torch_sdpa: what really runs, whatever the plan says.
"""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np

from engine.pipelines.base import Broken, Frame, OutOfMemory, PipelineError, Run
from engine.pipelines.ram import RamMeter
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames, Memory, Stage
from engine.text import Said

PART = 4  # frames, as Wan's decoder gives them


class Scripted:
    """See the module's docstring."""

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self.meter = RamMeter()
        self.plan: Plan = {}
        self.parts: dict[str, dict[str, float]] = {}

    def load(self, plan: Plan) -> Plan:
        wait = os.environ.get("HEADROOM_SCRIPTED_LOAD", "")
        if wait == "fail":
            raise PipelineError("The script says that loading fails.", "Change the script.")
        if wait == "broken":
            raise Broken("The script's GPU is gone.", "Change the script.")
        if wait == "exit":
            os._exit(3)
        if wait == "oom":
            if plan["offload"].value == "block":
                raise OutOfMemory("The script can't load.", "Buy memory.", "RAM")
            wait = ""
        time.sleep(float(wait or 0))
        name, _, value = os.environ.get("HEADROOM_SCRIPTED_RUNS", "").partition(":")
        if name in plan and plan[name].value != value:
            plan = {**plan, name: Choice(value, "The script says so.")}
        self.plan = plan
        return plan

    def become(self, preset: ModelPreset, plan: Plan) -> Plan:
        if os.environ.get("HEADROOM_SCRIPTED_BECOMES") == "fail":
            raise PipelineError("The script says that it can't become that.", "Change it.")
        self.preset = preset
        return self.load(plan)

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        words = [word.partition("=") for word in request.prompt.split()]
        script = {key: value for key, sign, value in words if sign}
        script[""] = request.prompt
        steps, blocks = steps or int(script.get("steps", 4)), int(script.get("blocks", 2))
        step_seconds = float(script.get("step_seconds", 0.02))
        self._stage("encode", script, run)
        pictures = run.pictures
        if pictures.first is not None:
            self._stage("picture", script, run)
        self._stage("denoise", script, run, steps)
        for step in range(steps):
            self._fault(script, f"denoise:{step}", run)
            for block in range(blocks):
                run.check()
                time.sleep(step_seconds / blocks)
                run.advance((step + (block + 1) / blocks) / steps, step)
            run.advance((step + 1) / steps, step + 1)
            run.preview(np.full((2, 8, 8, 3), 40 * step % 256, np.uint8))
            if step + 1 == min(2, steps):
                self._hold(script, run)
        self._stage("decode", script, run)
        random = np.random.default_rng(seed)
        picture = random.integers(
            0, 256, (request.frames, request.height // 16, request.width // 16, 3), np.uint8
        )
        frames = picture.repeat(16, axis=1).repeat(16, axis=2)
        for at, given in ((0, pictures.first), (-1, pictures.last)):
            if given is not None:
                frames[at] = given
        for at in range(0, len(frames), PART):
            run.check()
            run.frames(frames[at : at + PART])
            self._fault(script, f"decode:{at // PART}", run)
        return frames

    def enlarge(
        self, frames: Iterable[Frame], request: ClipRequest, count: int, seed: int, run: Run
    ) -> Iterator[Frame]:
        """Each pixel several times."""
        self.parts = {"decode": {"seconds": 0.0, "peak": 0.0}}
        for number, frame in enumerate(frames, 1):
            run.check()
            rows, columns = (
                np.arange(side) * old // side
                for side, old in zip((request.height, request.width), frame.shape, strict=False)
            )
            yield frame[rows][:, columns]
            run.advance(number / count)

    def describe(self) -> dict[str, Said]:
        return {"label": "Scripted: for tests only.", "numpy": np.__version__}

    def _stage(self, stage: Stage, script: dict[str, str], run: Run, steps: int = 0) -> None:
        run.stage(stage, steps)
        run.check()
        self._fault(script, stage, run)

    def _hold(self, script: dict[str, str], run: Run) -> None:
        while "hold" in script and not Path(script["hold"]).exists():
            run.check()
            time.sleep(0.01)

    def _fault(self, script: dict[str, str], place: str, run: Run) -> None:
        if script.get("at", "denoise:1") != place:
            return
        name, _, value = script.get("until", "").partition(":")
        if name in self.plan and str(self.plan[name].value) == value:
            return
        match script.get("fail"):
            case "error":
                raise ValueError("scripted failure")
            case "quote":
                raise ValueError(f"no such words: {script['']!r}")
            case "oom":
                raise OutOfMemory(
                    "The script ran out of memory.",
                    "Choose a smaller size.",
                    cast(Memory, script.get("memory", "RAM")),
                )
            case "broken":
                raise Broken("The script's GPU is gone.", "Change the script.")
            case "busy":
                run.occupied("the script is busy", 60)
                time.sleep(float(script["busy"]))
            case "hang":
                time.sleep(3600)
            case "exit":
                os._exit(9)
            case "once":
                marker = Path(script["marker"])
                if not marker.exists():
                    marker.touch()
                    os._exit(9)
