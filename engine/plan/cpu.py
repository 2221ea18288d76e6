"""The plan of models that any processor runs. There is one good way, so nothing to choose."""

from engine.machine.facts import Machine
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset
from engine.text import Text


def make(machine: Machine, preset: ModelPreset) -> Plan:
    return {
        "device": Choice("cpu", Text("plan.small_enough", model=preset.name)),
        "dtype": Choice("float32", Text("plan.float32")),
        "threads": Choice(machine.cores, Text("plan.thread_a_core", cores=machine.cores)),
        "attention": Choice("sdpa", Text("plan.sdpa_on_cpu")),
        "offload": Choice("none", Text("plan.fits_many_times")),
        "decode": Choice("whole", Text("plan.no_tiles_needed")),
        "sampler": Choice(
            f"{preset.steps} steps, shift {preset.shift:g}, guidance {preset.guidance:g}",
            Text("plan.trained_for"),
            label=Text(
                "plan.sampler",
                steps=Text("plan.steps", n=preset.steps),
                shift=preset.shift,
                guidance=Text("plan.guidance", guidance=preset.guidance),
            ),
        ),
    }
