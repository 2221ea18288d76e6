"""The plan of what changes a clip."""

from engine.machine.facts import Machine
from engine.plan.choice import Choice, Plan
from engine.presets import ModelPreset
from engine.text import Text


def make(machine: Machine, preset: ModelPreset) -> Plan:
    if preset.family == "seedvr":
        return {
            "device": Choice("cuda", Text("plan.enlarges_on_gpu")),
            "offload": Choice("block", Text("plan.blocks_wait"), label=Text("plan.block_by_block")),
            "larger": Choice("seedvr2", Text("plan.makes_detail"), label=Text("plan.seedvr")),
        }
    if preset.family == "rife":
        return {
            "device": Choice("cuda", Text("plan.smooths_on_gpu")),
            "between": Choice("rife", Text("plan.by_rife"), label=Text("plan.rife")),
            "larger": _lanczos(),
        }
    plan = {
        "device": Choice("cpu", Text("plan.smooths_anywhere")),
        "between": Choice("minterpolate", Text("plan.by_ffmpeg"), label=Text("plan.minterpolate")),
    }
    if preset.enlarges:
        plan["device"] = Choice("cpu", Text("plan.enlarges_anywhere"))
        plan["larger"] = _lanczos()
    return plan


def _lanczos() -> Choice:
    return Choice("lanczos", Text("plan.invents_nothing"), label=Text("plan.lanczos"))
