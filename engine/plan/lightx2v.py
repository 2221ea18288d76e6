"""The plan of models that LightX2V runs: which kernels, and where the weights wait.

What needs what was read in LightX2V's sources (commit f8aee98b); the numbers behind "offload" come
from engine/plan/host_memory.py. The worker reads these keys and values, so they are fixed.
"""

from engine.machine.facts import UNKNOWN, Machine
from engine.plan.choice import Choice, Option, Options, Plan, PlanError, Value, first_that_works
from engine.plan.host_memory import host_need, pinned_need, resident_need
from engine.presets import ModelPreset, Precision
from engine.units import GIB, gigabytes

FP8_CAPABILITY = (8, 9)  # Ada; older cards have no FP8 units
BF16_CAPABILITY = (8, 0)  # Ampere; everything that isn't quantised runs in bf16
Q8_CAPABILITIES = ((8, 9), (12, 0))  # what Q8 kernels are written for
TORCHAO_TORCH = (2, 7)  # the first whose _scaled_mm takes one scale a row on Ada
WHOLE_DECODE_ABOVE = 12 * GIB
ROPE_CHUNK, SMALL_ROPE_CHUNK = 8192, 2048  # tokens
FIXED = ("device", "precision", "fp16_accumulation", "sampler")  # nothing that runs changes these
SYSTEM_RAM = 1 * GIB  # what the system itself keeps
WINDOWS_LOCKS = 0.5  # of the RAM: what WDDM lets a GPU share


def make(machine: Machine, preset: ModelPreset, resident_measured: bool) -> Plan:
    """The automatic plan.

    Raises:
        PlanError: this machine can't run the model.
    """
    _check_gpu(machine, preset)
    known = options(machine, preset)
    return {
        "device": _device(machine, preset),
        "precision": Choice(str(preset.precision), _PRECISION[str(preset.precision)]),
        "attention": _best("attention", known["attention"], preset),
        "matmul": _best("matmul", known["matmul"], preset),
        "text_encoder": _best("text_encoder", known["text_encoder"], preset),
        "offload": _offload_choice(machine, preset, known, resident_measured),
        "decode": _best("decode", known["decode"], preset),
        "rope_chunk": _best("rope_chunk", known["rope_chunk"], preset),
        "compile": _best("compile", known["compile"], preset),
        "modulation": _modulation(machine, preset),
        "fp16_accumulation": Choice(
            "off",
            "It would do nothing here: torch's switch is for FP16 multiplications, and these run "
            "in FP8, INT8 or bf16.",
        ),
        "sampler": _sampler(preset),
    }


def options(machine: Machine, preset: ModelPreset) -> Options:
    """What can be chosen, the best first; the order is what the automatic choice goes by."""
    return {
        "attention": _attention(machine, preset),
        "matmul": _matmul(machine, preset, preset.precision),
        "text_encoder": _matmul(machine, preset, preset.text_precision),
        "offload": _offload(machine, preset),
        "decode": _decode(machine, preset),
        "rope_chunk": _rope_chunk(),
        "compile": _compile(machine, preset),
    }


# ---- the machine ---------------------------------------------------------------------------

_PRECISION = {
    "fp8": "The checkpoint's own: one byte a weight, and the GPU's FP8 units compute with it.",
    "int8": "The checkpoint's own: one byte a weight, for cards without FP8 units as well.",
    "bf16": "The checkpoint's own: two bytes a weight, nothing is rounded.",
}


def _check_gpu(machine: Machine, preset: ModelPreset) -> None:
    if preset.runs_on == "cpu":
        return
    gpu = machine.gpu
    if gpu is None:
        raise PlanError(
            f"{preset.name} needs an NVIDIA GPU, and none is here.", "Choose another model."
        )
    if gpu.capability is None:  # the kernels themselves will tell
        return
    needed = FP8_CAPABILITY if preset.precision == "fp8" else BF16_CAPABILITY
    if gpu.capability < needed:
        has = f"{gpu.name} has compute capability {_dotted(gpu.capability)}"
        if gpu.capability >= BF16_CAPABILITY:
            raise PlanError(
                f"{has}; FP8 begins with {_dotted(needed)} (RTX 40 series).",
                "Choose the INT8 model.",
            )
        raise PlanError(
            f"{has}; {preset.name} begins with {_dotted(needed)}.",
            "It needs a newer card; the CPU default runs on any machine.",
        )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


