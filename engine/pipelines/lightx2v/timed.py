"""LightX2V's kernels, and ours that are registered with it, for the kernel test."""

import copy
import importlib
from typing import Any

import torch

from engine.machine.facts import this_machine
from engine.pipelines.kernel_test.timing import (
    Maker,
    Trial,
    activations,
    attention_cosine,
    cosine,
    product_cosine,
    queries_keys_values,
)
from engine.pipelines.lightx2v import kernels, ours, repairs
from engine.pipelines.lightx2v.loading import import_lightx2v
from engine.plan.kernel_options import SPARSE

MOST_BYTES = 1.8e9  # of a trial's tensors, of the 3 GB that the test may take
DECODED, SMALL = 5, (64, 96)  # frames, and height and width, that float32 decodes as well


def makers(device: str) -> dict[str, Maker]:
    """Raises PipelineError where LightX2V can't be imported."""
    if "sageattention" in this_machine().packages:
        kernels.name_sage_1()  # before LightX2V is imported
    import_lightx2v()
    repairs.bias_may_be_missing()
    ours.register()
    return {
        "linear": lambda task: _linear(task, device),
        "attention": lambda task: _attention(task, device),
        "decode": lambda task: _decode(task, device),
    }


def _linear(task: dict[str, Any], device: str) -> Trial:
    kernel, inner, out = str(task["kernel"]), int(task["inner"]), int(task["out"])
    # The greediest is PyTorch's own FP8: it quantises in four passes, each with a copy.
    tokens, scale = _part(int(task["tokens"]), 9 * inner + 4 * out)
    matrix, weight = kernels.trial_matrix(kernel, kernels.Layer(inner, out), device)
    x = activations(tokens, inner, device)
    return Trial(lambda: matrix.apply(x), lambda: product_cosine(matrix.apply, x, weight), scale)


def _attention(task: dict[str, Any], device: str) -> Trial:
    """Timed with some of the heads, which bounds the memory: each head's work is its own."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    kernel, tokens = str(task["kernel"]), int(task["tokens"])
    heads, head_dim = int(task["heads"]), int(task["head_dim"])
    timed = min(heads, int(task.get("timed_heads", heads)))
    size = tokens, timed, head_dim
    q, k, v = queries_keys_values(*size, device, torch.bfloat16, alike=kernel in SPARSE)
    attend = ATTN_WEIGHT_REGISTER[kernels.registered(kernel)]().apply
    # A copy of the keys: sageattention 1 subtracts their mean in place.
    return Trial(
        lambda: attend(q, k, v),
        lambda: attention_cosine(attend(q, k.clone(), v), q, k, v),
        heads / timed,
    )


def _decode(task: dict[str, Any], device: str) -> Trial:
    """A short clip as the worker streams it, with random weights."""
    vae_module = importlib.import_module("lightx2v.models.video_encoders.hf.wan.vae")
    height, width = int(task["height"]), int(task["width"])
    vae = vae_module._video_vae(z_dim=16, device=device, dtype=torch.bfloat16, dummy_model=True)
    vae = vae.to(device, torch.bfloat16).eval()
    scale = [made(16, device=device, dtype=torch.bfloat16) for made in (torch.zeros, torch.ones)]

    def latents(frames: int, height: int, width: int) -> torch.Tensor:
        random = torch.Generator(device).manual_seed(0)
        shape = (1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)
        return torch.randn(shape, generator=random, device=device)

    def decode(given: torch.Tensor) -> torch.Tensor:
        return torch.cat([piece.flatten() for piece in vae.decode_stream(given, scale)])

    def holds() -> float:
        """At a small picture: float32 takes twice the room."""
        small = latents(DECODED, *SMALL)
        found = decode(small.to(torch.bfloat16)).float()
        exact = copy.deepcopy(vae).float()
        pieces = exact.decode_stream(small, [part.float() for part in scale])
        return cosine(found, torch.cat([piece.flatten() for piece in pieces]))

    asked = latents(int(task["frames"]), height, width).to(torch.bfloat16)
    return Trial(lambda: decode(asked), holds)


def _part(tokens: int, bytes_a_token: int) -> tuple[int, float]:
    """So many tokens as fit into the test's memory, and how many times as much it all is."""
    parts = max(1, -int(-tokens * bytes_a_token // MOST_BYTES))
    return -(-tokens // parts), float(parts)
