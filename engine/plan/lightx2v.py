"""The plan of models that LightX2V runs: which kernels, and where the weights wait.

What needs what was read in LightX2V's sources (commit f8aee98b); the numbers behind "offload" come
from engine/plan/host_memory.py. The worker reads these keys and values, so they are fixed.
"""

from collections.abc import Mapping
from dataclasses import replace

from engine.machine.facts import Machine
from engine.plan import kernel_options as kernels
from engine.plan.choice import Choice, Option, Options, Plan, PlanError, first_that_works
from engine.plan.host_memory import host_need, parts, pinned_need, resident_need
from engine.plan.kernel_options import BF16_CAPABILITY, FP8_CAPABILITY
from engine.plan.kernel_rows import NONE, KernelTimes
from engine.presets import ModelPreset, Role
from engine.text import NOTHING, FileSize, Memory, Text, joined
from engine.units import GIB

WHOLE_DECODE_ABOVE = 12 * GIB
ROPE_CHUNK, SMALL_ROPE_CHUNK = 8192, 2048  # tokens
TINY = "tiny"  # of "decode": the tiny VAE, for drafts only
FIXED = ("device", "precision", "fp16_accumulation", "sampler")  # nothing that runs changes these
SWITCHED = ("attention", "decode")  # what a model that is loaded can do otherwise
# With these LightX2V has built the attention in: it makes the transformer anew, or has compiled it.
REBUILT = {("offload", "lazy"), ("compile", "on")}
SYSTEM_RAM = 1 * GIB  # what the system itself keeps
NVME, SATA = 2.5e9, 0.5e9  # bytes a second that such drives read in the long run
WINDOWS_LOCKS = 0.5  # of the RAM: what WDDM lets a GPU share


def make(
    machine: Machine,
    preset: ModelPreset,
    resident_measured: bool,
    times: KernelTimes = NONE,
    extras: frozenset[Role] = frozenset(),
) -> Plan:
    """The automatic plan.

    Args:
        times: what the kernel test found here.
        extras: the model's optional parts that are here.

    Raises:
        PlanError: this machine can't run the model.
    """
    _check_gpu(machine, preset)
    known = options(machine, preset, times, extras)
    plan = {
        "device": _device(machine, preset),
        "precision": Choice(str(preset.precision), Text(f"plan.own_{preset.precision}")),
        "attention": _best("attention", known["attention"], preset),
        "matmul": _best("matmul", known["matmul"], preset),
        "text_encoder": _best("text_encoder", known["text_encoder"], preset),
        "offload": _offload_choice(machine, preset, known, resident_measured),
        "decode": _best("decode", known["decode"], preset),
        "rope_chunk": _best("rope_chunk", known["rope_chunk"], preset),
        "compile": _best("compile", known["compile"], preset),
        "modulation": kernels.modulation(machine, preset),
        "fp16_accumulation": Choice("off", Text("plan.no_fp16_here")),
        "sampler": _sampler(preset),
    }
    tested = [name for name in plan if kernels.was_tested(name, known, times)]
    return {**plan, **{name: replace(plan[name], by="engine") for name in tested}}


def options(
    machine: Machine,
    preset: ModelPreset,
    times: KernelTimes = NONE,
    extras: frozenset[Role] = frozenset(),
) -> Options:
    """What can be chosen, the best first; the order is what the automatic choice goes by: by the
    kernel test where there was one, by what is known of these kernels where there wasn't."""
    products = kernels.matmul(machine, preset, preset.precision)
    return {
        "attention": kernels.by_test(kernels.attention(machine, preset), times, "attention"),
        "matmul": kernels.by_test(products, times, "linear"),
        "text_encoder": kernels.of_text(kernels.matmul(machine, preset, preset.text_precision)),
        "offload": _offload(machine, preset),
        "decode": _decode(machine, preset, "tiny_vae" in extras),
        "rope_chunk": _rope_chunk(kernels.fuses_norms(machine, preset)),
        "compile": kernels.compiling(machine, preset),
    }


