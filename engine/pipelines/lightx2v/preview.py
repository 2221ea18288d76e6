"""A rough look at a Wan latent without the VAE: one small matrix from 16 channels to RGB."""

import numpy as np
import torch

from engine.stages import Frames

FRAMES = 5  # spread over the clip's length

# A least-squares fit of Wan 2.1's latents to pictures, as published in ComfyUI's
# latent_formats.py (Wan21); rows are channels, columns red, green, blue.
_RGB = (
    (-0.1299, -0.1692, 0.2932),
    (0.0671, 0.0406, 0.0442),
    (0.3568, 0.2548, 0.1747),
    (0.0372, 0.2344, 0.1420),
    (0.0313, 0.0189, -0.0328),
    (0.0296, -0.0956, -0.0665),
    (-0.3477, -0.4059, -0.2925),
    (0.0166, 0.1902, 0.1975),
    (-0.0412, 0.0267, -0.1364),
    (-0.1293, 0.0740, 0.1636),
    (0.0680, 0.3019, 0.1128),
    (0.0032, 0.0581, 0.0639),
    (-0.1251, 0.0927, 0.1699),
    (0.0060, -0.0633, 0.0005),
    (0.3477, 0.2275, 0.2950),
    (0.1984, 0.0913, 0.1861),
)
_BIAS = (-0.1835, -0.0868, -0.3360)


def rough_frames(latents: torch.Tensor) -> Frames:
    """A few small pictures of ``latents``.

    Args:
        latents: [16, latent frames, height / 8, width / 8], normalised as the sampler has them.

    Returns:
        uint8 [at most FRAMES, height / 8, width / 8, 3].
    """
    count = latents.shape[1]
    picked = torch.linspace(0, count - 1, min(FRAMES, count)).round().long()
    chosen = latents[:, picked.to(latents.device)].float()
    colours = torch.tensor(_RGB, device=latents.device)
    bias = torch.tensor(_BIAS, device=latents.device)
    pictures = torch.einsum("cfhw,cr->fhwr", chosen, colours) + bias
    pixels: Frames = ((pictures + 1) * 127.5).clamp(0, 255).byte().cpu().numpy()
    return np.ascontiguousarray(pixels)
