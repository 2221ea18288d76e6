"""SeedVR2 on a GPU: ``python -m tests.tools.gpu.enlarging OUT.jsonl``.

Random weights of the true shapes: what comes out is nonsense, what it takes isn't. First by the
pipeline alone, then through page, queue and worker.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.home import Home
from engine.install import installed
from engine.library.versions import OWN, Asked, Original, original_at
from engine.presets import load_presets
from engine.units import GIB
from tests.support.videos import moving, write
from tests.tools.gpu.lanes import ended
from tests.tools.gpu.rows import tell, told

MODEL = "seedvr2-3b"
CARD = 16 * GIB  # what the pipeline alone is held to
CLIPS = ("480x832x81:1080x1872", "480x832x81:720x1248", "480x832x241:1080x1872")


def write_weights(home: Path) -> None:
    """Both files, float16, near what weights are: normal and small."""
    import importlib

    import torch
    from safetensors.torch import save_file

    from engine.pipelines.lightx2v.loading import import_lightx2v
    from engine.pipelines.seedvr.repairs import VAE, import_network

    import_lightx2v()
    import_network()
    preset = load_presets().models[MODEL]
    folder = Home(home).weights / preset.id
    transformer, vae = (folder / file.sources[0].path for file in preset.weights)
    for file in (transformer, vae):
        file.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(network_weights()), transformer)
    package = importlib.import_module(VAE)
    with torch.device("cuda"):
        whole = package.attn_video_vae_v3_s8_c16_t4_inflation_sd3_init(device="cuda")
    save_file({name: one.half().cpu() for name, one in whole.state_dict().items()}, vae)


def network_weights() -> Iterator[tuple[str, Any]]:
    import torch

    from tests.contract import seedvr_weights

    for name, tensor in seedvr_weights.network(seedvr_weights.TRUE, "cuda"):
        yield name, tensor.to(torch.float16).cpu().contiguous()


def sides(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, part.split("x"))) for part in text.split(":")]


@contextmanager
def watched(rows: dict[str, Any]) -> Iterator[None]:
    """The seconds of what is within, and the most that torch had reserved."""
    import torch

    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    yield
    torch.cuda.synchronize()
    rows["seconds"] = round(time.perf_counter() - began, 2)
    rows["reserved"] = torch.cuda.max_memory_reserved()


def alone(
    out: Path, clips: list[str], tokens: list[int], offloads: list[str], tiles: list[str]
) -> None:
    """The pipeline by itself, in this process.

    Args:
        tiles: latents on each side, and GiB of a convolution: "64:0.5".
    """
    import torch

    from engine.pipelines.cuda import CudaMeter
    from engine.pipelines.lightx2v.loading import import_lightx2v
    from engine.pipelines.seedvr.enlarger import Most, SeedVr
    from engine.pipelines.seedvr.pipeline import Parted, Telling
    from engine.weights.checkpoint import find_parts

    class Quiet:
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    preset = load_presets().models[MODEL]
    import_lightx2v()
    meter: CudaMeter = Parted()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, CARD / total))
    parts = find_parts(Home.find().weights / MODEL, preset)
    for offload in offloads:
        rows: dict[str, Any] = {}
        with watched(rows):
            seedvr = SeedVr(parts["transformer"], parts["vae"], torch.device("cuda"), offload)
        tell(out, "load", offload=offload, held=torch.cuda.memory_allocated(), **rows)
        for clip, tile in ((clip, tile) for clip in clips for tile in tiles):
            side, limit = tile.split(":")
            seedvr._vae._tile = int(side)
            seedvr._vae._vae.set_memory_limit(float(limit), float(limit))
            (height, width, count), (high, wide) = sides(clip)
            frames = moving(count, height, width)
            for most in tokens:
                seedvr._most = Most(most, seedvr._most.held)
                meter.reset()
                telling = Telling(Quiet(), meter)
                row: dict[str, Any] = {
                    "clip": clip,
                    "tokens": most,
                    "offload": offload,
                    "tile": tile,
                }
                with told(out, f"{clip} {most}"), watched(row):
                    seen = 0
                    for frame in seedvr.enlarge(frames, count, high, wide, 1, telling):
                        seen += int(frame[::64, ::64].sum())
                    row |= {"sum": seen, "parts": telling.ended()}
                tell(out, "alone", **row)
        del seedvr
        torch.cuda.empty_cache()


def queued(engine: Engine, out: Path, clip: str) -> None:
    """A version through the queue, twice: what it took, and whether it is the same."""
    (height, width, count), (high, _) = sides(clip)
    frames = moving(count, height, width)
    times = [Fraction(at, 16) for at in range(count)]
    with tempfile.TemporaryDirectory() as scratch:
        file = write(Path(scratch) / "clip.mp4", frames, times)
        found = original_at(engine.sources, file)
    for asked in (Asked(height=high), None, Asked(height=high), Asked(fps=32, height=high)):
        if asked is None:
            tell(out, "cancelled", clip=clip, **cancelled(engine, found, high))
            continue
        request = asked.request(found, engine.changers(), OWN)
        verdict = engine.guard.verdict(request.model, request.size)
        job = ended(engine, engine.submit(request))
        made = engine.library.of_job(job.id)
        assert made is not None, "it is done"
        receipt = {
            key: made.receipt[key]
            for key in ("stages", "peaks", "enlarged", "between")
            if key in made.receipt
        }
        told_of = {"model": request.model, "basis": verdict.basis, "expected": verdict.peak}
        sha = made.receipt["frames_sha256"][:12]
        tell(out, "queued", clip=clip, frames=request.frames, sha=sha, **told_of, **receipt)


def cancelled(engine: Engine, found: Original, high: int) -> dict[str, float]:
    """Seconds from a cancel until the worker is free again, by how far the clip was."""
    rows = {}
    for share in (0.05, 0.3, 0.6):
        job = engine.submit(Asked(height=high).request(found, engine.changers(), OWN))
        while not ((now := engine.progress(engine.jobs.get(job.id))) and now.fraction > share):
            time.sleep(0.02)
        began = time.perf_counter()
        engine.cancel(job.id)
        while not engine.jobs.get(job.id).state.final:
            time.sleep(0.01)
        rows[f"at {share}"] = round(time.perf_counter() - began, 2)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", default=",".join(CLIPS))
    parser.add_argument("--tokens", default="75000")
    parser.add_argument("--offloads", default="block")
    parser.add_argument("--tiles", default="64:0.5")
    parser.add_argument("--queued", default="")
    options = parser.parse_args()
    installed.engine_here = lambda: True  # this machine has no diffusers of its own
    spawn = multiprocessing.get_context("spawn")
    with open_engine() as engine:
        steps: list[tuple[Any, Any]] = [(write_weights, (engine.home.root,))]
        if options.clips:
            each = [getattr(options, name).split(",") for name in ("clips", "offloads", "tiles")]
            tokens = [*map(int, options.tokens.split(","))]
            steps.append((alone, (options.out, each[0], tokens, each[1], each[2])))
        for target, arguments in steps:
            process = spawn.Process(target=target, args=arguments)
            process.start()
            process.join()
            tell(options.out, "process", name=target.__name__, code=process.exitcode)
        engine.start()
        for clip in options.queued.split(",") if options.queued else ():
            with told(options.out, f"queued {clip}"):
                queued(engine, options.out, clip)


if __name__ == "__main__":
    main()
