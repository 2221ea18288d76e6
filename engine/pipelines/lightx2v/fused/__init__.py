"""Kernels of ours in LightX2V's places: a step reads and writes its activations fewer times."""
