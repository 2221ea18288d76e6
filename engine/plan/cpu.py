"""The plan of models that any processor runs. There is one good way, so nothing to choose."""

from engine.machine.facts import Machine
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset


def make(machine: Machine, preset: ModelPreset) -> Plan:
    return {
        "device": Choice("cpu", f"{preset.name} is small enough for any processor; no GPU needed."),
        "dtype": Choice(
            "float32",
            "Processors without bf16 units convert it back and forth; float32 runs on all of them.",
        ),
        "threads": Choice(
            machine.cores,
            f"One thread a physical core ({machine.cores} that this program may use); "
            "a second one on the same core only waits for its arithmetic units.",
        ),
        "attention": Choice("sdpa", "PyTorch's own attention is the fastest kernel on a CPU."),
        "offload": Choice("none", "The whole model fits in memory many times over."),
        "decode": Choice("whole", "At these sizes the decoder needs no tiles."),
        "sampler": Choice(
            f"{preset.steps} steps, shift {preset.shift:g}, guidance {preset.guidance:g}",
            "What the model was trained for; more steps would not make the clip better.",
        ),
    }
