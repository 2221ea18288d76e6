"""Measurements on a real NVIDIA GPU: ``python -m tests.tools.gpu.measure``. CI tests their
arithmetic.

The weights are random and of the true shapes: what a run costs doesn't depend on their values.
"""
