"""The CPU default: Wan's architecture through diffusers, four steps, no guidance."""

import logging
from typing import Any

import diffusers
import torch
import transformers

from engine.home import PROJECT
from engine.pipelines.base import OutOfMemory, PipelineError, Run
from engine.pipelines.ram import RamMeter
from engine.pipelines.wan_tiny.checkpoint import REMEDY, load_pipeline, read_card, takes_picture
from engine.pipelines.wan_tiny.codec import denormalise, normalise, use_flat_convolutions
from engine.plan.choice import Plan
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.stages import Frames
from engine.text import NOTHING, Said, Text

log = logging.getLogger("headroom.wan_tiny")

# torch's own words, and oneDNN's where it is the convolution's workspace that doesn't fit.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "could not create a primitive")


class WanTiny:
    """See the module's docstring. The checkpoint is a folder that ``load_pipeline`` can load.

    A model that begins with a picture runs as diffusers' ``WanImageToVideoPipeline`` does, and
    any other as its ``WanPipeline``.
    """

    def __init__(self, preset: ModelPreset) -> None:
        self.preset = preset
        self.folder = PROJECT / (preset.checkpoint or "")
        self.card: dict[str, Any] = {}
        self.meter = RamMeter()
        self._run: Run | None = None
        self._steps = preset.steps
        self._steps_done = self._blocks_done = self._encoded = self._decoded = 0
        self._latent_frames = 0
        self._velocity: torch.Tensor | None = None

    def load(self, plan: Plan) -> Plan:
        torch.set_num_threads(int(plan["threads"].value))
        diffusers.utils.logging.disable_progress_bar()
        transformers.utils.logging.disable_progress_bar()
        self.card = read_card(self.folder)
        try:
            self._pipe = load_pipeline(self.folder)
        except (OSError, ValueError, RuntimeError) as error:
            why = Text(
                "pipelines.cant_load_checkpoint",
                model=self.preset.name,
                folder=self.folder,
                reason=str(error),
            )
            raise PipelineError(why, REMEDY) from error
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
        self._steps_done = self._blocks_done = self._encoded = self._decoded = 0
        self._latent_frames = (request.frames - 1) // self._pipe.vae_scale_factor_temporal + 1
        try:
            run.stage("encode")
            embeds, _ = self._pipe.encode_prompt(
                request.prompt,
                do_classifier_free_guidance=False,
                max_sequence_length=int(self.card["max_sequence_length"]),
            )
            if self.preset.begins_with_picture:
                # diffusers encodes it within the call below; the first step ends this stage.
                run.stage("picture")
            else:
                run.stage("denoise", self._steps)
            latents = self._pipe(
                **self._pictures(request, run),
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
        pictures = takes_picture(self._pipe.transformer)
        if pictures != self.preset.begins_with_picture:
            which = "takes_picture" if pictures else "takes_no_picture"
            raise PipelineError(Text(f"pipelines.checkpoint_{which}", folder=self.folder), REMEDY)

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
        self._pipe.transformer.register_forward_pre_hook(lambda *_: self._step_begins())
        self._pipe.transformer.register_forward_hook(self._keep_velocity)
        # The causal VAE calls its encoder and its decoder once a latent frame.
        self._pipe.vae.encoder.register_forward_pre_hook(lambda *_: self._chunk_begins())
        self._pipe.vae.decoder.register_forward_pre_hook(lambda *_: self._frame_begins())

    def _check(self) -> None:
        if self._run is not None:
            self._run.check()

    def _block_ended(self) -> None:
        if self._run is not None:
            self._blocks_done += 1
            total = self._steps * len(self._pipe.transformer.blocks)
            self._run.advance(self._blocks_done / total, self._steps_done)

    def _step_begins(self) -> None:
        if self._run is not None and self.preset.begins_with_picture and not self._blocks_done:
            self._run.stage("denoise", self._steps)

    def _keep_velocity(self, _module: object, _args: object, output: Any) -> None:
        self._velocity = output[0]

    def _chunk_begins(self) -> None:
        if self._run is not None:
            self._run.check()
            self._run.advance(self._encoded / self._latent_frames)
            self._encoded += 1

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

    def _pictures(self, request: ClipRequest, run: Run) -> dict[str, torch.Tensor]:
        """What diffusers' pipeline is given beside the words: each [1, 3, height, width], 0 to 1.

        Of one frame the first picture is the last one as well, so no other has a place in it.
        """
        if not self.preset.begins_with_picture:
            return {}
        first, last = run.pictures.first, run.pictures.last
        if first is None:
            raise ValueError("a model that begins with a picture got none")
        given = {"image": _from_bytes(first)}
        if last is not None and request.frames > 1:
            given["last_image"] = _from_bytes(last)
        return given

    def _rough(self, latents: torch.Tensor) -> Frames:
        """Latents [1, channels, frames, h, w] as colours, one pixel a latent: nearly free."""
        weights, bias = self._colours
        rgb = torch.einsum("cfhw,cr->fhwr", latents[0], weights) + bias
        return _to_bytes(rgb)

    def _decode(self, latents: torch.Tensor) -> Frames:
        vae = self._pipe.vae
        video = vae.decode(denormalise(vae, latents), return_dict=False)[0]
        return _to_bytes(video[0].permute(1, 2, 3, 0))


def _from_bytes(picture: Frames) -> torch.Tensor:
    """uint8 [height, width, 3] -> [1, 3, height, width] from 0 to 1."""
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


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
