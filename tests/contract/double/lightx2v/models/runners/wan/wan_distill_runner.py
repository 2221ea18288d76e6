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
from ...networks.wan.model import WanDistillModel
from ...schedulers.wan.step_distill.scheduler import WanStepDistillScheduler
from ...video_encoders.hf.wan.vae import WanVAE


@RUNNER_REGISTER("wan2.1_distill")
class WanDistillRunner:
    """Faults: ``end_run`` isn't called after an exception, ``stop_signal`` sticks, and
    ``gen_video`` is kept until the next one."""

    model: WanDistillModel | None
    text_encoders: list[T5EncoderModel]
    vae_decoder: WanVAE
    inputs: dict[str, Any]

    def __init__(self, config: LockableDict) -> None:
        self.config = config
        self.progress_callback: Callable[[float, int], None] | None = None
        if config["feature_caching"] != "NoCaching":
            raise NotImplementedError(config["feature_caching"])
        self.scheduler = WanStepDistillScheduler(config)

    @property
    def lazy(self) -> bool:
        return bool(self.config.get("lazy_load", False))

    def init_modules(self) -> None:
        if not self.lazy:
            self.model = self.load_transformer()
            self.text_encoders = self.load_text_encoder()
            self.vae_decoder = self.load_vae_decoder()
            self.model.set_scheduler(self.scheduler)
        self.config.lock()

    def load_transformer(self) -> WanDistillModel:
        return WanDistillModel(
            self.config, torch.device("cpu" if self.config["cpu_offload"] else AI_DEVICE)
        )

    def load_text_encoder(self) -> list[T5EncoderModel]:
        return [T5EncoderModel(self.config)]

    def load_vae_decoder(self) -> WanVAE:
        offload = self.config.get("vae_cpu_offload", self.config["cpu_offload"])
        return WanVAE(self.config["vae_path"], offload, self.config.get("use_tiling_vae", False))

    def set_progress_callback(self, callback: Callable[[float, int], None]) -> None:
        self.progress_callback = callback

    def run_pipeline(self, input_info: T2VInputInfo) -> dict[str, Any]:
        self.input_info: T2VInputInfo | None = input_info
        size = input_info.target_shape or [
            self.config["target_height"],
            self.config["target_width"],
        ]
        length = (self.config["target_video_length"] - 1) // 4 + 1
        input_info.latent_shape = [16, length, size[0] // 8, size[1] // 8]
        self.inputs = {"text_encoder_output": self.run_text_encoder(input_info)}
        return self.run_main()

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
            self.model = None
