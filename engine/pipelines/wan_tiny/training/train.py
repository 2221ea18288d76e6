"""Trains wan-tiny.

``python -m engine.pipelines.wan_tiny.training.train --stage all --minutes 20 --out FOLDER``.
Each stage keeps a checkpoint and a CSV curve in FOLDER; the pipeline goes to FOLDER/wan-tiny.
With ``--stage flow --start FOLDER_OF_WAN_TINY --pictures`` its transformer learns to begin with a
picture, and goes to FOLDER/wan-tiny-i2v alone: it shares the other parts.
"""

import argparse
import logging
import sys
from pathlib import Path

import torch

from engine.pipelines.wan_tiny.checkpoint import takes_picture
from engine.pipelines.wan_tiny.training.conditioning import widen
from engine.pipelines.wan_tiny.training.fit_flow import fit_flow
from engine.pipelines.wan_tiny.training.fit_text import fit_text
from engine.pipelines.wan_tiny.training.fit_vae import fit_vae
from engine.pipelines.wan_tiny.training.model import (
    Parts,
    build_untrained,
    load,
    save,
    save_transformer,
    write_label,
)
from engine.pipelines.wan_tiny.training.run import load_state, pick_device, save_state

STAGES = ("vae", "text", "flow")
# What each stage gets of --minutes when all of them run.
SHARES = {"vae": 0.27, "text": 0.11, "flow": 0.62}
log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(argv)
    if options.pictures and (options.stage != "flow" or options.start is None):
        _parser().error("--pictures needs --stage flow and --start")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    device = pick_device()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    parts = load(options.start) if options.start else build_untrained(seed=options.seed)
    if options.pictures and not takes_picture(parts.transformer):
        widen(parts.transformer)
    parts.to(device)
    stages = STAGES if options.stage == "all" else (options.stage,)
    for stage in STAGES:
        if stage in stages:
            share = SHARES[stage] if options.stage == "all" else 1.0
            run_stage(stage, parts, options, options.minutes * share, device)
        else:
            restore(stage, parts, options.out, device)
    parts.to("cpu")
    if options.pictures:
        folder = options.out / "wan-tiny-i2v"
        save_transformer(parts, folder, options.start)
        label = "Trained on pictures of coloured shapes that begin to move."
        write_label(folder, trained=True, label=label, parts="../wan-tiny")
        return 0
    folder = options.out / "wan-tiny"
    save(parts, folder)
    done = all((options.out / f"{stage}.pt").exists() for stage in STAGES)
    label = "Trained on clips of coloured moving shapes." if done else "Partly trained."
    write_label(folder, trained=done, label=label)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=(*STAGES, "all"), default="all")
    parser.add_argument("--minutes", type=float, default=20.0, help="wall time for the training")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints and curves")
    parser.add_argument("--resume", action="store_true", help="go on from the stage's checkpoint")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="batch and bank sizes, 1 = 24 GB")
    parser.add_argument("--start", type=Path, help="a finished folder to go on from")
    parser.add_argument(
        "--pictures", action="store_true", help="stage flow: with --start, learn to take a picture"
    )
    parser.add_argument("--begun", type=float, help="stage flow: where in its plan to begin, 0-1")
    parser.add_argument(
        "--decoder-only", action="store_true", help="stage vae: keep the latents as they are"
    )
    return parser


def run_stage(
    stage: str, parts: Parts, options: argparse.Namespace, minutes: float, device: torch.device
) -> None:
    """Train one stage in place and keep what the next ones need."""
    seed, out, resume = options.seed, options.out, options.resume
    if stage == "text":
        fit_text(parts, out, minutes=minutes, seed=seed, device=device, resume=resume)
    elif stage == "vae":
        if resume:
            restore("vae", parts, out, device)
        fit_vae(
            parts,
            out,
            minutes=minutes,
            seed=seed,
            device=device,
            resume=resume,
            scale=options.scale,
            decoder_only=options.decoder_only,
        )
        keep_vae(parts, out)
    else:
        fit_flow(
            parts,
            out,
            minutes=minutes,
            seed=seed,
            device=device,
            resume=resume,
            scale=options.scale,
            begun=options.begun,
        )


def keep_vae(parts: Parts, out: Path) -> None:
    """Keep the VAE with the measured scale of its latents."""
    config = parts.vae.config
    save_state(
        out / "vae_scaled.pt",
        weights=parts.vae.state_dict(),
        mean=list(config.latents_mean),
        std=list(config.latents_std),
    )


def restore(stage: str, parts: Parts, out: Path, device: torch.device) -> None:
    """Load an earlier stage's result, if there is one."""
    if stage == "vae":
        state = load_state(out / "vae_scaled.pt", device)
        if state:
            parts.vae.load_state_dict(state["weights"])
            parts.vae.register_to_config(latents_mean=state["mean"], latents_std=state["std"])
        return
    state = load_state(out / f"{stage}.pt", device)
    if state:
        network = parts.text_encoder if stage == "text" else parts.transformer
        network.load_state_dict(state["encoder" if stage == "text" else "weights"])


if __name__ == "__main__":
    raise SystemExit(main())
