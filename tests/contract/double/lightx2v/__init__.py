"""A small double of LightX2V (commit f8aee98b), in our own words: the parts that Headroom touches.

It has upstream's names, its order of calls and its faults, because the tests show that our
repairs mend them; tests/contract/test_same.py compares it with the real package. Its models are
Wan without positions: what it computes only has to depend on every weight, seed and prompt.
"""

from .pipeline import LightX2VPipeline

__all__ = ["LightX2VPipeline"]
