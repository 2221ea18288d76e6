"""``lanes``: the cards that make clips here, what each can make, and how fast."""

import argparse
import platform
from typing import Any

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.errors import ExitCode
from engine.joined.remote_lane import RemoteLane
from engine.presets import ModelPreset
from engine.process.console import tell, tell_json
from engine.request import Size
from engine.units import gigabytes
from engine.worker.lane import Lane
from engine.worker.maker import Maker
from engine.worker.state_word import state_word


def lanes(options: argparse.Namespace) -> int:
    """One row a lane; why a card that is here has none."""
    with open_engine() as engine:
        rows = [row_of(engine, lane) for lane in engine.lanes]
        rows += [row_away(engine, lane) for lane in engine.away if isinstance(lane, RemoteLane)]
        left_out = [str(text) for text in engine.left_out]
    if options.json:
        tell_json({"lanes": rows, "left_out": left_out})
        return ExitCode.DONE
    for row in rows:
        where = "" if row["machine"] == platform.node() else f" in {row['machine']}"
        memory = gigabytes(row["total_bytes"])
        tell(f"{row['name']:8} {row['state']:8} {row['device']}{where}, {memory}")
        for model, state in row["models"].items():
            seconds = row["seconds"][model]
            took = "not timed yet" if seconds is None else f"a clip takes {seconds:.1f} s"
            tell(f"         {model}: {took if state == 'ready' else state}")
    tell(*left_out)
    return ExitCode.DONE


def row_of(engine: Engine, lane: Lane) -> dict[str, Any]:
    """A lane as ``lanes --json`` and the API tell it. ``seconds`` are a default clip's, None where
    no run says so."""
    machine, sample = lane.machine(), lane.look()
    models = [preset for preset in engine.presets.with_files if lane.suits(preset.id)]
    ready = {preset.id: engine.is_ready_here(preset.id) for preset in models}
    return {
        "name": lane.name,
        "machine": platform.node(),
        "device": machine.gpu.name if machine.gpu else machine.device,
        "total_bytes": machine.gpu.total if machine.gpu else machine.ram,
        "free_bytes": sample.gpu.free if sample.gpu else sample.host.available,
        "state": state_word(lane, engine.is_elsewhere()),
        "models": {model: "ready" if is_ready else "missing" for model, is_ready in ready.items()},
        "seconds": {preset.id: _seconds(lane, preset) for preset in models},
    }


def row_away(engine: Engine, lane: RemoteLane) -> dict[str, Any]:
    """As ``row_of``, of another machine's."""
    models = [preset for preset in engine.presets.with_files if preset.id in lane.guard.models]
    return {
        "name": lane.name,
        "machine": lane.machine,
        "device": lane.device,
        "total_bytes": lane.total,
        "free_bytes": lane.free,
        "state": lane.word_of_state,
        "models": {p.id: "ready" if lane.suits(p.id) else "missing" for p in models},
        "seconds": {p.id: _seconds(lane, p) for p in models},
    }


def _seconds(lane: Maker, preset: ModelPreset) -> float | None:
    shape = preset.default
    size = Size(shape.height, shape.width, shape.frames)
    took = lane.guard.durations(preset.id, [size])[size]
    return None if took is None else round(took.seconds, 1)
