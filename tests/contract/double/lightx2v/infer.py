"""LightX2V's own command: ``python -m lightx2v.infer``."""

import argparse

import torch

from .models.runners.wan import wan_distill_runner  # noqa: F401
from .utils.input_info import T2VInputInfo
from .utils.registry_factory import RUNNER_REGISTER
from .utils.set_config import set_config


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model_cls", "model_path", "config_json"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--task", choices=["t2v"], default="t2v")
    parser.add_argument("--seed", type=int, default=42)
    for name in ("prompt", "negative_prompt"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--save_result_path")
    parser.add_argument("--return_result_tensor", action="store_true")
    parser.add_argument("--target_shape", type=int, nargs="+", default=[])
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    config = set_config(args)
    runner = RUNNER_REGISTER[config["model_cls"]](config)
    runner.init_modules()
    runner.run_pipeline(
        T2VInputInfo(
            args.seed,
            args.prompt,
            args.negative_prompt,
            args.save_result_path,
            target_shape=args.target_shape,
            return_result_tensor=args.return_result_tensor,
        )
    )


if __name__ == "__main__":
    main()
