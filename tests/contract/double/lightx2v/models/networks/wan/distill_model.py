"""The distilled transformer, which differs in nothing that matters here."""

from .model import WanModel


class WanDistillModel(WanModel):
    """By its own name."""
