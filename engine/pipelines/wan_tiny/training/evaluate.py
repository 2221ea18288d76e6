"""Judges a wan-tiny folder from pixels.

``python -m engine.pipelines.wan_tiny.training.evaluate FOLDER [--json]`` prints what it found.

200 held-out prompts through the real pipeline, and the judge's own trustworthiness beside them:
what it says of true renderings (should be all right) and of shuffled prompts (should be chance).
Of a folder whose transformer takes a picture, 200 held-out prompts and pictures.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.pipelines.wan_tiny.checkpoint import load_pipeline, takes_picture
from engine.pipelines.wan_tiny.codec import decode_all, encode_moments, use_flat_convolutions
from engine.pipelines.wan_tiny.training.checker import report
from engine.pipelines.wan_tiny.training.evaluate_pictures import clip_of, evaluate_pictures, given
from engine.pipelines.wan_tiny.training.fit_vae import psnr
from engine.pipelines.wan_tiny.training.judge import Judgement, judge
from engine.pipelines.wan_tiny.training.model import MAX_SEQUENCE_LENGTH, STEPS
from engine.pipelines.wan_tiny.training.phrases import compose
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter, render
from engine.pipelines.wan_tiny.vocabulary import Scene
from engine.pipelines.wan_tiny.words import MOTIONS, OFFERED

Shape = tuple[int, int, int]  # height, width, frames


def main(argv: list[str] | None = None) -> int:
    """The command line; writes contact_sheet.png and evaluation.json into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument(
        "--size",
        type=int,
        nargs=3,
        action="append",
        metavar=("H", "W", "F"),
        help="may be given several times; the default is 64 64 17; the last makes the sheet",
    )
    parser.add_argument(
        "--all-motions", action="store_true", help="also those taught but not offered"
    )
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--json", action="store_true", help="print the figures on one line")
    parser.add_argument("--no-files", action="store_true", help="write nothing into the folder")
    options = parser.parse_args(argv)
    pipe = load_pipeline(options.folder)
    use_flat_convolutions(pipe.vae)
    motions = MOTIONS if options.all_motions else OFFERED
    count, seed = options.prompts, options.seed
    pairs = held_out_prompts(count, seed, motions)
    figures: dict[str, Any] = {"prompts": count, "steps": STEPS}
    for height, width, frames in options.size or [(64, 64, 17)]:
        shape = (height, width, frames)
        if takes_picture(pipe.transformer):
            figures[named(shape)], clips = evaluate_pictures(pipe, count, shape, seed)
        else:
            figures[named(shape)], clips = evaluate(pipe, pairs, shape, seed)
    figures |= part_figures(pipe)
    if not options.no_files:
        text = json.dumps(figures, indent=2) + "\n"
        (options.folder / "evaluation.json").write_text(text, encoding="utf-8")
        sheet = contact_sheet(clips, 16).quantize(160)  # a tenth of the bytes, no visible loss
        sheet.save(options.folder / "contact_sheet.png", optimize=True)
    sys.stdout.write(json.dumps(figures, indent=None if options.json else 2) + "\n")
    return 0


def named(shape: Shape) -> str:
    """64x64x17."""
    return "x".join(str(n) for n in shape)


def held_out_prompts(
    count: int, seed: int, motions: tuple[str, ...] = OFFERED
) -> list[tuple[str, Scene]]:
    """count prompts that were never trained on; every fourth has two subjects."""
    rng = random.Random(seed)
    return [compose(rng, held=True, two=i % 4 == 3, motions=motions) for i in range(count)]


def evaluate(
    pipe: Any, pairs: list[tuple[str, Scene]], shape: Shape, seed: int
) -> tuple[dict[str, Any], torch.Tensor]:
    """Figures at one size, and the first clips [N, 3, F, H, W]."""
    scenes = [scene for _, scene in pairs]
    verdicts: list[Judgement] = []
    kept: list[torch.Tensor] = []
    for clips in generate(pipe, [prompt for prompt, _ in pairs], shape, seed):
        verdicts += judge(clips)
        if len(kept) < 3:
            kept.append(clips)
    figures = {
        "held_out": report(scenes, verdicts),
        "ground_truth": report(scenes, judge(_truth(scenes, shape, seed))),
        "shuffled": report(scenes[1:] + scenes[:1], verdicts),
    }
    return figures, torch.cat(kept)


