"""The network: noise and a window's latents in, the window as it should be out, in one step."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.lightx2v import repairs as of_lightx2v
from engine.pipelines.lightx2v.pinning import PinnedArena, cuda_register
from engine.pipelines.seedvr.files import Weights, check
from engine.pipelines.seedvr.repairs import import_network
from engine.pipelines.weight_files import Shapes

PROMPT = "positive_conditioning"  # [58, 5120]: the one text that it was trained to be given
CHANNELS = 16
NOISY = 1000.0  # the timestep of pure noise, which its one step begins with
# Of the 3B, as LightX2V has it (networks/seedvr/model.py:72): enough to tell another file by.
TOLD_BY: Shapes = {
    PROMPT: (58, 5120),
    "vid_in.proj.weight": (2560, 132),
    "vid_out.proj.weight": (64, 2560),
    "blocks.0.attn.proj_qkv.vid.weight": (7680, 2560),
    "blocks.10.attn.proj_qkv.all.weight": (7680, 2560),
    "blocks.31.attn.proj_qkv.all.weight": (7680, 2560),
}


class Network:
    """LightX2V's ``SeedVRNaDiTModel`` with the weights of ``file``.

    Args:
        offload: "block": the blocks wait in page-locked RAM, two are on the GPU; "resident": all
            are there.
        shape: what differs from the 3B, for tests: LightX2V's own settings.

    Raises:
        PipelineError: ``file`` is another one, or can't be read.
    """

    def __init__(
        self,
        file: Path,
        device: torch.device,
        offload: str,
        shape: Mapping[str, Any] | None = None,
    ) -> None:
        if shape is None:
            check(file, TOLD_BY)
        self._device, self._offloaded = device, offload == "block"
        self._watch: Callable[[], None] = lambda: None
        if self._offloaded or device.type == "cpu":
            self._arena = PinnedArena(cuda_register if device.type == "cuda" else lambda *_: None)
            of_lightx2v.pin_exactly(self._arena)
        place = torch.device("cpu") if self._offloaded else device

        class Lazily(import_network()):  # type: ignore[misc]
            """Its own loader would have the file in RAM twice, and hide what it can't read."""

            def _load_ckpt(self, *_: object) -> Weights:
                return Weights(file, torch.bfloat16, place)

        settings = {
            "cpu_offload": self._offloaded,
            "offload_granularity": "block",
            "seq_parallel": False,
            "model_cls": "seedvr2",
            "fused_qk_rms_norm": device.type == "cuda",
            **(shape or {}),
        }
        self._model = Lazily(str(file), settings, place)
        if self._offloaded or device.type == "cpu":
            self._arena.settle()
        self._model.pre_weight.to_cuda()  # on whatever device LightX2V drives
        self._model.post_weight.to_cuda()
        if not self._offloaded and device.type == "cpu":
            self._model.transformer_weights.to_cuda()
        self._text = Weights(file, torch.bfloat16, device)[PROMPT]
        self.blocks = int(settings["num_layers"])
        self._watched()

    def _watched(self) -> None:
        infer = self._model.transformer_infer
        inner = infer._infer_block

        def infer_block(*given: Any) -> Any:
            self._watch()
            return inner(*given)

        infer._infer_block = infer_block

    def step(
        self, noise: torch.Tensor, latents: torch.Tensor, watch: Callable[[], None]
    ) -> torch.Tensor:
        """One window.

        Args:
            noise, latents: [16, frames, height, width], both even; the VAE's, scaled.
            watch: called before every block; what it raises ends the step.

        Returns:
            As ``latents``, float32 on the CPU.
        """
        self._watch = watch
        manager = getattr(self._model.transformer_infer, "offload_manager", None)
        if manager is not None:  # whatever ended the last one may have left another block there
            manager.need_init_first_buffer = True
        clean = noise.to(self._device, torch.bfloat16)
        known = torch.cat([clean, latents.to(clean), torch.ones_like(clean[:1])])
        shape = torch.tensor([known.shape[1:]], device=self._device)
        words = torch.tensor([[len(self._text)]], device=self._device)
        with torch.inference_mode():
            # v of the straight way from the picture to noise: the picture is noise less v
            # (schedulers/seedvr/utils.py, of one step at T = 1000).
            going = self._model._infer_dit(
                vid=known.permute(1, 2, 3, 0).reshape(-1, len(known)),
                txt=self._text,
                vid_shape=shape,
                txt_shape=words,
                timestep=torch.tensor([NOISY], device=self._device),
            )
        going = going.view(*known.shape[1:], CHANNELS).permute(3, 0, 1, 2)
        # Of the noise that the network saw: bfloat16 has rounded it, by up to 0.4 % of a value.
        made: torch.Tensor = (clean.float() - going.float()).cpu()
        return made
