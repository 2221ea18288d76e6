"""What must hold of RIFE: each pair of frames gets LightX2V's own arithmetic, whatever a file calls
its tensors."""

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from engine.home import PROJECT, Home
from engine.pipelines.lightx2v.standins import stand_in_for
from engine.pipelines.rife.between import Rife
from engine.pipelines.rife.network import IFNET, WARP
from engine.presets import ModelPreset, load_presets
from engine.stages import Frames
from engine.timing import steady, timing_of
from tests.contract.bench import raised
from tests.support.videos import moving

FILE = "frame_interpolation/rife_v4.26.safetensors"
WRAPPER = "lightx2v.models.vfi.rife.rife_comfyui_wrapper"
RATES = (16, 40)  # shares of 0.4, 0.8, 0.2 and 0.6 of the way


def between(folder: Path) -> dict[str, Any]:
    """Frames as LightX2V's wrapper makes them, of a file by any of its names; files that are
    others."""
    preset = load_presets(PROJECT / "presets").models["rife"]
    place = Home.find().weights / preset.id / FILE
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file({"x": torch.zeros(1)}, place)
    lacks = raised(lambda: Rife(preset))  # imports LightX2V, too
    torch.manual_seed(3)
    weights = importlib.import_module(IFNET).IFNet().state_dict()
    clip = moving(4, 96, 144)
    theirs = _theirs(folder / "flownet.pkl", weights, clip)
    found: dict[str, Any] = {"lacks": lacks, "frames": len(theirs), "equal": []}
    for named in (lambda name: name, _comfyui, lambda name: f"module.{name}"):
        save_file({named(name): tensor for name, tensor in weights.items()}, place)
        found["equal"].append(bool(np.array_equal(_ours(preset, clip, len(theirs)), theirs)))
    half = {_comfyui(name): tensor.half() for name, tensor in weights.items()}
    save_file({**half, "teacher.x": torch.zeros(1), "caltime.0.bias": torch.zeros(2)}, place)
    found["near"] = int(np.abs(_ours(preset, clip, len(theirs)).astype(int) - theirs).max())
    found["grids"] = len(importlib.import_module(WARP).backwarp_tenGrid)
    save_file({**half, "encode.cnn0.bias": torch.zeros(4)}, place)
    found["shape"] = raised(lambda: Rife(preset))
    place.write_bytes(b"PK")
    found["damaged"] = raised(lambda: Rife(preset))
    place.unlink()
    found["missing"] = raised(lambda: Rife(preset))
    return found


def _comfyui(name: str) -> str:
    return name.replace("block", "blocks.", 1) if name.startswith("block") else name


def _ours(preset: ModelPreset, clip: Frames, count: int) -> Frames:
    """The first ``count`` frames: the wrapper ends as the last frame begins, a clip as it ends."""
    timing = timing_of(*steady(len(clip), RATES[0]), RATES[1])
    return np.stack([*Rife(preset).frames(clip, timing)][:count])


def _theirs(file: Path, weights: dict[str, torch.Tensor], clip: Frames) -> Frames:
    """The wrapper reads pickled files alone, and names that begin with "module."."""
    torch.save({f"module.{name}": tensor for name, tensor in weights.items()}, file)
    stand_in_for(["torchvision", "torchvision.models"])  # for losses that nobody computes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapper = importlib.import_module(WRAPPER).RIFEWrapper(str(file), torch.device("cpu"))
    pictures = torch.from_numpy(clip).float() / 255
    made = wrapper.interpolate_frames(pictures, *map(float, RATES))
    return np.asarray((made * 255).round().clamp(0, 255).to(torch.uint8).numpy())


CASES: tuple[Callable[[Path], dict[str, Any]], ...] = (between,)
