"""A data folder with tiny checkpoints for every case: ``python -m tests.contract.workspace``.

It needs ``lightx2v`` (the real one or the double), whose VAE's weights it writes at random.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.pipelines.lightx2v import standins
from tests.contract import checkpoints, lora_files
from tests.contract.checkpoints import Layout


@dataclass(frozen=True)
class Tiny:
    """One tiny model: what its files hold and how they lie."""

    name: str
    precision: str = "fp8"
    layout: Layout = "blocks"
    text: str = "bf16"
    tiny_vae: bool = False
    experts: tuple[int, ...] = ()  # Wan 2.2's: the seed of each transformer's weights


MODELS = (
    Tiny("tiny-fp8"),
    Tiny("tiny-fp8-single", layout="single"),
    Tiny("tiny-fp8-text", text="fp8"),
    Tiny("tiny-dequantised", "bf16", "single"),
    Tiny("tiny-merged", "bf16", "single"),  # with two LoRAs in it
    Tiny("tiny-unscaled", "bf16", "single"),
    Tiny("tiny-fp8-tae", tiny_vae=True),
    Tiny("tiny-lost"),  # a test takes its VAE away
    Tiny("tiny-mistaken", "bf16", "single"),  # its file is FP8
    Tiny("tiny-i2v", layout="single", experts=(1, 2)),
    Tiny("tiny-i2v-alike", layout="single", experts=(1, 1)),
)


def write(root: Path) -> None:
    """``root/home/weights/<model>`` and ``root/presets``; environment() names both."""
    from lightx2v.models.video_encoders.hf import tae
    from lightx2v.models.video_encoders.hf.wan import vae

    from tests.contract.adapter_cases import MERGED, SEEDS
    from tests.contract.cpu.cpu_platform import VAE_DIM

    torch.manual_seed(3)
    shared = root / "shared"
    checkpoints.write_tokenizer(shared / "google" / "umt5-xxl")
    for precision in ("bf16", "fp8"):
        file = shared / f"models_t5_umt5-xxl-enc-{precision}.pth"
        checkpoints.write_text_encoder(file, precision)
    decoder = vae.WanVAE_(
        dim=VAE_DIM,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
        pruning_rate=0.0,
    )
    torch.save(decoder.state_dict(), shared / "Wan2.1_VAE.pth")
    small = tae.TAEHV(None).state_dict()
    # Greyish pictures, as a VAE of random weights makes, too: of others nobody could tell anything.
    last = max(int(name.split(".")[1]) for name in small if name.startswith("decoder."))
    small[f"decoder.{last}.weight"] *= 0.1
    small[f"decoder.{last}.bias"].fill_(0.5)
    tensors = checkpoints.transformer("fp8")
    plain = checkpoints.dequantised(tensors)
    loras = [(lora_files.lora(SEEDS[name]), strength) for name, strength in MERGED.items()]
    contents = {
        "tiny-dequantised": plain,
        "tiny-merged": lora_files.merged(plain, loras),
        "tiny-unscaled": checkpoints.dequantised(tensors, with_scales=False),
    }
    for tiny in MODELS:
        folder = root / "home" / "weights" / tiny.name
        folder.mkdir(parents=True)
        for entry in shared.iterdir():
            (folder / entry.name).symlink_to(entry)
        if tiny.tiny_vae:
            torch.save(small, folder / checkpoints.TINY_VAE)
        preset = checkpoints.preset(tiny.name, tiny.precision, tiny.layout, tiny.text)
        if tiny.experts:
            preset = checkpoints.i2v(tiny.name, tiny.precision)
            for part, seed in zip(checkpoints.EXPERTS, tiny.experts, strict=True):
                expert = checkpoints.transformer(tiny.precision, 36, seed)
                checkpoints.write_transformer(folder / part, expert, "single")
        else:
            name = "transformer.safetensors" if tiny.layout == "single" else "distill_fp8"
            content = contents.get(tiny.name, tensors)
            checkpoints.write_transformer(folder / name, content, tiny.layout)
        checkpoints.write_preset(root / "presets", preset)


def environment(root: Path, *python_path: Path) -> dict[str, str]:
    """The variables under which our programs find ``root`` and LightX2V."""
    return {
        "HEADROOM_HOME": str(root / "home"),
        "HEADROOM_PRESETS": str(root / "presets"),
        "PYTHONPATH": os.pathsep.join(str(path) for path in python_path),
        "PROFILING_DEBUG_LEVEL": "0",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # the model is tiny: two threads only wait for each other
    }


if __name__ == "__main__":
    with standins.standing_in():
        import lightx2v  # noqa: F401

    write(Path(sys.argv[1]))