def _device(machine: Machine, preset: ModelPreset) -> Choice:
    if preset.runs_on == "cpu" or machine.gpu is None:
        return Choice("cpu", f"{preset.name} is made to run without a GPU.")
    gpu = machine.gpu
    capability = f", compute capability {_dotted(gpu.capability)}" if gpu.capability else ""
    return Choice(
        gpu.name, f"GPU {gpu.index}, {gigabytes(gpu.total)} for this program{capability}."
    )


def _reaches(machine: Machine, capability: tuple[int, int]) -> bool:
    gpu = machine.gpu
    return gpu is not None and (gpu.capability is None or gpu.capability >= capability)


def _best(name: str, known: tuple[Option, ...], preset: ModelPreset) -> Choice:
    choice = first_that_works(known)
    if choice is None:
        why = " ".join(f"{option.value}: {option.reason}" for option in known)
        raise PlanError(
            f"No {name.replace('_', ' ')} of {preset.name} works on this machine. {why}",
            "Run ./launch.sh setup (launch.bat setup on Windows), or choose another model.",
        )
    return choice


def _sampler(preset: ModelPreset) -> Choice:
    at = ", ".join(str(step) for step in preset.denoising_steps)
    guided = f"guidance {preset.guidance:g}" if preset.guidance > 1 else "no guidance"
    count = f"{preset.steps} steps ({at})" if at else f"{preset.steps} steps"
    return Choice(
        f"{count}, shift {preset.shift:g}, {guided}",
        "What the model was distilled for; more steps would not make the clip better.",
    )


# ---- kernels -------------------------------------------------------------------------------


