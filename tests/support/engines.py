"""What a running engine is at."""

from engine.engine import Engine


def running_stage(engine: Engine) -> str | None:
    progress = engine.status().progress
    return progress.stage if progress else None