# ---- the machine ---------------------------------------------------------------------------


def _check_gpu(machine: Machine, preset: ModelPreset) -> None:
    if preset.runs_on == "cpu":
        return
    gpu = machine.gpu
    if gpu is None:
        raise PlanError(
            Text("plan.needs_gpu", model=preset.name), Text("plan.choose_another_model")
        )
    if gpu.capability is None:  # the kernels themselves will tell
        return
    needed = FP8_CAPABILITY if preset.precision == "fp8" else BF16_CAPABILITY
    if gpu.capability < needed:
        has, least = kernels.dotted(gpu.capability), kernels.dotted(needed)
        if gpu.capability >= BF16_CAPABILITY:
            raise PlanError(
                Text("plan.no_fp8_units", gpu=gpu.name, has=has, needed=least),
                Text("plan.choose_int8"),
            )
        raise PlanError(
            Text("plan.card_too_old", gpu=gpu.name, has=has, model=preset.name, needed=least),
            Text("plan.needs_newer_card"),
        )


def _device(machine: Machine, preset: ModelPreset) -> Choice:
    if preset.runs_on == "cpu" or machine.gpu is None:
        return Choice("cpu", Text("plan.made_for_no_gpu", model=preset.name))
    gpu, capability = machine.gpu, NOTHING
    if gpu.capability:
        capability = Text("plan.capability", capability=kernels.dotted(gpu.capability))
    total = Memory(gpu.total)
    return Choice(gpu.name, Text("plan.gpu", number=gpu.index, total=total, capability=capability))


def _best(name: str, known: tuple[Option, ...], preset: ModelPreset) -> Choice:
    choice = first_that_works(known)
    if choice is None:
        why = (Text("plan.why_not", value=option.text, why=option.reason) for option in known)
        what = Text(f"plan.name_{name}")
        raise PlanError(
            Text("plan.nothing_works", what=what, model=preset.name, why=joined(*why)),
            Text("plan.run_setup"),
        )
    return choice


def _sampler(preset: ModelPreset) -> Choice:
    at = ", ".join(str(step) for step in preset.denoising_steps)
    guided = f"guidance {preset.guidance:g}" if preset.guidance > 1 else "no guidance"
    count = f"{preset.steps} steps ({at})" if at else f"{preset.steps} steps"
    steps, guidance = Text("plan.steps", n=preset.steps), Text("plan.no_guidance")
    if at:
        steps = Text("plan.steps_at", n=preset.steps, at=at)
    if preset.guidance > 1:
        guidance = Text("plan.guidance", guidance=preset.guidance)
    return Choice(
        f"{count}, shift {preset.shift:g}, {guided}",
        Text("plan.distilled_for"),
        label=Text("plan.sampler", steps=steps, shift=preset.shift, guidance=guidance),
    )


# ---- memory --------------------------------------------------------------------------------


