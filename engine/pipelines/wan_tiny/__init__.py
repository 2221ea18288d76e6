"""The tiny model that any processor runs: the CPU default, and what CI runs."""
