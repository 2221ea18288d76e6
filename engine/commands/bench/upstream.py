"""LightX2V's own command beside ours: one process that reads the same files and makes one clip."""

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

from engine.home import Home
from engine.machine.memory import MemorySample, sample_host
from engine.pipelines.bench import upstream_command
from engine.pipelines.lightx2v.settings import (
    model_class,
    model_settings,
    run_folder,
    target,
    write_run_folder,
)
from engine.plan.host_memory import host_need
from engine.presets import ModelPreset
from engine.request import ClipRequest
from engine.units import gigabytes
from engine.worker.process import worker_environment

LEAST_LIMIT = 600.0
TIMES_OURS = 10.0


def lightx2v_command(
    home: Home,
    preset: ModelPreset,
    request: ClipRequest,
    folder: Path,
    offload: str,
    look: MemorySample,
    ours: float,
) -> dict[str, Any]:
    """Make ``request`` with it, by the settings that our worker has loaded ``preset`` with.

    Args:
        folder: takes its settings.
        offload: the plan's.
        look: names the GPU.
        ours: seconds that our process took; ten times that, and it is ended.

    Returns:
        ``seconds`` from the process's start to the video in RAM, which it would then write; or
        ``failed``, a reason.
    """
    if offload == "lazy":
        return {"failed": "with weights that are read from the disk it ends at the first block"}
    need, left = _ram(preset, offload), sample_host(None).available
    if preset.runs_on == "nvidia" and left < need:
        return {"failed": f"it takes about {gigabytes(need)} of RAM, {gigabytes(left)} are left"}
    arguments = _arguments(home, preset, request, folder)
    log = home.logs / "lightx2v-command.log"
    environment = worker_environment(preset, look)  # the same GPU, allocator and no profiler
    own, its = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=upstream_command.main, args=(its, arguments, str(log), environment), daemon=True
    )
    began = time.perf_counter()
    process.start()
    its.close()
    try:
        limit = max(LEAST_LIMIT, TIMES_OURS * ours)
        if not own.poll(limit):
            return {"failed": f"it was ended after {limit:.0f} s"}
        seconds = time.perf_counter() - began
        why = own.recv()
    except (EOFError, OSError):
        process.join(timeout=5)
        why = f"its process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        own.close()
    return {"failed": why} if why else {"seconds": round(seconds, 3)}


def _ram(preset: ModelPreset, offload: str) -> int:
    """It page-locks as torch rounds, which our exact pinning doesn't, and reads the text encoder's
    file into memory, which ours maps."""
    text = preset.weight_file("text_encoder")
    rounded = host_need(preset, "block" if offload == "block-exact" else offload)
    return rounded + (text.bytes if text is not None else 0)


def _arguments(home: Home, preset: ModelPreset, request: ClipRequest, folder: Path) -> list[str]:
    """Its command line; its settings: those that our worker wrote, at the size of ``request``."""
    settings = json.loads((run_folder(home, preset) / "run.json").read_text(encoding="utf-8"))
    settings |= target(request.size)
    file = write_run_folder(folder / "lightx2v", model_settings(preset), settings)
    options = {
        "model_cls": model_class(preset),
        "task": preset.task,
        "model_path": str(file.parent),
        "config_json": str(file),
        "prompt": request.prompt,
        "negative_prompt": "",
        "seed": str(request.seed),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    shape = ["--target_shape", str(request.height), str(request.width)]
    return [*words, *shape, "--return_result_tensor"]
