"""Owns the models and goes through a run."""

from collections.abc import Callable
from typing import Any

import torch
from lightx2v_platform.base.global_var import AI_DEVICE

from ....common.ops.utils import DTYPE
from ....utils.input_info import T2VInputInfo
from ....utils.registry_factory import RUNNER_REGISTER
from ....utils.set_config import LockableDict
from ...input_encoders.hf.wan.t5.model import T5EncoderModel
from ...networks.wan.distill_model import WanDistillModel
from ...schedulers.wan.step_distill.scheduler import (
    Wan22StepDistillScheduler,
    WanStepDistillScheduler,
)
from ...video_encoders.hf.wan.vae import WanVAE


@RUNNER_REGISTER("wan2.1_distill")
class WanDistillRunner:
    """Faults: ``end_run`` isn't called after an exception, ``stop_signal`` sticks, and
    ``gen_video`` is kept until the next one."""

    model: Any
    text_encoders: list[T5EncoderModel]
    vae_decoder: WanVAE
    vae_encoder: WanVAE | None
    inputs: dict[str, Any]

    def __init__(self, config: LockableDict) -> None:
        self.config = config
        self.progress_callback: Callable[[float, int], None] | None = None
        self.input_info: T2VInputInfo | None = None
        if config["feature_caching"] != "NoCaching":
            raise NotImplementedError(config["feature_caching"])
        self.init_device = torch.device("cpu" if config["cpu_offload"] else AI_DEVICE)
        self.init_scheduler()

    def init_scheduler(self) -> None:
        self.scheduler = WanStepDistillScheduler(self.config)

    @property
    def lazy(self) -> bool:
        return bool(self.config.get("lazy_load", False))

    def init_modules(self) -> None:
        if not self.lazy:
            self.model = self.load_transformer()
            self.text_encoders = self.load_text_encoder()
            self.vae_encoder = self.load_vae_encoder()
            self.vae_decoder = self.vae_encoder or self.load_vae_decoder()
            self.model.set_scheduler(self.scheduler)
        of_task = {
            "t2v": self._run_input_encoder_local_t2v,
            "i2v": self._run_input_encoder_local_i2v,
        }
        self.run_input_encoder = of_task[self.config["task"]]
        self.config.lock()

    def load_transformer(self) -> Any:
        return WanDistillModel(
            model_path=self.config["model_path"], config=self.config, device=self.init_device
        )

    def load_text_encoder(self) -> list[T5EncoderModel]:
        return [T5EncoderModel(self.config)]

    def load_vae_encoder(self) -> WanVAE | None:
        return self.load_vae_decoder() if self.config["task"] in ("i2v", "flf2v") else None

    def load_vae_decoder(self) -> WanVAE:
        offload = self.config.get("vae_cpu_offload", self.config["cpu_offload"])
        return WanVAE(self.config["vae_path"], offload, self.config.get("use_tiling_vae", False))

    def set_progress_callback(self, callback: Callable[[float, int], None]) -> None:
        self.progress_callback = callback

    def run_pipeline(self, input_info: T2VInputInfo) -> dict[str, Any]:
        self.input_info = input_info
        self.inputs = self.run_input_encoder()
        return self.run_main()

    def _run_input_encoder_local_t2v(self) -> dict[str, Any]:
        assert self.input_info is not None
        self.input_info.latent_shape = self.get_latent_shape_with_target_hw()
        text = self.run_text_encoder(self.input_info)
        return {"text_encoder_output": text, "image_encoder_output": None}

    def _run_input_encoder_local_i2v(self) -> dict[str, Any]:
        raise FileNotFoundError("upstream reads a picture's file here")

    def get_latent_shape_with_target_hw(self) -> list[int]:
        shape = self.input_info.target_shape if self.input_info else []
        size = shape or [self.config["target_height"], self.config["target_width"]]
        length = (self.config["target_video_length"] - 1) // 4 + 1
        return [16, length, size[0] // 8, size[1] // 8]

    def get_encoder_output_i2v(
        self, clip_encoder_out: Any, vae_encoder_out: Any, text_encoder_output: Any
    ) -> dict[str, Any]:
        picture = {"clip_encoder_out": clip_encoder_out, "vae_encoder_out": vae_encoder_out}
        return {"text_encoder_output": text_encoder_output, "image_encoder_output": picture}

    def get_vae_encoder_output(
        self,
        first_frame: torch.Tensor,
        lat_h: int,
        lat_w: int,
        last_frame: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """A mask of four and the latent of sixteen."""
        if self.lazy:
            self.vae_encoder = self.load_vae_encoder()
        assert self.vae_encoder is not None
        given = torch.zeros(self.config["target_video_length"], lat_h, lat_w, device=AI_DEVICE)
        given[0] = 1
        if last_frame is not None:
            given[-1] = 1
        mask = torch.cat([given[:1].repeat(3, 1, 1), given]).view(-1, 4, lat_h, lat_w)
        size = 8 * lat_h, 8 * lat_w
        video, _ = self._build_vae_encoder_input(first_frame, last_frame, *size, None, None)
        latent = self.vae_encoder.encode(video, world_size_h=None, world_size_w=None)
        if self.lazy:
            del self.vae_encoder
        return torch.cat([mask.transpose(0, 1), latent]).to(DTYPE)

    def _build_vae_encoder_input(
        self,
        first_frame: torch.Tensor,
        last_frame: torch.Tensor | None,
        height: int,
        width: int,
        world_size_h: None,
        world_size_w: None,
    ) -> tuple[torch.Tensor, None]:
        assert self.vae_encoder is not None
        size = 1, 3, self.config["target_video_length"], height, width
        video = torch.zeros(size, dtype=self.vae_encoder.dtype, device=AI_DEVICE)
        video[:, :, 0] = first_frame
        if last_frame is not None:
            video[:, :, -1] = last_frame
        return video, None

    def run_text_encoder(self, input_info: T2VInputInfo) -> dict[str, Any]:
        if self.lazy:
            self.text_encoders = self.load_text_encoder()
        rows = self.text_encoders[0].infer([input_info.prompt])[0]
        context = rows.new_zeros(1, self.config["text_len"], rows.shape[1])
        context[0, : len(rows)] = rows
        if self.lazy:
            del self.text_encoders[0]
        return {"context": context, "context_null": None}

    def run_main(self) -> dict[str, Any]:
        assert self.input_info is not None
        self.gen_video_final = None
        if self.lazy:
            self.model = self.load_transformer()
            self.model.set_scheduler(self.scheduler)
        self.scheduler.prepare(self.input_info.seed, self.input_info.latent_shape)
        self.gen_video = self.run_vae_decoder(self.run_segment())
        self.gen_video_final = self.gen_video
        wanted = self.input_info.return_result_tensor
        self.end_run()
        return {"video": self.gen_video_final if wanted else None}

    def run_segment(self) -> torch.Tensor:
        assert self.model is not None
        steps = self.scheduler.infer_steps
        for step in range(steps):
            self.check_stop()
            self.scheduler.step_pre(step_index=step)
            self.model.infer(self.inputs)
            self.scheduler.step_post()
            if self.progress_callback:
                self.progress_callback((step + 1) / steps * 100, 100)
        return self.scheduler.latents

    def run_vae_decoder(self, latents: torch.Tensor) -> Any:
        return self.vae_decoder.decode(latents.to(DTYPE))

    def check_stop(self) -> None:
        if getattr(self, "stop_signal", False):
            self.end_run()
            raise Exception("stop_signal, stop running, it's an expected behavior")

    def end_run(self) -> None:
        self.scheduler.clear()
        vars(self).pop("inputs", None)
        self.input_info = None
        if self.lazy:
            for model in filter(None, getattr(self.model, "model", (self.model,))):
                if hasattr(model.transformer_infer, "offload_manager"):
                    del model.transformer_infer.offload_manager
            self.model = None


@RUNNER_REGISTER("wan2.2_moe_distill")
class Wan22MoeDistillRunner(WanDistillRunner):
    """Of two transformers, for which upstream has a struct of its own."""

    def init_scheduler(self) -> None:
        self.scheduler = Wan22StepDistillScheduler(self.config)

    def load_transformer(self) -> Any:
        raise NotImplementedError
