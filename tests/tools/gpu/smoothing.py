"""RIFE on a GPU, alone and beside a model: ``python -m tests.tools.gpu.smoothing OUT.jsonl``.

Random weights of the true shapes: what comes out is nonsense, what it takes isn't.
"""

import argparse
import multiprocessing
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.commands.opened import open_engine
from engine.engine import Engine
from engine.install import installed
from engine.library.versions import OWN, Asked, Changers, Original, original_at, original_of
from engine.request import ClipRequest, Size
from tests.support.videos import moving, write
from tests.tools.gpu.lanes import asked, ended
from tests.tools.gpu.lanes import write as write_model
from tests.tools.gpu.rows import MODEL, sizes, tell, told

RIFE = "rife"
VIDEOS = sizes("480x832x81", "720x1280x81", "1080x1920x33")


def write_rife(folder: Path, file: str) -> None:
    """Random weights of the network's own shapes, under ComfyUI's names."""
    import importlib

    from safetensors.torch import save_file

    from engine.pipelines.lightx2v.loading import import_lightx2v
    from engine.pipelines.rife.network import IFNET

    import_lightx2v()
    weights = importlib.import_module(IFNET).IFNet().state_dict()
    place = folder / file
    place.parent.mkdir(parents=True, exist_ok=True)
    save_file({name.replace("block", "blocks.", 1): one for name, one in weights.items()}, place)


def version(engine: Engine, found: Original, rate: int, model: str) -> dict[str, Any]:
    """What the version at ``rate`` by ``model`` took."""
    changers = engine.changers()
    changers = Changers(engine.presets.models[model], changers.enlarger)
    job = ended(engine, engine.submit(Asked(rate).request(found, changers, OWN)))
    clip = engine.library.of_job(job.id)
    assert clip is not None, "it is done"
    return {
        "model": model,
        "rate": rate,
        "frames": clip.receipt["request"]["frames"],
        "stages": clip.receipt["stages"],
        "peaks": clip.receipt["peaks"],
        "sha": clip.receipt["frames_sha256"][:12],
        "worker": engine.status().model,
    }


def clip_of(engine: Engine, request: ClipRequest) -> Any:
    clip = engine.library.of_job(ended(engine, engine.submit(request)).id)
    assert clip is not None, "it is done"
    return clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", default=",".join(map(str, VIDEOS)))
    parser.add_argument("--beside", default="480x832x33")
    options = parser.parse_args()
    out: Path = options.out
    installed.engine_here = lambda: True  # this machine has no diffusers
    spawn = multiprocessing.get_context("spawn")
    with open_engine() as engine, tempfile.TemporaryDirectory() as scratch:
        preset = engine.presets.models[RIFE]
        source = preset.weights[0].sources[0].path
        writing = spawn.Process(target=write_rife, args=(engine.downloads.folder(RIFE), source))
        writing.start()
        writing.join()
        engine.start()
        tell(out, "changers", smoother=engine.changers().smoother.id)
        for size in sizes(*options.videos.replace("×", "x").split(",")):
            with told(out, f"{size}"):
                frames = moving(size.frames, size.height, size.width)
                times = [Fraction(at, 16) for at in range(size.frames)]
                file = write(Path(scratch) / f"{size.height}.mp4", frames, times)
                found = original_at(engine.sources, file)
                for rate, model in ((32, RIFE), (60, RIFE), (32, RIFE), (32, "smooth")):
                    tell(out, "alone", size=str(size), **version(engine, found, rate, model))
        if not options.beside:
            return
        with told(out, "beside"):
            _beside(engine, sizes(options.beside)[0], out, spawn)


def _beside(engine: Engine, size: Size, out: Path, spawn: Any) -> None:
    writing = spawn.Process(target=write_model, args=(engine.downloads.folder(MODEL),))
    writing.start()
    writing.join()
    if not engine.guard.verdict(MODEL, size).open:
        ended(engine, engine.measure(asked(size, 1)))
    first = clip_of(engine, asked(size, 1))
    found = original_of(engine.library, first)
    for _ in range(2):
        tell(out, "beside", **version(engine, found, 32, RIFE))
    again = clip_of(engine, asked(size, 1))
    keys = ("stages", "peaks", "frames_sha256")
    tell(out, "model", **{f"{key}": [one.receipt[key] for one in (first, again)] for key in keys})


if __name__ == "__main__":
    main()
