"""Reads wan-tiny's checkpoints: a folder of its own, or a transformer beside another's parts.

wan-tiny-i2v ships its transformer and card alone; ``parts`` of its card names the folder whose
VAE, text encoder, tokenizer and scheduler it shares.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import WanImageToVideoPipeline, WanPipeline, WanTransformer3DModel

from engine.pipelines.base import PipelineError
from engine.text import Text, listed

CARD = "wan_tiny.json"
REMEDY = Text("pipelines.restore_folder")


class FromPicture(WanImageToVideoPipeline):
    """diffusers' own, with two things as its WanPipeline does them (0.42.1)."""

    # Theirs cleans prompts with ftfy, also where it isn't installed: NameError in basic_clean.
    _get_t5_prompt_embeds = WanPipeline._get_t5_prompt_embeds

    def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
        """As theirs, once the scheduler knows where it begins: of a single step, which a probe
        takes, the time isn't a number, and the scheduler looks for it in vain (IndexError)."""
        self.scheduler.set_begin_index(0)
        return super().prepare_latents(*args, **kwargs)


def read_card(folder: Path) -> dict[str, Any]:
    """What the page says about these weights, and which folder's parts they share.

    Raises:
        PipelineError: it is missing, damaged, or lacks something.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        damaged = Text("pipelines.checkpoint_damaged", folder=folder)
        raise PipelineError(damaged, REMEDY) from error
    missing = {"label", "trained", "max_sequence_length"} - set(card)
    if missing:
        lacks = Text("pipelines.card_lacks", file=folder / CARD, missing=listed(*sorted(missing)))
        raise PipelineError(lacks, REMEDY)
    return dict(card)


def parts_folder(folder: Path) -> Path:
    """The folder that holds the VAE and the rest of ``folder``'s parts: its own, or another.

    What training has just written has no card yet, and parts of its own.
    """
    if not (folder / CARD).exists():
        return folder
    shared = read_card(folder).get("parts")
    return folder / str(shared) if shared else folder


def load_pipeline(folder: Path) -> Any:
    """The folder as a ready diffusers pipeline, float32 on the CPU, from disk only.

    Returns:
        A ``FromPicture`` where the transformer takes a picture's channels beside the
        noise, otherwise a ``WanPipeline``.

    Raises:
        OSError, ValueError, RuntimeError: diffusers' own, of files that are missing or damaged.
        PipelineError: so is the card.
    """
    how: dict[str, Any] = {"dtype": torch.float32, "local_files_only": True}
    parts = parts_folder(folder)
    if parts == folder:
        pipe = WanPipeline.from_pretrained(folder, **how)
    else:
        own = WanTransformer3DModel.from_pretrained(folder, subfolder="transformer", **how)
        kind = FromPicture if takes_picture(own) else WanPipeline
        # As words: of a Path that isn't there diffusers 0.42.1 raises AttributeError.
        pipe = kind.from_pretrained(str(parts), transformer=own, **how)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def takes_picture(transformer: Any) -> bool:
    """Whether this transformer sees more than the noisy latents: Wan's mask and conditioning."""
    return bool(transformer.config.in_channels > transformer.config.out_channels)
