"""Measurements on a real NVIDIA GPU: ``python -m tests.gpu.measure``. No test of CI is here.

The weights are random and of the true shapes: what a run costs doesn't depend on their values.
"""