def _offload(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """The fastest first. "resident" works where the numbers allow to try it."""
    if preset.runs_on == "cpu":
        exact = Option("one-expert", False, Text("plan.locked_for_gpus"))
        one = (exact,) if preset.experts > 1 else ()
        return (
            Option("block", True, Text("plan.both_sides_ram")),
            Option("block-exact", False, Text("plan.locked_for_gpus")),
            *one,
            Option("lazy", True, Text("plan.read_from_disk")),
            Option("resident", True, Text("plan.nothing_moved")),
        )
    ways = _two_experts(preset) if preset.experts > 1 else _WAYS
    total = machine.gpu.total if machine.gpu else 0
    fits = resident_need(preset) < total and host_need(preset, "resident") <= _ram(machine)
    need = Memory(resident_need(preset))
    resident = Text("plan.too_large_for_gpu", need=need, total=Memory(total))
    if fits:
        resident = Text("plan.may_fit_gpu", need=need)
    return (
        Option("resident", fits, resident),
        *(_waiting(machine, preset, value, how) for value, how in ways.items()),
    )


_WAYS: Mapping[str, Text] = {
    "block": Text("plan.waits_locked"),
    "block-exact": Text("plan.waits_exact"),
    "lazy": Text("plan.waits_on_disk"),
}


def _two_experts(preset: ModelPreset) -> Mapping[str, Text]:
    """What becomes of two transformers that take turns, and what a clip pays for it."""
    read = parts(preset)[0].raw
    cost = {"size": FileSize(read), "fast": round(read / NVME), "slow": round(read / SATA)}
    return {
        "block": Text("plan.waits_both"),
        "block-exact": Text("plan.waits_both_exact"),
        "one-expert": Text("plan.waits_one_expert", **cost),
        "lazy": Text("plan.waits_on_disk_both", **cost),
    }


def _waiting(machine: Machine, preset: ModelPreset, value: str, how: Text) -> Option:
    need, has = Memory(host_need(preset, value)), Memory(_ram(machine))
    fits = need.bytes <= has.bytes
    locked, lockable = pinned_need(preset, value), machine.ram * WINDOWS_LOCKS - machine.ram_lent
    if fits and machine.windows and locked > lockable:
        limit = Memory(int(lockable))
        if (
            value == "block"
        ):  # the exact way locks less of it, and the rest waits unlocked there too
            too_much = Text("plan.locks_too_much", limit=limit, locked=Memory(locked))
            return Option(value, False, too_much)
        rest = Memory(int(locked - lockable))
        return Option(
            value,
            True,
            Text("plan.waits_unlocked", how=how, need=need, limit=limit, rest=rest),
        )
    told = Text("plan.too_little_ram", need=need, has=has)
    if fits:
        told = Text("plan.waits", how=how, need=need, has=has)
    return Option(value, fits, _beside(machine, told))


def _ram(machine: Machine) -> int:
    return max(0, machine.ram - SYSTEM_RAM - machine.ram_lent)


def _beside(machine: Machine, text: Text) -> Text:
    """``text``, and why there isn't more where other cards have copies of their own."""
    if not machine.ram_lent:
        return text
    return joined(text, Text("plan.ram_lent", lent=Memory(machine.ram_lent)))


def _offload_choice(
    machine: Machine, preset: ModelPreset, known: Options, resident_measured: bool
) -> Choice:
    resident = next(option for option in known["offload"] if option.value == "resident")
    if preset.runs_on != "cpu" and resident.works and resident_measured:
        return Choice("resident", Text("plan.measured_to_fit"))
    choice = first_that_works(tuple(o for o in known["offload"] if o.value != "resident"))
    if choice is None:
        raise PlanError(
            Text(
                "plan.too_little_ram_at_all",
                model=preset.name,
                need=Memory(host_need(preset, "lazy")),
                has=Memory(_ram(machine)),
            ),
            Text("plan.more_ram"),
        )
    return choice


def _decode(machine: Machine, preset: ModelPreset, tiny: bool) -> tuple[Option, ...]:
    if preset.draft_of is None:
        return _exact_decode(machine, preset)
    why = Text("plan.decode_tiny" if tiny else "plan.no_tiny_vae")
    return Option(TINY, tiny, why), *_exact_decode(machine, preset)


def _exact_decode(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    whole = Option("whole", True, Text("plan.decode_whole"))
    tiled = Option("tiled", True, Text("plan.decode_tiled"))
    gpu = machine.gpu
    if preset.runs_on == "nvidia" and gpu is not None and gpu.total <= WHOLE_DECODE_ABOVE:
        total = Memory(gpu.total)
        tiled = Option("tiled", True, Text("plan.decode_tiled_for", total=total))
        return tiled, whole
    return whole, tiled


def _rope_chunk(in_place: bool) -> tuple[Option, ...]:
    """Our kernels turn queries and keys where they are; the chunks are for LightX2V's."""
    large = Text("plan.rope_in_place" if in_place else "plan.rope_large")
    return (
        Option(ROPE_CHUNK, True, large),
        Option(SMALL_ROPE_CHUNK, True, Text("plan.rope_small")),
        Option(0, True, Text("plan.rope_all")),
    )
