"""A worker that was started to make clips smoother on the GPU: a meter, and a look at the file."""

from collections.abc import Mapping

import torch

from engine.pipelines.base import PipelineError, Run, StageMeter
from engine.pipelines.cuda import CudaMeter
from engine.pipelines.lightx2v.loading import import_lightx2v, version_of
from engine.pipelines.ram import RamMeter
from engine.pipelines.rife.between import Rife
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames
from engine.text import Said, Text


class RifeWorker:
    """See the module's docstring. Each clip reads the weights for itself (between.py), because most
    are made beside another model."""

    meter: StageMeter

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset

    def load(self, plan: Plan) -> Plan:
        self.meter = CudaMeter() if import_lightx2v() == "cuda" else RamMeter()
        Rife(self.preset)
        return plan

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        """Raises PipelineError: it makes nothing of a prompt."""
        nothing = Text("pipelines.makes_nothing", model=self.preset.name)
        raise PipelineError(nothing, Text("pipelines.choose_maker"))

    def describe(self) -> Mapping[str, Said]:
        return {**described(self.preset)}


def described(preset: ModelPreset) -> dict[str, str]:
    """What runs, as ``Pipeline.describe``."""
    found = {"label": preset.summary, "torch": str(torch.__version__)}
    return found | {name: told for name in ("lightx2v",) if (told := version_of(name))}
