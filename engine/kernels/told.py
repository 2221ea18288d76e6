"""What follows from a kernel test, for the command and the page: which kernels the plans take, and
how long a clip takes at least."""

from engine.kernels.tasks import key_of
from engine.machine.facts import Machine
from engine.plan.kernel_rows import KernelRow, KernelTimes, clip_seconds
from engine.plan.plans import Plans
from engine.presets import ModelPreset, Presets


def alike(presets: Presets, machine: Machine, preset: ModelPreset) -> list[ModelPreset]:
    """The models of one shape, on one kind of device: what is timed for one holds for all."""
    key = key_of(machine, preset)
    return [
        other
        for other in presets.makers
        if other.runs_on == preset.runs_on and key_of(machine, other) == key
    ]


def planned(plans: Plans, preset: ModelPreset) -> tuple[str, str] | None:
    """The product and the attention of the plan in force; None where there is no plan."""
    if preset.precision is None:
        return "float32", "sdpa-float32"  # what wan-tiny's checkpoint is computed in
    values = plans.values(preset.id)
    return (str(values["matmul"]), str(values["attention"])) if values else None


def taken(
    times: KernelTimes, plans: Plans, models: list[ModelPreset]
) -> dict[KernelRow, list[ModelPreset]]:
    """Rows of kernels that a plan of ``models`` takes, with these models; decoding has one way,
    which stands first."""
    pairs = {preset.id: planned(plans, preset) for preset in models}
    decoders = [row.kernel for row in times.rows if row.what == "decode"]
    found: dict[KernelRow, list[ModelPreset]] = {}
    for row in times.rows:
        for preset in models:
            linear, attention = pairs[preset.id] or ("", "")
            kernel = {"linear": linear, "attention": attention, "decode": next(iter(decoders), "")}
            if row.right and kernel[row.what] == row.kernel:
                found.setdefault(row, []).append(preset)
    return found


def seconds(times: KernelTimes, plans: Plans, models: list[ModelPreset]) -> dict[str, float]:
    """The least that the default clip of each of ``models`` takes, as its plan would run it."""
    found = {}
    for preset in models:
        kernels = planned(plans, preset)
        least = clip_seconds(times, preset, *kernels) if kernels else None
        if least is not None:
            found[preset.id] = least
    return found
