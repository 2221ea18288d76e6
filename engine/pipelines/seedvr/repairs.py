"""What LightX2V's SeedVR needs to be mended in, found in commit f8aee98b. Each repair looks whether
what it mends is there, and says so; ``import_network`` does them all."""

import contextlib
import importlib
import importlib.util
import io
import logging
import sys
from types import ModuleType
from typing import Any

import torch

from engine.pipelines.seedvr.attention import within_windows
from engine.pipelines.seedvr.rope import angles, turned

NETWORK = "lightx2v.models.networks.seedvr"
VAE = "lightx2v.models.video_encoders.hf.seedvr"
OPS = f"{NETWORK}.utils.ops"
# What four files of the network import from OPS; commit a9017186 moved it (dit: one GPU needs none
# of it, and gets back what it gave).
MOVED = (
    "slice_inputs",
    "gather_outputs",
    "gather_seq_scatter_heads_qkv",
    "gather_heads_scatter_seq",
)
LAYERS = 2  # of a block's modulation: attention's, and the MLP's

log = logging.getLogger("headroom.seedvr")


def import_network() -> Any:
    """The network's class, ``SeedVRNaDiTModel``; LightX2V has to be imported.

    Raises:
        ImportError: it can't be had.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that flash_attn isn't here
        importlib.import_module(VAE)
        quiet_logging()
        find_moved_functions()
        network = importlib.import_module(NETWORK).SeedVRNaDiTModel
    attend_by_pytorch()
    turn_by_need()
    modulate_without_copies()
    return network


def quiet_logging() -> bool:
    """Four modules of the VAE log to stdout by a handler of their own (common/logger.py:33)."""
    logger = sys.modules.get(f"{VAE}.common.logger")
    handler = getattr(logger, "_default_handler", None)
    if handler is None:
        return False
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for one in known:
        if handler in one.handlers:
            one.removeHandler(handler)
            one.setLevel(logging.WARNING)
    return True


def find_moved_functions() -> bool:
    """``ImportError: cannot import name 'slice_inputs'`` (pre_infer.py:8). Whoever imports OPS
    imports its package first, and with it what fails; so it is put there before."""
    if OPS in sys.modules:
        return False
    spec = importlib.util.find_spec("lightx2v.models.networks")
    places = spec.submodule_search_locations if spec is not None else None
    assert places, "LightX2V is imported"
    file = f"{next(iter(places))}/seedvr/utils/ops.py"
    found = importlib.util.spec_from_file_location(OPS, file)
    if found is None or found.loader is None:
        raise ImportError(name=OPS)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    if all(hasattr(module, name) for name in MOVED):
        return False
    there: ModuleType = importlib.import_module(f"{VAE}.common.distributed.ops")
    for name in MOVED:
        setattr(module, name, getattr(there, name))
    sys.modules[OPS] = module
    return True


def attend_by_pytorch() -> bool:
    """Without flash_attn it calls None at the first block (utils/attention.py:36)."""
    attention: Any = importlib.import_module(f"{NETWORK}.utils.attention")
    if attention.flash_attn_varlen_func is not None:
        return False
    attention.flash_attn_varlen_func = within_windows
    return True


def turn_by_need() -> bool:
    """Each rope makes a table of 1024 × 128 × 128 places, 7.9 GiB of RAM that a cache keeps for
    good, and on a GPU rounds its angles to bfloat16: half a radian at 58 frames (rope.py:129, 156).
    """
    rope = importlib.import_module(f"{NETWORK}.utils.rope").NaMMRotaryEmbedding3d
    if rope.forward is _forward:
        return False
    rope.forward = _forward
    return True


def _forward(
    self: Any,
    vid_q: torch.Tensor,
    vid_k: torch.Tensor,
    vid_shape: torch.Tensor,
    txt_q: torch.Tensor,
    txt_k: torch.Tensor,
    txt_shape: torch.Tensor,
    cache: Any,
) -> tuple[torch.Tensor, ...]:
    def made() -> list[torch.Tensor]:
        found = angles(self.rope.get_axial_freqs, vid_shape, txt_shape)
        return [part.to(vid_q.device, torch.float32) for part in found]

    of_vid, of_txt = cache("mmrope_freqs_3d", made)
    return (
        turned(vid_q, of_vid),
        turned(vid_k, of_vid),
        turned(txt_q, of_txt),
        turned(txt_k, of_txt),
    )


def modulate_without_copies() -> bool:
    """The modulation is repeated for every token, 30 KiB each: 2.6 GiB of a window of 1080p
    (infer/utils.py:54). It is the same for all of them.

    And the last block's text is modulated though nobody trained that: ByteDance's own code leaves
    it alone (models/dit_v2/mmsr_block.py there; transformer_infer.py:215 here).
    """
    block: Any = importlib.import_module(f"{NETWORK}.infer.transformer_infer")
    after: Any = importlib.import_module(f"{NETWORK}.infer.post_infer")
    if block.apply_adaln_single is after.apply_adaln_single is _modulated:
        return False
    inner = block.SeedVRTransformerInfer._infer_block

    def infer_block(self: Any, block_weight: Any, *rest: Any) -> Any:
        _Now.only_video = bool(block_weight.vid_only)
        try:
            return inner(self, block_weight, *rest)
        finally:
            _Now.only_video = False

    block.SeedVRTransformerInfer._infer_block = infer_block
    block.apply_adaln_single = after.apply_adaln_single = _modulated
    return True


class _Now:
    """What the block that is computed is: its modulation isn't told."""

    only_video = False


def _modulated(
    hid: torch.Tensor,
    emb: torch.Tensor,
    layer_idx: int,
    num_layers: int,
    mode: str,
    cache: Any,
    hid_len: Any,
    branch_tag: str,
    shift: torch.Tensor,
    scale: torch.Tensor,
    gate: torch.Tensor,
    inplace: bool = False,
) -> torch.Tensor:
    """After the blocks it is attention's layer of the same two: there LightX2V finds what a block
    left in its cache (post_infer.py:43), as ByteDance's own code does."""
    if _Now.only_video and branch_tag == "txt":
        return hid
    by = emb.view(len(emb), -1, LAYERS, 3)[:, :, layer_idx].unbind(-1)
    hid = hid if inplace else hid.clone()
    return hid.mul_(by[1] + scale).add_(by[0] + shift) if mode == "in" else hid.mul_(by[2] + gate)
