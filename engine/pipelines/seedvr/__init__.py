"""SeedVR2-3B: larger pictures with new detail, on the GPU.

LightX2V has the network and the VAE (ByteDance's, Apache 2.0). Its runner for them wants a whole
clip on the GPU, looks for a cancel at the end, and cuts hard between segments; at commit f8aee98b
it can't import the network. ``repairs`` mends what is wrong, ``enlarger.SeedVr`` drives the parts::

    seedvr = SeedVr(transformer, vae, torch.device("cuda"), "block")
    for frame in seedvr.enlarge(frames, 81, 1080, 1872, seed=1, steps=run):
        ...

A clip is made longer and wider than memory by pieces that overlap (pieces.py): the VAE takes tiles
of a few frames and keeps what it has to know of the frames before, the network takes windows of the
VAE's latents. In between all of it lies in RAM.
"""
