"""What has to be so before LightX2V loads anything: room in RAM, and the package itself."""

import contextlib
import importlib
import io
import logging
from typing import Any

from engine.install.installed import SETUP
from engine.machine.memory import sample_host
from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v import standins
from engine.plan.choice import Plan
from engine.plan.host_memory import host_need
from engine.presets import ModelPreset
from engine.text import Memory, Text


def check_ram(plan: Plan, preset: ModelPreset) -> None:
    """The plan goes by the RAM that this machine has in all; here by what is left of it.

    No out-of-memory: what others hold for the moment must not change the plan for good.
    """
    if preset.runs_on == "cpu":
        return
    offload = str(plan["offload"].value)
    need, left = host_need(preset, offload), sample_host(None).available
    if left < need:
        raise PipelineError(
            Text(
                "pipelines.too_little_ram",
                model=preset.name,
                offload=offload,
                need=Memory(need),
                left=Memory(left),
            ),
            Text("pipelines.close_or_lazy"),
        )


def import_lightx2v() -> str:
    """LightX2V's name of the device that it drives: "cuda", or what its platform registered."""
    _log_to_our_file()
    try:
        with standins.standing_in(), contextlib.redirect_stdout(io.StringIO()):
            import lightx2v  # noqa: F401
        from lightx2v_platform.base.global_var import AI_DEVICE
    except ImportError as error:
        raise PipelineError(
            Text("pipelines.cant_import_lightx2v", reason=str(error)),
            Text("pipelines.repair", command=SETUP),
        ) from error
    return str(AI_DEVICE)


def _log_to_our_file() -> None:
    """LightX2V's own lines go where ours go, instead of over the user's terminal."""
    with contextlib.suppress(ImportError):  # it is LightX2V that needs loguru
        from loguru import logger

        theirs = logging.getLogger("lightx2v")
        logger.remove()
        logger.add(
            lambda line: theirs.log(line.record["level"].no, line.rstrip()),
            level="INFO",
            format="{name}: {message}",
        )


def lightx2v_device() -> str:
    from lightx2v_platform.base.global_var import AI_DEVICE

    return str(AI_DEVICE)


def let_every_block_compile(preset: ModelPreset) -> None:
    """All blocks share one code object; after eight of them torch would go on uncompiled."""
    assert preset.architecture is not None
    dynamo: Any = importlib.import_module("torch._dynamo")
    limit = dynamo.config.recompile_limit
    dynamo.config.recompile_limit = max(limit, 2 * preset.architecture.layers)
