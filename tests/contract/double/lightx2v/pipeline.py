"""LightX2V's front door."""

import json
from pathlib import Path
from typing import Any

import torch

from .models.runners.wan import wan_distill_runner  # noqa: F401
from .utils.input_info import T2VInputInfo
from .utils.registry_factory import RUNNER_REGISTER
from .utils.set_config import set_config


class LightX2VPipeline:
    """Holds the settings as attributes, and the runner."""

    def __init__(self, task: str = "", model_path: str = "", model_cls: str = "") -> None:
        self.task, self.model_path, self.model_cls = task, model_path, model_cls

    def create_generator(self, config_json: str) -> None:
        vars(self).update(json.loads(Path(config_json).read_text(encoding="utf-8")))
        self.runner = self._init_runner(set_config(self))

    def _init_runner(self, config: dict[str, Any]) -> Any:
        torch.set_grad_enabled(False)
        runner = RUNNER_REGISTER[config["model_cls"]](config)
        runner.init_modules()
        return runner

    @torch.no_grad()
    def generate(
        self,
        seed: int = 42,
        prompt: str = "",
        negative_prompt: str = "",
        save_result_path: str | None = "lightx2v_gen_result.png",
        task: str | None = None,
        target_shape: list[int] | None = None,
        return_result_tensor: bool = False,
    ) -> Any:
        if task is not None:
            self.task = task
            self.modify_config({"task": task})
        shape, told = target_shape or [], return_result_tensor
        return self.runner.run_pipeline(
            T2VInputInfo(
                seed,
                prompt,
                negative_prompt,
                save_result_path,
                target_shape=shape,
                return_result_tensor=told,
            )
        )

    def modify_config(self, config_modify: dict[str, Any]) -> None:
        with self.runner.config.temporarily_unlocked():
            self.runner.config.update(config_modify)
