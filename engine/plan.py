"""How a request is run on this machine. Every choice keeps its reason, and the page shows it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.machine import Machine
from engine.presets import ModelPreset


@dataclass(frozen=True)
class Choice:
    """One automatic choice and why it was made."""

    value: str | int | float
    reason: str
    by: Literal["automatic", "user", "engine"] = "automatic"


Plan = Mapping[str, Choice]


def make_plan(machine: Machine, preset: ModelPreset) -> Plan:
    """The plan for ``preset`` on ``machine``; keys are stable, values go into the fingerprint."""
    if preset.pipeline == "lightx2v":
        return {
            k: Choice(v, "temporary")
            for k, v in {
                "device": "cpu",
                "precision": preset.precision or "",
                "attention": "torch_sdpa",
                "matmul": "fp8-torchao" if preset.precision == "fp8" else "Default",
                "text_encoder": "fp8-torchao" if preset.precision == "fp8" else "Default",
                "offload": "block",
                "decode": "whole",
                "rope_chunk": 0,
                "compile": "off",
            }.items()
        }
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


def plan_to_json(plan: Plan) -> dict[str, dict[str, Any]]:
    return {name: asdict(choice) for name, choice in plan.items()}
