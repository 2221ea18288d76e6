"""The plan of models that LightX2V runs: which kernels, and where the weights wait.

What needs what was read in LightX2V's sources (commit f8aee98b); the numbers behind "offload" come
from engine/plan/host_memory.py. The worker reads these keys and values, so they are fixed.
"""

from dataclasses import replace

from engine.machine.facts import UNKNOWN, Machine
from engine.plan.choice import Choice, Option, Options, Plan, PlanError, first_that_works
from engine.plan.host_memory import host_need, pinned_need, resident_need
from engine.plan.kernel_rows import NONE, KernelTimes, What, winner
from engine.presets import ModelPreset, Precision, Role
from engine.text import NOTHING, Memory, Text, joined
from engine.units import GIB

FP8_CAPABILITY = (8, 9)  # Ada; older cards have no FP8 units
BF16_CAPABILITY = (8, 0)  # Ampere; everything that isn't quantised runs in bf16
KITCHEN_CAPABILITY = (8, 0)  # its kernels begin at 7.5, where there is no bf16 for the rest
Q8_CAPABILITIES = ((8, 9), (12, 0))  # what Q8 kernels are written for
TORCHAO_TORCH = (2, 7)  # the first whose _scaled_mm takes one scale a row on Ada
WHOLE_DECODE_ABOVE = 12 * GIB
# Products of ours, each by the one of LightX2V's whose weights it reads; none takes more memory.
FUSED = {
    "fp8-fused-torch": "fp8-triton",
    "fp8-fused-triton": "fp8-triton",
    "int8-fused-triton": "int8-triton",
}
# Sparse attention by comfy-kitchen, for drafts only: by how many standard deviations (tau) a block
# has to stand out to be read exactly.
SPARSE = {"sol_attn_1": 1.0, "sol_attn_05": 0.5, "sol_attn_0": 0.0}
KITCHEN = {
    "sol_attn_1": Text("plan.sparse_most"),
    "sol_attn_05": Text("plan.sparse_less"),
    "sol_attn_0": Text("plan.sparse_least"),
    "int8-kitchen": Text("plan.int8_kitchen"),
    "kitchen_int8": Text("plan.kitchen_int8"),
}
ROPE_CHUNK, SMALL_ROPE_CHUNK = 8192, 2048  # tokens
TINY = "tiny"  # of "decode": the tiny VAE, for drafts only
NORMS = "fused"  # our kernels for norms, rotation, scale and shift
FIXED = ("device", "precision", "fp16_accumulation", "sampler")  # nothing that runs changes these
SYSTEM_RAM = 1 * GIB  # what the system itself keeps
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
        "modulation": _modulation(machine, preset),
        "fp16_accumulation": Choice("off", Text("plan.no_fp16_here")),
        "sampler": _sampler(preset),
    }
    tested = [name for name in plan if was_tested(name, known, times)]
    return {**plan, **{name: replace(plan[name], by="engine") for name in tested}}


def options(
    machine: Machine,
    preset: ModelPreset,
    times: KernelTimes = NONE,
    extras: frozenset[Role] = frozenset(),
) -> Options:
    """What can be chosen, the best first; the order is what the automatic choice goes by: by the
    kernel test where there was one, by what is known of these kernels where there wasn't."""
    return {
        "attention": _by_test(_attention(machine, preset), times, "attention"),
        "matmul": _by_test(_matmul(machine, preset, preset.precision), times, "linear"),
        "text_encoder": _of_text(_matmul(machine, preset, preset.text_precision)),
        "offload": _offload(machine, preset),
        "decode": _decode(machine, preset, "tiny_vae" in extras),
        "rope_chunk": _rope_chunk(_fuses_norms(machine, preset)),
        "compile": _compile(machine, preset),
    }


def was_tested(name: str, known: Options, times: KernelTimes) -> bool:
    """Whether the kernel test ranked the options of the choice ``name``."""
    kinds: dict[str, What] = {"attention": "attention", "matmul": "linear"}
    what = kinds.get(name)
    if what is None:
        return False
    works = [str(option.value) for option in known.get(name, ()) if option.works]
    return winner(times, what, works) is not None


def products(machine: Machine, preset: ModelPreset) -> list[str]:
    """Every way to multiply that can be called here, in whatever precision the weights come: the
    test is there before any are fetched."""
    precisions: tuple[Precision, ...] = ("fp8", "int8", "bf16")
    return [
        str(option.value)
        for precision in precisions
        for option in _matmul(machine, preset, precision)
        if option.works
    ]


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
        has, least = _dotted(gpu.capability), _dotted(needed)
        if gpu.capability >= BF16_CAPABILITY:
            raise PlanError(
                Text("plan.no_fp8_units", gpu=gpu.name, has=has, needed=least),
                Text("plan.choose_int8"),
            )
        raise PlanError(
            Text("plan.card_too_old", gpu=gpu.name, has=has, model=preset.name, needed=least),
            Text("plan.needs_newer_card"),
        )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _device(machine: Machine, preset: ModelPreset) -> Choice:
    if preset.runs_on == "cpu" or machine.gpu is None:
        return Choice("cpu", Text("plan.made_for_no_gpu", model=preset.name))
    gpu, capability = machine.gpu, NOTHING
    if gpu.capability:
        capability = Text("plan.capability", capability=_dotted(gpu.capability))
    total = Memory(gpu.total)
    return Choice(gpu.name, Text("plan.gpu", number=gpu.index, total=total, capability=capability))


