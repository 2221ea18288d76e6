"""The plan of what changes a clip."""

from engine.machine.facts import Machine
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset
from engine.text import Text


def make(machine: Machine, preset: ModelPreset) -> Plan:
    return {
        "device": Choice("cpu", Text("plan.smooths_anywhere")),
        "between": Choice("minterpolate", Text("plan.by_ffmpeg"), label=Text("plan.minterpolate")),
    }
