"""wan-tiny's parts for the kernel test: what it runs, and what it could run instead on this CPU."""

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan

from engine.home import PROJECT
from engine.pipelines.kernel_test.timing import (
    Maker,
    Trial,
    activations,
    attention_cosine,
    cosine,
    product_cosine,
    queries_keys_values,
)
from engine.pipelines.wan_tiny.checkpoint import parts_folder
from engine.pipelines.wan_tiny.codec import use_flat_convolutions

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def makers(asked: dict[str, object]) -> dict[str, Maker]:
    """``asked``: ``threads``, and ``checkpoint``, the folder of the model."""
    torch.set_num_threads(int(str(asked["threads"])))
    return {
        "linear": _linear,
        "attention": _attention,
        "decode": lambda task: _decode(task, str(asked["checkpoint"])),
    }


def _linear(task: dict[str, object]) -> Trial:
    inner, out, tokens = (int(str(task[name])) for name in ("inner", "out", "tokens"))
    dtype = DTYPES[str(task["kernel"])]
    weight = torch.randn(out, inner, generator=torch.Generator().manual_seed(0)) * inner**-0.5
    layer = weight.to(dtype)

    x = activations(tokens, inner, "cpu")
    given = x.to(dtype)

    def product(values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(values.to(dtype) @ layer.T)

    return Trial(lambda: given @ layer.T, lambda: product_cosine(product, x, weight))


def _attention(task: dict[str, object]) -> Trial:
    heads, head_dim, tokens = (int(str(task[name])) for name in ("heads", "head_dim", "tokens"))
    dtype = DTYPES[str(task["kernel"]).rpartition("-")[2]]
    q, k, v = queries_keys_values(tokens, heads, head_dim, "cpu", dtype)

    def attend() -> torch.Tensor:
        first = [part.transpose(0, 1).unsqueeze(0) for part in (q, k, v)]
        return F.scaled_dot_product_attention(first[0], first[1], first[2])[0].transpose(0, 1)

    return Trial(attend, lambda: attention_cosine(attend(), q, k, v))


def _decode(task: dict[str, object], checkpoint: str) -> Trial:
    """``flat``: our order of the same convolutions; ``diffusers``: theirs."""
    height, width, frames = (int(str(task[name])) for name in ("height", "width", "frames"))

    def load(flat: bool) -> AutoencoderKLWan:
        vae = AutoencoderKLWan.from_pretrained(
            parts_folder(PROJECT / checkpoint),
            subfolder="vae",
            dtype=torch.float32,
            local_files_only=True,
        )
        if flat:
            use_flat_convolutions(vae)
        return vae

    vae, theirs = load(str(task["kernel"]) == "flat"), load(False)
    latents = torch.randn(
        1,
        vae.config.z_dim,
        (frames - 1) // 4 + 1,
        height // 8,
        width // 8,
        generator=torch.Generator().manual_seed(0),
    )
    return Trial(
        lambda: vae.decode(latents),
        lambda: cosine(vae.decode(latents).sample, theirs.decode(latents).sample),
    )
