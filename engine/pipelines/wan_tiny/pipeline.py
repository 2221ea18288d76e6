"""The CPU default: Wan 2.1's architecture through diffusers, four steps, no guidance."""

import json
import logging
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import WanPipeline

from engine.home import PROJECT
from engine.pipelines.base import OutOfMemory, PipelineError, Run
from engine.pipelines.ram import RamMeter
from engine.pipelines.wan_tiny.codec import denormalise, normalise, use_flat_convolutions
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames
from engine.text import NOTHING, Said, Text, listed

log = logging.getLogger("headroom.wan_tiny")

REMEDY = Text("pipelines.restore_folder")
# torch's own words, and oneDNN's where it is the convolution's workspace that doesn't fit.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "could not create a primitive")


class WanTiny:
    """See the module's docstring. The checkpoint is a folder that ``WanPipeline`` can load."""

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self.folder = PROJECT / (preset.checkpoint or "")
        self.card: dict[str, Any] = {}
        self.meter = RamMeter()
        self._run: Run | None = None
        self._steps = preset.steps
        self._steps_done = self._blocks_done = self._decoded = 0
        self._velocity: torch.Tensor | None = None

    def load(self, plan: Plan) -> Plan:
        torch.set_num_threads(int(plan["threads"].value))
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        self.card = _read_card(self.folder)
        try:
            self._pipe = WanPipeline.from_pretrained(
                self.folder, dtype=torch.float32, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            why = Text(
                "pipelines.cant_load_checkpoint",
                model=self.preset.name,
                folder=self.folder,
                reason=str(error),
            )
            raise PipelineError(why, REMEDY) from error
        self._pipe.set_progress_bar_config(disable=True)
        self._prove()
        use_flat_convolutions(self._pipe.vae)
        self._hook()
        self._colours = _latent_colours(self._pipe)
        return plan

    @torch.no_grad()
    def generate(
        self, request: ClipRequest, seed: int, run: Run, steps: int | None = None
    ) -> Frames:
        self._run = run
        self._steps = steps or self.preset.steps
        self._steps_done = self._blocks_done = self._decoded = 0
        try:
            run.stage("encode")
            embeds, _ = self._pipe.encode_prompt(
                request.prompt,
                do_classifier_free_guidance=False,
                max_sequence_length=int(self.card["max_sequence_length"]),
            )
            run.stage("denoise", self._steps)
            latents = self._pipe(
                prompt_embeds=embeds,
                height=request.height,
                width=request.width,
                num_frames=request.frames,
                num_inference_steps=self._steps,
                guidance_scale=self.preset.guidance,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="latent",
                callback_on_step_end=self._step_ended,
            ).frames
            run.stage("decode")
            self._latent_frames = latents.shape[2]
            return self._decode(latents)
        except RuntimeError as error:
            # torch has no type of its own for a failed allocation on a CPU.
            if not any(sign in str(error) for sign in OUT_OF_MEMORY):
                raise
            raise OutOfMemory(
                Text("pipelines.full_ram", more=NOTHING), Text("pipelines.choose_smaller")
            ) from error
        finally:
            self._run = self._velocity = None

    def describe(self) -> dict[str, Said]:
        return {
            "label": str(self.card["label"]),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        }

    # ---- proof and hooks -------------------------------------------------------------------

    def _prove(self) -> None:
        """What was loaded is what the preset says; a mismatch must never make a quiet bad clip."""
        shift = float(self._pipe.scheduler.config.shift)
        if shift != self.preset.shift:
            why = Text("pipelines.other_shift", found=shift, wanted=self.preset.shift)
            raise PipelineError(why, REMEDY)

    def _hook(self) -> None:
        """Progress and cancel between blocks, without a line of diffusers changed.

        An exception is the one way to end a run at once: ``pipe._interrupt`` would skip the steps
        that are left but still decode the half-made clip.
        """
        for part in (self._pipe.text_encoder.encoder.block, self._pipe.transformer.blocks):
            for block in part:
                block.register_forward_pre_hook(lambda *_: self._check())
        for block in self._pipe.transformer.blocks:
            block.register_forward_hook(lambda *_: self._block_ended())
        self._pipe.transformer.register_forward_hook(self._keep_velocity)
        # The causal VAE calls its decoder once a latent frame.
        self._pipe.vae.decoder.register_forward_pre_hook(lambda *_: self._frame_begins())

    def _check(self) -> None:
        if self._run is not None:
            self._run.check()

    def _block_ended(self) -> None:
        if self._run is not None:
            self._blocks_done += 1
            total = self._steps * len(self._pipe.transformer.blocks)
            self._run.advance(self._blocks_done / total, self._steps_done)

    def _keep_velocity(self, _module: object, _args: object, output: Any) -> None:
        self._velocity = output[0]

    def _frame_begins(self) -> None:
        if self._run is not None:
            self._run.check()
            self._run.advance(self._decoded / self._latent_frames)
            self._decoded += 1

    def _step_ended(
        self, pipe: Any, step: int, _timestep: object, values: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        run, velocity = self._run, self._velocity
        if run is not None and velocity is not None:
            self._steps_done = step + 1
            run.advance(self._steps_done / self._steps, self._steps_done)
            # Flow matching: x_sigma = x0 + sigma * velocity, so this is where the clip is going.
            clean = values["latents"] - pipe.scheduler.sigmas[step + 1] * velocity
            run.preview(self._rough(clean))
        return values

    # ---- pictures --------------------------------------------------------------------------

    def _rough(self, latents: torch.Tensor) -> Frames:
        """Latents [1, channels, frames, h, w] as colours, one pixel a latent: nearly free."""
        weights, bias = self._colours
        rgb = torch.einsum("cfhw,cr->fhwr", latents[0], weights) + bias
        return _to_bytes(rgb)

    def _decode(self, latents: torch.Tensor) -> Frames:
        vae = self._pipe.vae
        video = vae.decode(denormalise(vae, latents), return_dict=False)[0]
        return _to_bytes(video[0].permute(1, 2, 3, 0))


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / "wan_tiny.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        damaged = Text("pipelines.checkpoint_damaged", folder=folder)
        raise PipelineError(damaged, REMEDY) from error
    missing = {"label", "trained", "max_sequence_length"} - set(card)
    if missing:
        file = folder / "wan_tiny.json"
        lacks = Text("pipelines.card_lacks", file=file, missing=listed(*sorted(missing)))
        raise PipelineError(lacks, REMEDY)
    return dict(card)


def _to_bytes(video: torch.Tensor) -> Frames:
    """-1 to 1 in any float type -> 0 to 255, rounded."""
    return ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).contiguous().numpy()


@torch.no_grad()
def _latent_colours(pipe: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A linear map from a normalised latent to the colour of the pixels under it.

    Fitted by least squares on what the VAE itself makes of 64 one-frame pictures of random
    colours, so that it fits whatever VAE the checkpoint has.

    Returns:
        weights [channels, 3] and bias [3], for colours from -1 to 1.
    """
    vae, cell = pipe.vae, pipe.vae_scale_factor_spatial
    random = torch.Generator("cpu").manual_seed(0)
    colours = torch.rand(64, 3, 1, 2, 2, generator=random) * 2 - 1
    pictures = colours.repeat_interleave(cell, 3).repeat_interleave(cell, 4)
    raw = vae.encode(pictures).latent_dist.mode()
    shown = vae.decode(raw, return_dict=False)[0]
    pooled = torch.nn.functional.avg_pool2d(shown[:, :, 0], cell)
    latents = normalise(vae, raw)
    inputs = latents[:, :, 0].permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
    targets = pooled.permute(0, 2, 3, 1).reshape(-1, 3)
    solution = torch.linalg.lstsq(inputs, targets).solution
    return solution[:-1], solution[-1]
