"""The plan of what changes a clip."""

from engine.machine.facts import Machine
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset
from engine.text import Text


def make(machine: Machine, preset: ModelPreset) -> Plan:
    if preset.runs_on == "nvidia":
        return {
            "device": Choice("cuda", Text("plan.smooths_on_gpu")),
            "between": Choice("rife", Text("plan.by_rife"), label=Text("plan.rife")),
            "larger": Choice("lanczos", Text("plan.invents_nothing"), label=Text("plan.lanczos")),
        }
    plan = {
        "device": Choice("cpu", Text("plan.smooths_anywhere")),
        "between": Choice("minterpolate", Text("plan.by_ffmpeg"), label=Text("plan.minterpolate")),
    }
    if preset.enlarges:
        plan["device"] = Choice("cpu", Text("plan.enlarges_anywhere"))
        plan["larger"] = Choice("lanczos", Text("plan.invents_nothing"), label=Text("plan.lanczos"))
    return plan