def part_figures(pipe: Any) -> dict[str, Any]:
    """The VAE's fidelity and the whole pipeline's speed, at both usual sizes."""
    small, usual = (64, 64, 17), (128, 128, 17)
    return {
        "vae_psnr_db": {
            named(small): round(vae_psnr(pipe.vae, small, 48), 2),
            named(usual): round(vae_psnr(pipe.vae, usual, 16), 2),
        },
        "seconds_per_warm_clip": {
            named(small): seconds(pipe, small),
            named(usual): seconds(pipe, usual),
        },
        "threads": torch.get_num_threads(),
    }


def generate(
    pipe: Any, prompts: list[str], shape: Shape, seed: int, batch: int = 8
) -> Iterator[torch.Tensor]:
    """Clips [n, 3, F, H, W] in [-1, 1] from the pipeline; every clip has its own seed."""
    height, width, frames = shape
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        seeds = [torch.Generator().manual_seed(seed + start + i) for i in range(len(some))]
        out = pipe(
            prompt=some,
            height=height,
            width=width,
            num_frames=frames,
            num_inference_steps=STEPS,
            guidance_scale=1.0,
            max_sequence_length=MAX_SEQUENCE_LENGTH,
            generator=seeds,
            output_type="pt",
        ).frames
        yield out.transpose(1, 2).float() * 2 - 1


def _truth(scenes: list[Scene], shape: Shape, seed: int) -> torch.Tensor:
    height, width, frames = shape
    slots = torch.tensor([slots_of(scene) for scene in scenes])
    jitter = draw_jitter(len(scenes), torch.Generator().manual_seed(seed))
    return render(slots, jitter, frames, height, width)


@torch.no_grad()
def vae_psnr(vae: Any, shape: Shape, count: int) -> float:
    """What is left of held-out renderings after encoding and decoding, in dB."""
    scenes = [scene for _, scene in held_out_prompts(count, 7)]
    clips = _truth(scenes, shape, 7)
    whole = [
        psnr(clip[None], decode_all(vae, encode_moments(vae, clip[None])[0]).clamp(-1, 1))
        for clip in clips
    ]
    return sum(whole) / len(whole)


def seconds(pipe: Any, shape: Shape, runs: int = 3) -> float:
    """The median wall time of one warm clip, prompt to pixels."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        if takes_picture(pipe.transformer):
            grey = given(torch.zeros(3, *shape[:2]), jpeg=False)
            clip_of(pipe, "it moves left", {"image": grey}, shape[2], 1)
        else:
            list(generate(pipe, ["a red ball rolls left over green grass"], shape, 1))
        times.append(time.perf_counter() - start)
    return round(sorted(times[1:])[runs // 2], 3)


def contact_sheet(clips: torch.Tensor, rows: int, looks: int = 6) -> Image.Image:
    """A picture with one clip per row, looks frames of each, first to last."""
    frames = clips.shape[2]
    picked = [round(i * (frames - 1) / (looks - 1)) for i in range(looks)]
    some = (clips[:rows, :, picked] + 1) * 127.5
    count, _, _, height, width = some.shape
    pixels = some.round().byte().permute(0, 3, 2, 4, 1)
    gap = np.full((count * (height + 2), looks * (width + 2), 3), 255, dtype=np.uint8)
    for i in range(count):
        for j in range(looks):
            top, left = i * (height + 2), j * (width + 2)
            gap[top : top + height, left : left + width] = pixels[i, :, j].numpy()
    return Image.fromarray(gap)


if __name__ == "__main__":
    raise SystemExit(main())