def _attention(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    plain = Option("torch_sdpa", True, "PyTorch's own attention: exact, and always there.")
    if preset.runs_on == "cpu":
        no = "SageAttention runs on GPUs only."
        return Option("sage_attn2", False, no), Option("sage_attn1", False, no), plain
    version = machine.version("sageattention")
    told = machine.packages.get("sageattention")
    able = _reaches(machine, BF16_CAPABILITY) and "triton" in machine.packages
    unable = "SageAttention needs Triton, which isn't installed."
    if version is None:
        return (
            Option("sage_attn2", False, "SageAttention 2 isn't installed; it must be compiled."),
            Option("sage_attn1", False, "The package sageattention (1.0.6) isn't installed."),
            plain,
        )
    if version[:1] >= (2,):
        two = f"SageAttention {told} is installed: attention in INT8, about twice as fast."
        return (
            Option("sage_attn2", able, two if able else unable),
            Option("sage_attn1", False, f"SageAttention {told} is installed, which is newer."),
            plain,
        )
    named = "SageAttention of unknown version" if told == UNKNOWN else f"SageAttention {told}"
    alias = ""
    if machine.gpu is not None and machine.gpu.capability in Q8_CAPABILITIES:
        alias = " LightX2V finds it under the name that it looks for on this card."
    return (
        Option("sage_attn2", False, f"{named} is installed; this begins with 2."),
        Option(
            "sage_attn1",
            able,
            f"{named} is installed: attention in INT8 by Triton.{alias}" if able else unable,
        ),
        plain,
    )


def _matmul(
    machine: Machine, preset: ModelPreset, precision: Precision | None
) -> tuple[Option, ...]:
    if precision == "bf16":
        return (Option("Default", True, "PyTorch's own; bf16 needs no kernel of its own."),)
    if precision == "int8":
        return (
            _q8(machine, preset),
            _sgl("int8-sgl", BF16_CAPABILITY, machine, preset),
            _triton("int8-triton", BF16_CAPABILITY, machine, preset),
        )
    return (
        _sgl("fp8-sgl", FP8_CAPABILITY, machine, preset),
        _triton("fp8-triton", FP8_CAPABILITY, machine, preset),
        _torchao(machine, preset),
    )


def _short_of(needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> str | None:
    """Why no kernel for ``needed`` or newer runs here; None if it does."""
    if preset.runs_on == "cpu":
        return "It runs on GPUs only."
    if not _reaches(machine, needed):
        return f"It needs compute capability {_dotted(needed)} or newer."
    return None


def _q8(machine: Machine, preset: ModelPreset) -> Option:
    gpu = machine.gpu
    short = _short_of(BF16_CAPABILITY, machine, preset)
    if short is None and gpu and gpu.capability and gpu.capability not in Q8_CAPABILITIES:
        short = "Q8 kernels are written for RTX 40 and RTX 50 cards."
    if short is None and "q8-kernels" not in machine.packages:
        short = "Q8 kernels aren't installed; they must be compiled."
    return Option("int8-q8f", short is None, short or "Q8 kernels are installed: the fastest INT8.")


def _sgl(value: str, needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Option:
    short = _short_of(needed, machine, preset)
    if short is None and not (machine.linux and machine.architecture in ("x86_64", "AMD64")):
        short = "sgl-kernel exists for Linux on x86-64 only."
    if short is None and "sgl-kernel" not in machine.packages:
        short = "sgl-kernel isn't installed."
    return Option(value, short is None, short or "sgl-kernel is installed: compiled, no warm-up.")


def _triton(value: str, needed: tuple[int, int], machine: Machine, preset: ModelPreset) -> Option:
    short = _short_of(needed, machine, preset)
    if short is None and "triton" not in machine.packages:
        name = "triton-windows" if machine.windows else "Triton"
        short = f"{name} isn't installed."
    good = "Triton is installed; the first clip of each size waits while its kernels are tuned."
    return Option(value, short is None, short or good)


def _torchao(machine: Machine, preset: ModelPreset) -> Option:
    # Despite its name it calls torch._scaled_mm and needs no other package.
    short = None if preset.runs_on == "cpu" else _short_of(FP8_CAPABILITY, machine, preset)
    torch = machine.version("torch")
    if short is None and not machine.linux:
        short = "PyTorch is built without this kernel on Windows."
    # Where torch isn't installed yet, set-up brings one that is new enough.
    if short is None and torch and torch < TORCHAO_TORCH:
        short = f"It needs PyTorch 2.7; {machine.packages['torch']} is installed."
    return Option(
        "fp8-torchao", short is None, short or "PyTorch's own FP8; it needs no other package."
    )


def _modulation(machine: Machine, preset: ModelPreset) -> Choice:
    """Not for the user: the worker tries the fused kernel and says which one runs."""
    if preset.runs_on == "nvidia" and "triton" in machine.packages:
        return Choice("triton", "One fused kernel instead of two passes over the activations.")
    missing = "Triton isn't installed" if preset.runs_on == "nvidia" else "Triton needs a GPU"
    return Choice("torch", f"PyTorch's own operations: {missing}.")


def _compile(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    off = Option(
        "off",
        True,
        "torch.compile made no step faster on an H100, and the first clip of each size waited 24 s "
        "more while it compiled.",
    )
    if preset.runs_on == "cpu" or "triton" not in machine.packages:
        why = "It runs on GPUs only." if preset.runs_on == "cpu" else "Triton isn't installed."
        return off, Option("on", False, why)
    return off, Option(
        "on",
        True,
        "The first clip of each size waits while it compiles: 24 s on an H100, where no step was "
        "faster for it; other cards may differ.",
    )


# ---- memory --------------------------------------------------------------------------------


def _offload(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    """The fastest first. "resident" works where the numbers allow to try it."""
    if preset.runs_on == "cpu":
        return (
            Option("block", True, "Block by block, as on a GPU; here both sides are RAM."),
            Option("block-exact", False, "Page-locked memory is for GPUs only."),
            Option("lazy", True, "Each block is read from disk at every step."),
            Option("resident", True, "Nothing is moved."),
        )
    total = machine.gpu.total if machine.gpu else 0
    fits = resident_need(preset) < total and host_need(preset, "resident") <= _ram(machine)
    need = gigabytes(resident_need(preset))
    return (
        Option(
            "resident",
            fits,
            f"Everything stays on the GPU, about {need} at the baseline size; measure it first."
            if fits
            else f"Everything on the GPU would take about {need} of its {gigabytes(total)}.",
        ),
        _waiting(machine, preset, "block", "The blocks wait in page-locked RAM"),
        _waiting(
            machine,
            preset,
            "block-exact",
            "The blocks wait in page-locked RAM of exact size, as torch rounds each up to a power "
            "of two",
        ),
        _waiting(machine, preset, "lazy", "Each block is read from disk at every step"),
    )


def _waiting(machine: Machine, preset: ModelPreset, value: str, how: str) -> Option:
    need, has = host_need(preset, value), _ram(machine)
    fits = need <= has
    told = f"{how}: {gigabytes(need)} of RAM"
    locked, lockable = pinned_need(preset, value), machine.ram * WINDOWS_LOCKS
    if fits and machine.windows and locked > lockable:
        limit = f"Windows page-locks at most half of the RAM ({gigabytes(int(lockable))})"
        if (
            value == "block"
        ):  # the exact way locks less of it, and the rest waits unlocked there too
            return Option(value, False, f"{limit}, and this locks {gigabytes(locked)}.")
        rest = gigabytes(int(locked - lockable))
        return Option(value, True, f"{told}. {limit}; {rest} wait unlocked and are copied slower.")
    if fits:
        return Option(value, True, f"{told}, and {gigabytes(has)} are there.")
    return Option(
        value, False, f"It takes {gigabytes(need)} of RAM, and {gigabytes(has)} are there."
    )


def _ram(machine: Machine) -> int:
    return max(0, machine.ram - SYSTEM_RAM)


def _offload_choice(
    machine: Machine, preset: ModelPreset, known: Options, resident_measured: bool
) -> Choice:
    resident = next(option for option in known["offload"] if option.value == "resident")
    if preset.runs_on != "cpu" and resident.works and resident_measured:
        return Choice("resident", "Everything stays on the GPU: it was measured to fit here.")
    choice = first_that_works(tuple(o for o in known["offload"] if o.value != "resident"))
    if choice is None:
        raise PlanError(
            f"{preset.name} needs {gigabytes(host_need(preset, 'lazy'))} of RAM even when it reads "
            f"each block from disk, and this machine has {gigabytes(_ram(machine))} to give.",
            "Put more RAM into the machine, or choose a smaller model.",
        )
    return choice


def _decode(machine: Machine, preset: ModelPreset) -> tuple[Option, ...]:
    whole = Option("whole", True, "The GPU has room to decode a frame at once, without seams.")
    tiled = Option("tiled", True, "The frame is decoded in tiles: less memory, a little slower.")
    gpu = machine.gpu
    if preset.runs_on == "nvidia" and gpu is not None and gpu.total <= WHOLE_DECODE_ABOVE:
        total = gigabytes(gpu.total)
        tiled = Option("tiled", True, f"With {total} the frame is decoded in tiles: less memory.")
        return tiled, whole
    return whole, tiled


def _rope_chunk() -> tuple[Option, ...]:
    def option(value: Value, reason: str) -> Option:
        return Option(value, True, reason)

    return (
        option(
            ROPE_CHUNK, "Positions are applied so many tokens at a time: large enough for speed."
        ),
        option(SMALL_ROPE_CHUNK, "Smaller parts take less memory, and a little longer."),
        option(0, "All tokens at once: the fastest, and the most memory."),
    )
