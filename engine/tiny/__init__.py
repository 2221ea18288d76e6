"""The CPU default's own world: how wan-tiny is built and trained."""
