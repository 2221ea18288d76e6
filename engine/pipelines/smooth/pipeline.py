"""What a worker holds that was started to change a clip: nothing but a meter of its memory."""

from collections.abc import Mapping

from engine.pipelines.base import PipelineError, Run, StageMeter
from engine.pipelines.changers import described
from engine.pipelines.ram import RamMeter
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames
from engine.text import Said, Text


class Smooth:
    """See the module's docstring."""

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self.meter: StageMeter = RamMeter()

    def load(self, plan: Plan) -> Plan:
        return plan

    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        """Raises PipelineError: it makes nothing of a prompt."""
        nothing = Text("pipelines.makes_nothing", model=self.preset.name)
        raise PipelineError(nothing, Text("pipelines.choose_maker"))

    def describe(self) -> Mapping[str, Said]:
        return {**described(self.preset)}
