"""The network that LightX2V has for RIFE, with the weights of a safetensors file."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional

from engine.errors import first_line
from engine.pipelines.weight_files import check_shapes, wrong
from engine.presets import ModelPreset
from engine.text import Text

IFNET = "lightx2v.models.vfi.rife.train_log.IFNet_HDv3"
WARP = "lightx2v.models.vfi.rife.model.warplayer"
MULTIPLE = 128  # pixels that both sides are filled up to (rife_comfyui_wrapper.py:67)
SCALES = [16, 8, 4, 2, 1]  # from coarse motion to fine, as RIFE_HDv3.py:64
WRAPPED = ("module.", "flownet.")  # what trainers and ComfyUI put before each name
NUMBERED = re.compile(r"blocks\.(\d)\.")  # ComfyUI's for "block0."
TRAINING = ("teacher.", "caltime.")  # of no use once it is trained

Between = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def open_between(file: Path, preset: ModelPreset, device: torch.device) -> Between:
    """What makes the picture so far on the way (0 to 1) from one to another; LightX2V has to be
    imported. Pictures are float32 [1, 3, height, width], 0 to 1, on ``device``.

    Raises:
        PipelineError: ``file`` holds no RIFE 4.26, or can't be read.
    """
    network = importlib.import_module(IFNET).IFNet()
    network.load_state_dict(_weights(file, network.state_dict(), preset))
    network = network.eval().to(device)

    def between(before: torch.Tensor, after: torch.Tensor, share: float) -> torch.Tensor:
        height, width = before.shape[2:]
        fill = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
        pair = torch.cat([functional.pad(one, fill) for one in (before, after)], 1)
        # By itself cuDNN takes a kernel whose sums come in any order: one clip in three differed.
        with torch.inference_mode(), torch.backends.cudnn.flags(True, deterministic=True):
            merged = network(pair, share, SCALES)[2]
        made: torch.Tensor = merged[-1][..., :height, :width]
        return made

    return between


def forget_sizes() -> None:
    """LightX2V keeps a grid for every size that was ever warped."""
    importlib.import_module(WARP).backwarp_tenGrid.clear()


def _weights(file: Path, wanted: dict[str, Any], preset: ModelPreset) -> dict[str, torch.Tensor]:
    """Those of ``file``, by LightX2V's names, as float32."""
    try:
        found = {_own_name(name): tensor.float() for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        why = Text("pipelines.cant_read", why=first_line(error))
        raise wrong(file, why, preset.weights_of) from error
    found = {name: tensor for name, tensor in found.items() if not name.startswith(TRAINING)}
    has, promised = (
        {name: tuple(one.shape) for name, one in each.items()} for each in (found, wanted)
    )
    check_shapes(file, has, promised, preset.weights_of)
    return {name: found[name] for name in wanted}


def _own_name(name: str) -> str:
    for wrapped in WRAPPED:
        name = name.removeprefix(wrapped)
    return NUMBERED.sub(r"block\1.", name)
