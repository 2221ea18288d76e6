"""Merges LoRAs into the weights of a loaded transformer."""
