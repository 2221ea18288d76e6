"""Stage "vae": trains the causal video VAE on rendered clips, whole clips at a time."""

import logging
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.pipelines.wan_tiny.codec import decode_all, encode_moments
from engine.pipelines.wan_tiny.training.model import Parts
from engine.pipelines.wan_tiny.training.phrases import draw_scene
from engine.pipelines.wan_tiny.training.run import Average, Clock, Log, load_state, save_state
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.training.world import draw_jitter, render
from engine.pipelines.wan_tiny.vocabulary import held_out

log = logging.getLogger(__name__)
# Height, width, frames, batch: the last ones are rarer (every 4th step goes through them in turn).
MAIN = (64, 64, 17, 32)
OTHERS = ((128, 128, 9, 16), (64, 112, 17, 20), (128, 128, 17, 8), (192, 192, 9, 6))
KL_WEIGHT = 2e-5
PEAK_RATE = 1.5e-3
SAVE_EVERY = 60.0


def training_scenes(seed: int, count: int) -> torch.Tensor:
    """Slots [count, 11] of scenes that aren't held out."""
    rng = random.Random(seed)
    rows: list[list[int]] = []
    while len(rows) < count:
        scene = draw_scene(rng, two=rng.random() < 0.3)
        if not held_out(scene):
            rows.append(slots_of(scene))
    return torch.tensor(rows)


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal to noise in dB of clips in [-1, 1], the mean over clips."""
    error = ((a.float() - b.float()) ** 2).flatten(1).mean(1).clamp(min=1e-10)
    return float((10 * torch.log10(4.0 / error)).mean())


def fit_vae(
    parts: Parts,
    folder: Path,
    *,
    minutes: float,
    seed: int,
    device: torch.device,
    resume: bool = False,
    scale: float = 1.0,
    decoder_only: bool = False,
) -> float:
    """Train parts.vae in place (averaged weights at the end); returns its PSNR on fresh scenes.

    scale: multiplies the batch sizes (for a small machine). decoder_only: leave the encoder and
    the latents' scale as they are, so that a transformer trained on those latents stays right.
    """
    torch.manual_seed(seed)
    vae = parts.vae.to(device).train()
    state = load_state(folder / "vae.pt", device) if resume else {}
    if state:
        vae.load_state_dict(state["weights"])
    vae.encoder.requires_grad_(not decoder_only)
    vae.quant_conv.requires_grad_(not decoder_only)
    learning = [weight for weight in vae.parameters() if weight.requires_grad]
    average = Average(vae)
    optimizer = torch.optim.AdamW(learning, lr=PEAK_RATE, betas=(0.9, 0.99))
    scenes = training_scenes(seed, 20_000).to(device)
    generator = torch.Generator(device).manual_seed(seed + state.get("step", 0))
    clock, curve = Clock(minutes), Log(folder / "vae.csv")
    saved = 0.0
    for step in clock.steps(state.get("step", 0)):
        for group in optimizer.param_groups:
            group["lr"] = clock.rate(PEAK_RATE, step)
        clips = _batch(scenes, step, generator, scale)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss, recon = _loss(vae, clips, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        average.update()
        if step % 100 == 0:
            now = clock.seconds
            values = {"loss": loss.item(), "psnr": psnr(clips, recon), "norm": float(norm)}
            log.info("vae step %d %.0f s %s", step, now, values)
            curve.row(step=step, seconds=now, **values)
            if now - saved > SAVE_EVERY:
                saved = now
                _keep(vae, average, folder, step)
    _keep(vae, average, folder, step)
    average.swap()
    vae.eval()
    if not decoder_only:
        set_latent_scale(vae, scenes, generator, scale)
    quality = check(vae, seed + 77, device, scale)
    curve.row(step=step, seconds=clock.seconds, loss=0.0, psnr=quality, norm=0.0)
    log.info("vae: %.2f dB on fresh scenes", quality)
    return quality


def _keep(vae: Any, average: Average, folder: Path, step: int) -> None:
    average.swap()
    save_state(folder / "vae.pt", weights=vae.state_dict(), step=step + 1)
    average.swap()


def _batch(
    scenes: torch.Tensor, step: int, generator: torch.Generator, scale: float
) -> torch.Tensor:
    shape = MAIN if step % 4 else OTHERS[(step // 4) % len(OTHERS)]
    height, width, frames, batch = shape
    batch = max(1, int(batch * scale))
    rows = torch.randint(len(scenes), (batch,), generator=generator, device=scenes.device)
    return render(scenes[rows], draw_jitter(batch, generator), frames, height, width)


def _loss(
    vae: Any, clips: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    mean, log_variance = encode_moments(vae, clips)
    mean, log_variance = mean.float(), log_variance.float()
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    recon = decode_all(vae, mean + torch.exp(0.5 * log_variance) * noise).float()
    error = recon - clips
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    # The squared error alone leaves soft edges, the absolute one alone learns colours slowly.
    return error.abs().mean() + 6 * (error**2).mean() + KL_WEIGHT * kl, recon.detach()


@torch.no_grad()
def set_latent_scale(
    vae: Any, scenes: torch.Tensor, generator: torch.Generator, scale: float
) -> None:
    """Measure each latent channel's mean and deviation and write them into the VAE's config."""
    means = []
    for step in range(1, 41):
        mean, _ = encode_moments(vae, _batch(scenes, step, generator, scale))
        means.append(mean.transpose(0, 1).flatten(1))
    values = torch.cat(means, dim=1)
    std = values.std(1)
    vae.register_to_config(
        latents_mean=[round(v, 5) for v in values.mean(1).tolist()],
        latents_std=[round(v, 5) for v in std.clamp(min=0.1 * float(std.max())).tolist()],
    )


@torch.no_grad()
def check(vae: Any, seed: int, device: torch.device, scale: float = 1.0) -> float:
    """PSNR in dB at 64x64x17 on scenes drawn from seed."""
    count = max(2, int(64 * scale))
    scenes = training_scenes(seed, count).to(device)
    generator = torch.Generator(device).manual_seed(seed)
    clips = render(scenes, draw_jitter(count, generator), 17, 64, 64)
    mean, _ = encode_moments(vae, clips)
    return psnr(clips, decode_all(vae, mean).clamp(-1, 1))