def _reaches(machine: Machine, capability: tuple[int, int]) -> bool:
    gpu = machine.gpu
    return gpu is not None and (gpu.capability is None or gpu.capability >= capability)


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


# ---- kernels -------------------------------------------------------------------------------


def _by_test(known: tuple[Option, ...], times: KernelTimes, what: What) -> tuple[Option, ...]:
    """``known`` with the fastest first; what the kernel test found wrong can't be chosen."""
    tested = tuple(_tried(option, times, what) for option in known)
    first = winner(times, what, [str(option.value) for option in tested if option.works])
    if first is None:
        return tested
    best = next(option for option in tested if option.value == first.kernel)
    others = (option for option in tested if option is not best)
    return (Option(best.value, True, joined(first.reason, best.reason)), *others)


def _tried(option: Option, times: KernelTimes, what: What) -> Option:
    wrong = times.wrong(what, str(option.value))
    if wrong is None or not option.works:
        return option
    return Option(option.value, False, wrong.told)


def attentions(machine: Machine, preset: ModelPreset) -> list[str]:
    """Every attention that can be called here, a draft's as well."""
    found = (*_attention(machine, preset), *_sparse(machine, preset))
    return [str(option.value) for option in found if option.works]


def _sparse(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """The fastest and roughest first: that is what a draft is for."""
    return tuple(_kitchen(value, machine, preset) for value in SPARSE)


def _attention(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    if preset.draft_of is not None:
        return _sparse(machine, preset)
    plain = Option("torch_sdpa", True, Text("plan.sdpa"))
    if preset.runs_on == "cpu":
        no = Text("plan.sage_on_gpus")
        return Option("sage_attn2", False, no), Option("sage_attn1", False, no), plain
    # After those that are known to be faster everywhere; the kernel test puts it where it belongs.
    return *_sage(machine), plain, _kitchen("kitchen_int8", machine, preset)


def _sage(machine: Machine) -> tuple[Option, Option]:
    version = machine.version("sageattention")
    told = machine.packages.get("sageattention")
    able = _reaches(machine, BF16_CAPABILITY) and "triton" in machine.packages
    unable = Text("plan.sage_needs_triton")
    if version is None:
        return (
            Option("sage_attn2", False, Text("plan.no_sage2")),
            Option("sage_attn1", False, Text("plan.no_sage1")),
        )
    if version[:1] >= (2,):
        two = Text("plan.sage2", version=told)
        return (
            Option("sage_attn2", able, two if able else unable),
            Option("sage_attn1", False, Text("plan.sage_newer", version=told)),
        )
    named, alias = Text("plan.sage_named", version=told), NOTHING
    if told == UNKNOWN:
        named = Text("plan.sage_unknown")
    if machine.gpu is not None and machine.gpu.capability in Q8_CAPABILITIES:
        alias = Text("plan.sage_alias")
    one = joined(Text("plan.sage1", name=named), alias)
    return (
        Option("sage_attn2", False, Text("plan.sage_older", name=named)),
        Option("sage_attn1", able, one if able else unable),
    )


def _matmul(
    machine: Machine, preset: ModelPreset, precision: Precision | None
) -> tuple[Option, ...]:
    if precision == "bf16":
        return (Option("Default", True, Text("plan.bf16_default")),)
    if precision == "int8":
        return (
            _q8(machine, preset),
            _sgl("int8-sgl", BF16_CAPABILITY, machine, preset),
            _kitchen("int8-kitchen", machine, preset),
            _triton("int8-fused-triton", BF16_CAPABILITY, machine, preset),
            _triton("int8-triton", BF16_CAPABILITY, machine, preset),
        )
    return (
        _sgl("fp8-sgl", FP8_CAPABILITY, machine, preset),
        _fused_torch(machine, preset),
        _triton("fp8-fused-triton", FP8_CAPABILITY, machine, preset),
        _triton("fp8-triton", FP8_CAPABILITY, machine, preset),
        _torchao(machine, preset),
    )


def _of_text(products: tuple[Option, ...]) -> tuple[Option, ...]:
    """LightX2V's text encoder has classes of its own for each kernel, and no registry."""
    ours = {"int8-kitchen", *FUSED}
    return tuple(option for option in products if option.value not in ours)


def _short_of(needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Text | None:
    """Why no kernel for ``needed`` or newer runs here; None if it does."""
    if preset.runs_on == "cpu":
        return Text("plan.gpus_only")
    if not _reaches(machine, needed):
        return Text("plan.needs_capability", needed=_dotted(needed))
    return None


def _q8(machine: Machine, preset: ModelPreset) -> Option:
    gpu = machine.gpu
    short = _short_of(BF16_CAPABILITY, machine, preset)
    if short is None and gpu and gpu.capability and gpu.capability not in Q8_CAPABILITIES:
        short = Text("plan.q8_cards")
    if short is None and "q8-kernels" not in machine.packages:
        short = Text("plan.no_q8")
    return Option("int8-q8f", short is None, short or Text("plan.q8"))


def _kitchen(value: str, machine: Machine, preset: ModelPreset) -> Option:
    short = _short_of(KITCHEN_CAPABILITY, machine, preset)
    if short is None and "comfy-kitchen" not in machine.packages:
        short = Text("plan.not_installed", name="comfy-kitchen")
    return Option(value, short is None, short or KITCHEN[value])


def _sgl(value: str, needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Option:
    short = _short_of(needed, machine, preset)
    if short is None and not (machine.linux and machine.architecture in ("x86_64", "AMD64")):
        short = Text("plan.sgl_systems")
    if short is None and "sgl-kernel" not in machine.packages:
        short = Text("plan.not_installed", name="sgl-kernel")
    return Option(value, short is None, short or Text("plan.sgl"))


def _triton(value: str, needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Option:
    short = _short_of(needed, machine, preset)
    if short is None and "triton" not in machine.packages:
        name = "triton-windows" if machine.windows else "Triton"
        short = Text("plan.not_installed", name=name)
    told = Text("plan.triton")
    if value in FUSED:
        told = joined(Text("plan.fused_rows"), told)
    return Option(value, short is None, short or told)


def _fused_torch(machine: Machine, preset: ModelPreset) -> Option:
    """Quantised by our Triton kernel, multiplied by PyTorch's own product."""
    value = "fp8-fused-torch"
    told = joined(Text("plan.fused_rows"), Text("plan.torch_product"))
    for needed in (_triton(value, FP8_CAPABILITY, machine, preset), _torchao(machine, preset)):
        if not needed.works:
            return Option(value, False, needed.reason)
    return Option(value, True, told)


def _torchao(machine: Machine, preset: ModelPreset) -> Option:
    # Despite its name it calls torch._scaled_mm and needs no other package.
    short = None if preset.runs_on == "cpu" else _short_of(FP8_CAPABILITY, machine, preset)
    torch = machine.version("torch")
    if short is None and not machine.linux:
        short = Text("plan.not_on_windows")
    # Where torch isn't installed yet, set-up brings one that is new enough.
    if short is None and torch and torch < TORCHAO_TORCH:
        short = Text("plan.needs_pytorch", version=machine.packages["torch"])
    return Option("fp8-torchao", short is None, short or Text("plan.torchao"))


def _modulation(machine: Machine, preset: ModelPreset) -> Choice:
    """Not for the user: the worker tries the kernels and says which run."""
    if _fuses_norms(machine, preset):
        return Choice(NORMS, Text("plan.fused_norms"))
    gpu = preset.runs_on == "nvidia"
    return Choice("torch", Text("plan.unfused_no_triton" if gpu else "plan.unfused_no_gpu"))


def _fuses_norms(machine: Machine, preset: ModelPreset) -> bool:
    return preset.runs_on == "nvidia" and "triton" in machine.packages


def _compile(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    off = Option("off", True, Text("plan.compile_off"))
    if preset.runs_on == "cpu":
        return off, Option("on", False, Text("plan.gpus_only"))
    if "triton" not in machine.packages:
        return off, Option("on", False, Text("plan.not_installed", name="Triton"))
    return off, Option("on", True, Text("plan.compile_on"))


# ---- memory --------------------------------------------------------------------------------


def _offload(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """The fastest first. "resident" works where the numbers allow to try it."""
    if preset.runs_on == "cpu":
        return (
            Option("block", True, Text("plan.both_sides_ram")),
            Option("block-exact", False, Text("plan.locked_for_gpus")),
            Option("lazy", True, Text("plan.read_from_disk")),
            Option("resident", True, Text("plan.nothing_moved")),
        )
    total = machine.gpu.total if machine.gpu else 0
    fits = resident_need(preset) < total and host_need(preset, "resident") <= _ram(machine)
    need = Memory(resident_need(preset))
    resident = Text("plan.too_large_for_gpu", need=need, total=Memory(total))
    if fits:
        resident = Text("plan.may_fit_gpu", need=need)
    return (
        Option("resident", fits, resident),
        _waiting(machine, preset, "block", Text("plan.waits_locked")),
        _waiting(machine, preset, "block-exact", Text("plan.waits_exact")),
        _waiting(machine, preset, "lazy", Text("plan.waits_on_disk")),
    )


def _waiting(machine: Machine, preset: ModelPreset, value: str, how: Text) -> Option:
    need, has = Memory(host_need(preset, value)), Memory(_ram(machine))
    fits = need.bytes <= has.bytes
    locked, lockable = pinned_need(preset, value), machine.ram * WINDOWS_LOCKS
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
    if fits:
        return Option(value, True, Text("plan.waits", how=how, need=need, has=has))
    return Option(value, False, Text("plan.too_little_ram", need=need, has=has))


def _ram(machine: Machine) -> int:
    return max(0, machine.ram - SYSTEM_RAM)


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
