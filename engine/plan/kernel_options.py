"""Which kernels a model that LightX2V runs can be computed with here, the best first.

What needs what was read in LightX2V's sources (commit f8aee98b). By the kernel test where there was
one, by what is known of these kernels where there wasn't.
"""

from engine.machine.facts import UNKNOWN, Machine
from engine.plan.choice import Choice, Option, Options
from engine.plan.kernel_rows import KernelTimes, What, winner
from engine.presets import ModelPreset, Precision
from engine.text import NOTHING, Text, joined

FP8_CAPABILITY = (8, 9)  # Ada; older cards have no FP8 units
BF16_CAPABILITY = (8, 0)  # Ampere; everything that isn't quantised runs in bf16
KITCHEN_CAPABILITY = (8, 0)  # its kernels begin at 7.5, where there is no bf16 for the rest
Q8_CAPABILITIES = ((8, 9), (12, 0))  # what Q8 kernels are written for
TORCHAO_TORCH = (2, 7)  # the first whose _scaled_mm takes one scale a row on Ada
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
NORMS = "fused"  # our kernels for norms, rotation, scale and shift


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
        for option in matmul(machine, preset, precision)
        if option.works
    ]


def dotted(capability: tuple[int, int]) -> str:
    """A compute capability as NVIDIA writes it."""
    return f"{capability[0]}.{capability[1]}"


def _reaches(machine: Machine, capability: tuple[int, int]) -> bool:
    gpu = machine.gpu
    return gpu is not None and (gpu.capability is None or gpu.capability >= capability)


def by_test(known: tuple[Option, ...], times: KernelTimes, what: What) -> tuple[Option, ...]:
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
    found = (*attention(machine, preset), *_sparse(machine, preset))
    return [str(option.value) for option in found if option.works]


def _sparse(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """The fastest and roughest first: that is what a draft is for."""
    return tuple(_kitchen(value, machine, preset) for value in SPARSE)


def attention(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """For the model itself: a draft's is sparse, and nothing else's."""
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


def matmul(
    machine: Machine, preset: ModelPreset, precision: Precision | None
) -> tuple[Option, ...]:
    """Products of weights in ``precision``."""
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


def of_text(products: tuple[Option, ...]) -> tuple[Option, ...]:
    """LightX2V's text encoder has classes of its own for each kernel, and no registry."""
    ours = {"int8-kitchen", *FUSED}
    return tuple(option for option in products if option.value not in ours)


def _short_of(needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Text | None:
    """Why no kernel for ``needed`` or newer runs here; None if it does."""
    if preset.runs_on == "cpu":
        return Text("plan.gpus_only")
    if not _reaches(machine, needed):
        return Text("plan.needs_capability", needed=dotted(needed))
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


def modulation(machine: Machine, preset: ModelPreset) -> Choice:
    """Not for the user: the worker tries the kernels and says which run."""
    if fuses_norms(machine, preset):
        return Choice(NORMS, Text("plan.fused_norms"))
    gpu = preset.runs_on == "nvidia"
    return Choice("torch", Text("plan.unfused_no_triton" if gpu else "plan.unfused_no_gpu"))


def fuses_norms(machine: Machine, preset: ModelPreset) -> bool:
    """Whether norms, rotation, scale and shift are ours, as far as can be told before trying."""
    return preset.runs_on == "nvidia" and "triton" in machine.packages


def compiling(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """Whether blocks are compiled by torch; never by itself."""
    off = Option("off", True, Text("plan.compile_off"))
    if preset.runs_on == "cpu":
        return off, Option("on", False, Text("plan.gpus_only"))
    if "triton" not in machine.packages:
        return off, Option("on", False, Text("plan.not_installed", name="Triton"))
    return off, Option("on", True, Text("plan.compile_on"))
