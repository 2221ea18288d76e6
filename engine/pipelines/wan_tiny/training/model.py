"""wan-tiny's four parts: their sizes, how they are built from a seed, saved and loaded.

All of them are diffusers' and transformers' own Wan-2.1 classes, so WanPipeline loads the folder.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    FlowMatchEulerDiscreteScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from engine.pipelines.wan_tiny.checkpoint import CARD, load_pipeline
from engine.pipelines.wan_tiny.training.slots import SLOTS
from engine.pipelines.wan_tiny.vocabulary import vocabulary

STEPS = 4
MAX_SEQUENCE_LENGTH = 48
TEXT_DIM = 96
LATENT_CHANNELS = 16

# The text encoder writes what it understood into one token per slot, ahead of the words.
_SPECIAL = ("<pad>", "</s>", "<unk>", *(f"<{slot}>" for slot in SLOTS))


@dataclass(frozen=True)
class Parts:
    """The pipeline's parts, loaded on one device."""

    tokenizer: Any
    text_encoder: Any
    transformer: Any
    vae: Any
    scheduler: Any

    def to(self, device: torch.device | str) -> "Parts":
        """Move the three networks."""
        for part in (self.text_encoder, self.transformer, self.vae):
            part.to(device)
        return self


def build_tokenizer() -> Any:
    """A word-level, lower-casing tokenizer that puts the slot tokens first and </s> last."""
    words = [*_SPECIAL, *vocabulary()]
    ids = {word: i for i, word in enumerate(words)}
    raw = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    raw.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    slots = " ".join(f"<{slot}>" for slot in SLOTS)
    raw.post_processor = processors.TemplateProcessing(
        single=f"{slots} $A </s>",
        special_tokens=[(word, ids[word]) for word in _SPECIAL if word not in ("<pad>", "<unk>")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_SEQUENCE_LENGTH,
    )


def build_text_encoder() -> Any:
    """A UMT5 encoder with random weights, about 0.4 M parameters."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(_SPECIAL) + len(vocabulary()),
            d_model=TEXT_DIM,
            d_kv=24,
            num_heads=4,
            d_ff=192,
            num_layers=4,
            relative_attention_num_buckets=32,
            relative_attention_max_distance=64,
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def build_vae() -> Any:
    """The causal video VAE with random weights: 8x in space, 4x in time, 16 channels."""
    return AutoencoderKLWan(
        base_dim=24,
        decoder_base_dim=24,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=4,
        scale_factor_spatial=8,
    )


def build_transformer() -> Any:
    """The denoiser with random weights, about 7 M parameters.

    Heads are 64 wide because rotary positions share a head between time, height and width: at
    32 only two frequencies per axis tell neighbouring tokens of a small grid apart.
    """
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=64,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=128,
        ffn_dim=640,
        num_layers=8,
        rope_max_seq_len=256,
    )


def build_scheduler() -> Any:
    """Euler flow matching whose four steps are at sigma 1, 0.954, 0.855 and 0.5.

    shift alone would put the last of four steps at sigma 0.02, where nothing is left to do.
    """
    return FlowMatchEulerDiscreteScheduler(shift=5.0, shift_terminal=0.5)


def build_untrained(folder: Path | None = None, seed: int = 0) -> Parts:
    """All parts with weights from the seed; saved into folder if one is given."""
    torch.manual_seed(seed)
    parts = Parts(
        tokenizer=build_tokenizer(),
        text_encoder=build_text_encoder().eval(),
        transformer=build_transformer().eval(),
        vae=build_vae().eval(),
        scheduler=build_scheduler(),
    )
    if folder is not None:
        save(parts, folder)
        write_label(folder, trained=False, label="Untrained: its pictures are noise.")
    return parts


def save(parts: Parts, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the parts as a WanPipeline folder, weights in dtype. The parts stay as they were."""
    folder.mkdir(parents=True, exist_ok=True)
    pipe = WanPipeline(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        vae=parts.vae,
        scheduler=parts.scheduler,
        transformer=parts.transformer,
    )
    kept = {}
    for name in ("text_encoder", "transformer", "vae"):
        part = getattr(pipe, name)
        kept[name] = {key: value.detach().clone() for key, value in part.state_dict().items()}
        part.to(dtype)
    pipe.save_pretrained(folder)
    for name, state in kept.items():
        part = getattr(pipe, name)
        part.to(torch.float32)
        part.load_state_dict(state)


def load(folder: Path, device: torch.device | str = "cpu") -> Parts:
    """Read a saved folder, float32, in evaluation mode, from disk only."""
    pipe = load_pipeline(folder)
    parts = Parts(pipe.tokenizer, pipe.text_encoder, pipe.transformer, pipe.vae, pipe.scheduler)
    for part in (parts.text_encoder, parts.transformer, parts.vae):
        part.eval()
    return parts.to(device)


def save_transformer(parts: Parts, folder: Path, base: Path) -> None:
    """Write the transformer alone, in bfloat16, as a folder that shares base's other parts."""
    kept = WanTransformer3DModel.from_config(parts.transformer.config)
    kept.load_state_dict(parts.transformer.state_dict())
    kept.register_to_config(_name_or_path="")  # where it was read from is nobody's business
    kept.to(torch.bfloat16).save_pretrained(folder / "transformer")
    shutil.copy(base / "model_index.json", folder / "model_index.json")


def write_label(
    folder: Path,
    *,
    trained: bool,
    label: str,
    evaluation: dict[str, Any] | None = None,
    parts: str | None = None,
) -> None:
    """Write wan_tiny.json: what the page says about these weights.

    parts: the folder, seen from this one, that has all but the transformer.
    """
    content: dict[str, Any] = {"parts": parts} if parts else {}
    content |= {
        "trained": trained,
        "label": label,
        "max_sequence_length": MAX_SEQUENCE_LENGTH,
        "steps": STEPS,
        "evaluation": evaluation or {},
    }
    (folder / CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def step_sigmas(scheduler: Any, steps: int = STEPS) -> list[float]:
    """The noise levels of one sampling run, from 1 down to and including 0."""
    scheduler.set_timesteps(steps)
    return [float(sigma) for sigma in scheduler.sigmas]


def embed(parts: Parts, prompts: list[str], device: torch.device | str) -> torch.Tensor:
    """Prompts -> [N, MAX_SEQUENCE_LENGTH, TEXT_DIM], zero after each prompt's end."""
    tokens = parts.tokenizer(
        prompts,
        padding="max_length",
        max_length=MAX_SEQUENCE_LENGTH,
        truncation=True,
        return_tensors="pt",
    )
    mask = tokens.attention_mask.to(device)
    with torch.no_grad():
        out = parts.text_encoder(tokens.input_ids.to(device), mask).last_hidden_state
    return torch.as_tensor(out * mask[..., None])
