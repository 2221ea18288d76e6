"""Tries the kernels that the plan names before 20 GB are read, and finds others where they fail.

An importable package is no kernel: LightX2V takes sageattention 1.0.6 for version 2 and calls
None at the first block; FP8 kernels compile at their first use. So each is called once, its
answer compared with plain PyTorch's, and the comparison kept for this machine and its versions.
"""

import importlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from engine.errors import first_line
from engine.pipelines.base import Broken, PipelineError
from engine.pipelines.cuda import TooFull, is_dead, what_ran_out
from engine.pipelines.kernel_test.timing import cosine, queries_keys_values
from engine.pipelines.lightx2v.ours import GO_BY
from engine.plan.choice import Choice, Plan
from engine.plan.host_memory import T5_DIM, T5_FFN
from engine.plan.kernel_options import NORMS, SPARSE
from engine.plan.kernel_rows import LEAST_COSINE
from engine.presets import Architecture
from engine.process import kept
from engine.text import NOTHING, Text, joined

log = logging.getLogger("headroom.kernels")

FATAL = -2.0  # in place of a cosine: trying the kernel ended the process's use of the GPU
MOST_KEPT = 8  # cards and versions whose trials are kept
TOKENS = 32_760  # 480x832x81, the model's own size
MATMULS: Mapping[str, tuple[str, ...]] = {
    "fp8": ("fp8-sgl", "fp8-fused-torch", "fp8-fused-triton", "fp8-triton", "fp8-torchao"),
    "int8": ("int8-q8f", "int8-sgl", "int8-kitchen", "int8-fused-triton", "int8-triton"),
}
WITHOUT_BIAS, OF_NORMS = " without bias", "-norms"  # behind a kernel's name in kernels.json
STORED = {"fp8": (torch.float8_e4m3fn, 448.0), "int8": (torch.int8, 127.0)}


EPS = 1e-6  # of the model's norms


class KernelFails(PipelineError):
    """A kernel that the user asked for doesn't work here."""


def name_sage_1() -> bool:
    """Give PyPI's sageattention 1.0.6 the name that LightX2V imports on sm_89 and sm_120.

    Must run before LightX2V is imported (sage_attn.py:26). The one kernel of version 1 is the same
    kind, INT8 queries and keys with FP16 values in Triton, and takes the same arguments.
    """
    try:
        import sageattention
    except Exception:  # a half-installed package raises anything; its trial will say so
        log.exception("sageattention can't be imported")
        return False
    if hasattr(sageattention, "sageattn_qk_int8_pv_fp16_triton"):
        return False
    sageattention.sageattn_qk_int8_pv_fp16_triton = sageattention.sageattn
    return True


class Trials:
    """What each kernel answered on this machine, kept in a file; ``facts`` names the machine."""

    def __init__(self, file: Path, facts: Mapping[str, str]) -> None:
        self._file = file
        self._key = json.dumps(dict(facts), sort_keys=True)
        self._known = _known(file, self._key)

    def ask(self, name: str, run: Callable[[], float]) -> float:
        """The trial's result, tried once for this machine. Raises what ``run`` raises."""
        if name not in self._known:
            self.keep(name, run())
        return self._known[name]

    def keep(self, name: str, result: float) -> None:
        """Beside what the workers of other cards keep; of versions before the few newest stay."""
        self._known |= _known(self._file, self._key) | {name: result}
        kept.keep(self._file, self._key, self._known, MOST_KEPT)


