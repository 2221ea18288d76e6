"""``app.py bench``: each of the design's numbers beside its reference, in one run."""
