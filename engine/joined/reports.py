"""What a station tells of its lanes' models: ready or not, and the guard's word on each size."""

from collections.abc import Mapping
from typing import Any

from engine.engine import Engine
from engine.joined import wire
from engine.text import to_row
from engine.weights.progress import WORKING
from engine.worker.lane import Lane


class Reports:
    """Any thread may ask."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def report(self, asked: Mapping[str, list[list[int]]]) -> dict[str, Any]:
        """Each lane's models, and its word on each size that the model offers and on those of
        ``asked``, by model."""
        return {
            "lanes": [self._lane_report(lane, asked) for lane in self._engine.lanes],
            "left_out": [to_row(text) for text in self._engine.left_out],
        }

    def _lane_report(self, lane: Lane, asked: Mapping[str, list[list[int]]]) -> dict[str, Any]:
        machine, presets = lane.machine(), self._engine.presets
        suited = [preset for preset in presets.models.values() if lane.suits(preset.id)]
        ready = {preset.id: self._engine.is_ready_here(preset.id) for preset in suited}
        return {
            "name": lane.name,
            "device": machine.gpu.name if machine.gpu else machine.device,
            "total": machine.gpu.total if machine.gpu else machine.ram,
            "models": {
                model: self._model_report(lane, model, asked.get(model, [])) if is_ready else None
                for model, is_ready in ready.items()
            },
        }

    def _model_report(self, lane: Lane, model: str, asked: list[list[int]]) -> dict[str, Any]:
        guard = lane.guard
        sizes = {*guard.offered(model), *wire.sizes_from_json(asked)}
        return {
            "rules": wire.rules_to_json(guard.rules(model)),
            "budget": guard.budget(model),
            "loads": lane.loads(model, None),
            "sizes": self.verdicts(lane.name, model, wire.sizes_to_json(sizes)),
        }

    def verdicts(self, lane: str, model: str, sizes: list[list[int]]) -> dict[str, Any]:
        """The verdict on each of ``sizes``, and how long a clip takes, by ``wire.size_key``."""
        guard, wanted = self._engine.lane_named(lane).guard, wire.sizes_from_json(sizes)
        verdicts, took = guard.verdicts(model, wanted), guard.durations(model, wanted)
        return {
            wire.size_key(size): {
                "verdict": wire.verdict_to_json(verdicts[size]),
                "took": wire.duration_to_json(took[size]),
            }
            for size in wanted
        }

    def downloads(self) -> dict[str, Any]:
        """What is fetched now, or why it stopped, by model."""
        told = {}
        for preset in self._engine.downloads.models:
            progress = self._engine.downloads.progress(preset.id)
            if progress.phase in WORKING or progress.told:
                share = progress.done / progress.total if progress.total else 0.0
                told[preset.id] = {
                    "working": progress.phase in WORKING,
                    "share": round(share, 3),
                    "told": to_row(progress.told),
                }
        return told
