"""The clip's own colours for larger pictures of it."""

import torch
from torch.nn import functional

BROAD = 32  # pixels: what is broader than that has the clip's own colour and light


def as_in(made: torch.Tensor, clip: torch.Tensor) -> torch.Tensor:
    """``made`` with what is broad in it as in ``clip``, both float [frames, 3, height, width].

    The network was trained to make detail; where it shifts a whole wall's colour, tile by tile, it
    is wrong. ByteDance's own way is a wavelet's low bands; a plain average does as well.
    """
    return made + _broad(clip - made)


def _broad(pictures: torch.Tensor) -> torch.Tensor:
    high, wide = pictures.shape[-2:]
    small = max(1, round(high / BROAD)), max(1, round(wide / BROAD))
    means = functional.adaptive_avg_pool2d(pictures, small)
    return functional.interpolate(means, (high, wide), mode="bicubic", align_corners=False)