def _known(file: Path, key: str) -> dict[str, float]:
    """What ``file`` holds for this machine."""
    try:
        return {str(name): float(cosine) for name, cosine in kept.held(file).get(key, {}).items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def settle_kernels(plan: Plan, shape: Architecture, device: str, trials: Trials) -> Plan:
    """``plan`` with each kernel that fails here replaced by the next that works.

    Raises:
        KernelFails: the user chose it, or there is no other left.
        Broken: a trial took the process's use of the GPU with it; the next one leaves that kernel.
        TooFull: there is no memory to try them in.
    """
    settled = dict(plan)
    settled["matmul"] = _working_matmul(
        settled["matmul"], Layer(shape.dim, shape.dim), trials, device
    )
    settled["text_encoder"] = _working_matmul(settled["text_encoder"], TEXT_LAYER, trials, device)
    if settled["attention"].value != "torch_sdpa":
        settled["attention"] = _first_working(
            settled["attention"],
            ["torch_sdpa"],
            lambda kernel: try_attention(kernel, shape, device),
            trials,
        )
        if device == "cuda":
            settled["attention"] = _faster(settled["attention"], shape, trials)
    return settled


@dataclass(frozen=True)
class Layer:
    """What a matrix kernel is tried at: the T5's layers have no bias, the transformer's have."""

    inner: int
    out: int
    bias: bool = True


TEXT_LAYER = Layer(T5_DIM, T5_FFN, bias=False)


def _working_matmul(choice: Choice, layer: Layer, trials: Trials, device: str) -> Choice:
    precision = str(choice.value).partition("-")[0]
    order = MATMULS.get(precision, ())
    if choice.value not in order:
        return choice  # bf16 needs no kernel of its own
    others = order[order.index(str(choice.value)) + 1 :]

    def attempt(kernel: str) -> float:
        found = try_matmul(kernel, precision, layer, device)
        if kernel not in GO_BY:
            return found
        # The text encoder multiplies with it as well, under the name that it goes by.
        return min(found, try_matmul(kernel, precision, TEXT_LAYER, device))

    return _first_working(
        choice,
        [kernel for kernel in others if layer.bias or kernel not in GO_BY],
        attempt,
        trials,
        "" if layer.bias else WITHOUT_BIAS,
    )


def _faster(choice: Choice, shape: Architecture, trials: Trials) -> Choice:
    """``choice``, or PyTorch's attention where that is the quicker one (it is on Hopper)."""
    # What the kernel test or an earlier load found is known already.
    if choice.value == "torch_sdpa" or choice.by in ("user", "engine"):
        return choice
    kernel = str(choice.value)
    try:
        speed = trials.ask(f"{kernel} speed", lambda: attention_speed(kernel, shape))
    except Exception as error:  # it computes rightly; how fast is worth no failure
        _raise_if_not_the_kernels(error, kernel, "", trials)
        log.exception("%s could not be timed", kernel)
        return choice
    if speed >= 1:
        return choice
    return Choice("torch_sdpa", Text("kernels.slower", kernel=kernel, times=1 / speed))


def settle_modulation(plan: Plan, shape: Architecture, device: str, trials: Trials) -> Plan:
    """Norms, rotation, scale and shift by our kernels, by LightX2V's, or by PyTorch.

    Both kinds of kernels are Triton's, which on Linux needs a C compiler.
    """
    choice, planned = _modulation(plan, shape, device, trials), plan.get("modulation")
    if planned is not None and planned.value == choice.value:
        return plan
    return {**plan, "modulation": choice}


def _modulation(plan: Plan, shape: Architecture, device: str, trials: Trials) -> Choice:
    if device != "cuda":
        return Choice("torch", Text("kernels.triton_on_gpus"))
    problem = Text("kernels.compile_fuses")
    if plan["compile"].value == "off":
        problem = _problem(NORMS, lambda _: try_norms(shape), trials, OF_NORMS)
        if not problem:
            return Choice(NORMS, Text("kernels.fused_norms"))
    if theirs := _problem("triton", lambda _: try_modulation(shape), trials):
        return Choice("torch", joined(theirs, Text("kernels.more_traffic")))
    return Choice("triton", joined(problem, Text("kernels.fused_modulation")))


def _first_working(
    choice: Choice,
    others: list[str],
    attempt: Callable[[str], float],
    trials: Trials,
    how: str = "",
) -> Choice:
    """``how``, "" or ``WITHOUT_BIAS``, tells trials of one kernel apart."""
    failed: list[Text] = []
    for kernel in (str(choice.value), *others):
        problem = _problem(kernel, attempt, trials, how)
        if not problem:
            instead = Text("kernels.works_instead", kernel=kernel)
            return Choice(kernel, joined(*failed, instead)) if failed else choice
        log.warning("%s", problem)
        if choice.by == "user":
            raise KernelFails(problem, Text("kernels.set_back", kernel=choice.value))
        failed.append(problem)
    raise KernelFails(joined(*failed), Text("kernels.update_driver"))


def _problem(kernel: str, attempt: Callable[[str], float], trials: Trials, how: str = "") -> Text:
    """``NOTHING`` where it works."""
    if kernel == "torch_sdpa":
        return NOTHING  # the yardstick
    try:
        cosine = trials.ask(kernel + how, lambda: attempt(kernel))
    except Exception as error:  # whatever a kernel's package raises means: not this one
        _raise_if_not_the_kernels(error, kernel, how, trials)
        name, reason = type(error).__name__, first_line(error)
        return Text("kernels.cant_be_called", kernel=kernel, error=name, reason=reason)
    if cosine == FATAL:
        return Text("kernels.crashed_here", kernel=kernel)
    if not cosine >= LEAST_COSINE:  # also NaN
        return Text("kernels.differs", kernel=kernel, cosine=cosine)
    return NOTHING


def _raise_if_not_the_kernels(error: Exception, kernel: str, how: str, trials: Trials) -> None:
    """Some failures of a trial say nothing of the kernel, and one leaves nothing to go on with."""
    if what_ran_out(error) is not None:
        raise TooFull(Text("pipelines.to_try_kernels"), error) from error
    if torch.cuda.is_available() and is_dead():
        trials.keep(kernel + how, FATAL)
        trial = Text("kernels.without_bias", kernel=kernel) if how else kernel
        raise Broken(
            Text("kernels.crashed", kernel=trial, reason=first_line(error)),
            Text("kernels.left_out"),
        ) from error


def trial_matrix(kernel: str, layer: Layer, device: str) -> tuple[Any, torch.Tensor]:
    """A layer of random weights for ``kernel``, and these weights in float32: what is stored, so
    that only the product is compared."""
    from lightx2v.utils.registry_factory import MM_WEIGHT_REGISTER

    random = torch.Generator(device).manual_seed(0)
    weight = torch.randn(layer.out, layer.inner, generator=random, device=device)
    bias = "trial.bias" if layer.bias else None
    matrix: Any = MM_WEIGHT_REGISTER[kernel]("trial.weight", bias)
    tensors = {}
    if bias is not None:
        tensors[bias] = torch.zeros(layer.out, dtype=torch.bfloat16, device=device)
    precision = kernel.partition("-")[0]
    if precision in STORED:
        dtype, largest = STORED[precision]
        scale = weight.abs().amax(1, keepdim=True) / largest
        scaled = (weight / scale).round() if precision == "int8" else weight / scale
        stored = scaled.to(dtype)
        tensors |= {"trial.weight": stored, "trial.weight_scale": scale}
        weight = stored.float() * scale
    else:
        tensors["trial.weight"] = weight.to(torch.bfloat16)
        weight = tensors["trial.weight"].float()
    matrix.load(tensors)
    if getattr(matrix, "weight", None) is None:
        matrix.to_cuda()  # a CPU platform's weights count as offloaded
    return matrix, weight


@torch.no_grad()
def try_matmul(kernel: str, precision: str, layer: Layer, device: str) -> float:
    """Cosine of ``kernel``'s product with the product of the same weights in float32."""
    matrix, weight = trial_matrix(kernel, layer, device)
    random = torch.Generator("cpu").manual_seed(1)
    x = torch.randn(256, layer.inner, generator=random).to(device, torch.bfloat16)
    return cosine(matrix.apply(x).float(), x.float() @ weight.t())


def is_tuned(matmul: str) -> bool:
    """Whether its product is LightX2V's Triton kernel, which is tuned at each new shape."""
    return matmul.endswith("-triton")


def registered(kernel: str) -> str:
    """LightX2V's name of an attention: both versions of sageattention stand there as the second."""
    return "sage_attn2" if kernel.startswith("sage_attn") else kernel


@torch.no_grad()
def try_norms(shape: Architecture) -> float:
    """The least cosine of our norms, rotation and modulation with the plain expressions."""
    rows: Any = importlib.import_module("engine.pipelines.lightx2v.fused.rows")  # imports Triton
    random = torch.Generator("cuda").manual_seed(0)

    def drawn(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=random, device="cuda", dtype=torch.bfloat16)

    x, weight, scale, shift = drawn(256, shape.dim), *(drawn(shape.dim) for _ in range(3))
    head = shape.dim // shape.heads
    angles = torch.rand(256, head // 2, generator=random, device="cuda") * 6
    turns = torch.polar(torch.ones_like(angles), angles)
    normed = F.rms_norm(x.float(), (shape.dim,), weight.float(), EPS)
    pairs = torch.view_as_complex(normed.reshape(256, shape.heads, -1, 2))
    turned = torch.view_as_real(pairs * turns[:, None]).reshape(256, -1)
    shifted = F.layer_norm(x.float(), (shape.dim,), eps=EPS) * (1 + scale.float()) + shift.float()
    gated = x.float() * shift.float() + scale.float()
    heads = x.reshape(256, shape.heads, head).clone()
    return min(
        cosine(rows.normalised(x, weight, EPS).float(), normed),
        cosine(rows.turned(heads, weight, turns, EPS).float().flatten(1), turned),
        cosine(rows.shifted(x, scale, shift, EPS).float(), shifted),
        cosine(rows.add_gated(scale.expand_as(x).contiguous(), x, shift).float(), gated),
    )


@torch.no_grad()
def try_modulation(shape: Architecture) -> float:
    """Cosine of the fused kernel's answer with the plain expression."""
    from lightx2v.models.networks.wan.infer.triton_ops import fuse_scale_shift_kernel

    x, scale, shift = (
        torch.randn(1, rows, shape.dim, device="cuda", dtype=torch.bfloat16) for rows in (256, 1, 1)
    )
    found = fuse_scale_shift_kernel(x[0], scale=scale, shift=shift)
    return cosine(found.reshape(256, -1).float(), (x[0] * (1 + scale[0]) + shift[0]).float())


@torch.no_grad()
def try_attention(kernel: str, shape: Architecture, device: str, tokens: int = TOKENS) -> float:
    """Cosine of ``kernel``'s attention with PyTorch's own, at the model's real shape."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    size = tokens, shape.heads, shape.dim // shape.heads
    q, k, v = queries_keys_values(*size, device, torch.bfloat16, alike=kernel in SPARSE)
    heads_first = [part.transpose(0, 1).unsqueeze(0) for part in (q, k, v)]
    wanted = F.scaled_dot_product_attention(heads_first[0], heads_first[1], heads_first[2])
    flat = wanted.squeeze(0).transpose(0, 1).reshape(tokens, -1)
    # A copy of the keys: version 1 subtracts their mean in place.
    found = ATTN_WEIGHT_REGISTER[registered(kernel)]().apply(q, k.clone(), v)
    return cosine(found.reshape(tokens, -1), flat)


@torch.no_grad()
def attention_speed(
    kernel: str, shape: Architecture, tokens: int = TOKENS, repeat: int = 3
) -> float:
    """How many times as fast as PyTorch's own attention ``kernel`` is, at the model's shape."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    size = (tokens, shape.heads, shape.dim // shape.heads)
    q, k, v = (torch.randn(size, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    seconds = []
    for name in ("torch_sdpa", registered(kernel)):
        attend = ATTN_WEIGHT_REGISTER[name]().apply
        attend(q, k, v)  # the first call compiles
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(repeat):
            attend(q, k, v)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[0] / seconds[1]
