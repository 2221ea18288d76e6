"""Judges clips that begin with a picture; evaluate.py calls it for a transformer that takes one.

Where things are in a picture says nothing of where they will go, and every other prompt says
nothing of how they look. Half of the pictures went through JPEG, as people's do.
"""

import io
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.pipelines.wan_tiny.training.checker import report
from engine.pipelines.wan_tiny.training.fit_vae import psnr
from engine.pipelines.wan_tiny.training.judge import judge
from engine.pipelines.wan_tiny.training.model import MAX_SEQUENCE_LENGTH, STEPS
from engine.pipelines.wan_tiny.training.picture_phrases import compose_for_picture
from engine.pipelines.wan_tiny.training.pictures import TESTED_SPREAD, clean
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter
from engine.pipelines.wan_tiny.vocabulary import Scene
from engine.pipelines.wan_tiny.words import OFFERED

Shape = tuple[int, int, int]  # height, width, frames
KEPT = 25.0  # dB between a picture and the frame made of it, from which it counts as kept
FEW = 40  # prompts for each question beside the main one
QUALITY = 85  # of JPEG


@dataclass(frozen=True)
class Examples:
    """Prompts, the scenes whose pictures they are for, and the true clips [N, 3, F, H, W]."""

    prompts: list[str]
    scenes: list[Scene]
    truth: torch.Tensor

    def some(self, rows: list[int]) -> "Examples":
        """Those in rows."""
        prompts, scenes = [self.prompts[i] for i in rows], [self.scenes[i] for i in rows]
        return Examples(prompts, scenes, self.truth[rows])


def examples(count: int, shape: Shape, seed: int, kinds: tuple[str, ...]) -> Examples:
    """Held-out scenes, every fourth with two subjects, and prompts whose kinds take turns."""
    rng = random.Random(seed)
    pairs = [
        compose_for_picture(rng, held=True, two=i % 4 == 3, motions=OFFERED, kind=_turn(i, kinds))
        for i in range(count)
    ]
    scenes = [scene for _, scene in pairs]
    slots = torch.tensor([slots_of(scene) for scene in scenes])
    jitter = draw_jitter(count, torch.Generator().manual_seed(seed))
    return Examples([p for p, _ in pairs], scenes, clean(slots, jitter, shape, TESTED_SPREAD))


def _turn(i: int, kinds: tuple[str, ...]) -> str:
    """Each kind as often with one subject as with two."""
    return kinds[(i + i // 4) % len(kinds)]


def evaluate_pictures(
    pipe: Any, count: int, shape: Shape, seed: int
) -> tuple[dict[str, Any], torch.Tensor]:
    """Figures at one size, and the clips [N, 3, F, H, W].

    contradicted: the prompt describes another picture. with_last: the last frame is given too.
    without_words: the prompt is empty, so that only chance can be right about motions.
    """
    main = examples(count, shape, seed, ("whole", "bare"))
    clips, figures = _made(pipe, main, seed)
    verdicts = judge(clips)
    found: dict[str, Any] = {"held_out": figures}
    for kind in ("whole", "bare"):
        rows = [i for i in range(count) if _turn(i, ("whole", "bare")) == kind]
        found[kind] = report([main.scenes[i] for i in rows], [verdicts[i] for i in rows])
    found["ground_truth"] = report(main.scenes, judge(main.truth))
    found["shuffled"] = report(main.scenes[1:] + main.scenes[:1], verdicts)
    few = min(FEW, count)
    other = examples(few, shape, seed + 1, ("other",))
    found["contradicted"] = _made(pipe, other, seed)[1]
    found["with_last"] = _made(pipe, main.some(list(range(few))), seed, last=True)[1]
    silent = replace(main.some(list(range(few))), prompts=[""] * few)
    found["without_words"] = _made(pipe, silent, seed)[1]
    return found, clips


def _made(
    pipe: Any, asked: Examples, seed: int, *, last: bool = False
) -> tuple[torch.Tensor, dict[str, float]]:
    """The clips, and what the judge and the pictures say of them."""
    firsts = [given(clip[:, 0], jpeg=i % 2 == 1) for i, clip in enumerate(asked.truth)]
    lasts = [given(clip[:, -1], jpeg=False) for clip in asked.truth] if last else None
    made = []
    for i, prompt in enumerate(asked.prompts):
        pictures = {"image": firsts[i]} | ({"last_image": lasts[i]} if lasts else {})
        made.append(clip_of(pipe, prompt, pictures, asked.truth.shape[2], seed + i))
    clips = torch.cat(made)
    figures = report(asked.scenes, judge(clips)) | fidelity("first", firsts, clips[:, :, 0])
    return clips, figures | (fidelity("last", lasts, clips[:, :, -1]) if lasts else {})


def clip_of(
    pipe: Any, prompt: str, pictures: dict[str, torch.Tensor], frames: int, seed: int
) -> torch.Tensor:
    """[1, 3, F, H, W] in [-1, 1] from the pipeline; pictures [1, 3, H, W] from 0 to 1."""
    height, width = pictures["image"].shape[2:]
    out = pipe(
        **pictures,
        prompt=prompt,
        height=height,
        width=width,
        num_frames=frames,
        num_inference_steps=STEPS,
        guidance_scale=1.0,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    ).frames
    return torch.as_tensor(out.transpose(1, 2).float() * 2 - 1)


def given(frame: torch.Tensor, *, jpeg: bool) -> torch.Tensor:
    """A frame [3, H, W] in [-1, 1] as a picture [1, 3, H, W] from 0 to 1, rounded to bytes."""
    pixels = ((frame + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    if jpeg:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
        pixels = np.array(Image.open(file))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def fidelity(name: str, pictures: list[torch.Tensor], frames: torch.Tensor) -> dict[str, float]:
    """How near the frames [N, 3, H, W] in [-1, 1] came to the pictures: mean and worst in dB, and
    the share that counts as kept."""
    pairs = zip(pictures, frames, strict=True)
    near = [psnr(picture * 2 - 1, frame[None]) for picture, frame in pairs]
    return {
        f"{name}_db": round(sum(near) / len(near), 2),
        f"{name}_worst_db": round(min(near), 2),
        f"{name}_kept": round(sum(one >= KEPT for one in near) / len(near), 4),
    }
