"""What the engine adds to a clip, a cancel and a file, and how well it predicts memory."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.commands.bench.row import BenchFailed, Say, median
from engine.engine import Engine
from engine.guard.climb import PROBE_PROMPT
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.library import mp4 as files
from engine.plan.flops import architecture_of
from engine.presets import load_presets
from engine.process.patience import WakingClock
from engine.request import ClipRequest, Size
from engine.store import Store
from engine.worker.status import EngineState

CLIPS, CANCELS, WRITES = 7, 5, 3
PATIENCE = 600.0  # seconds for a job, the model's loading included
FROM_TWO = (Size(64, 64, 9), Size(128, 128, 17))
THEN = (Size(128, 128, 9), Size(64, 64, 17), Size(128, 224, 17))


@dataclass(frozen=True)
class Clips:
    """Medians in seconds. ``own``: encode, denoise and decode, as the pipeline counts them;
    ``idle``: what of a clip in a queue is none of them."""

    whole: float
    own: float
    idle: float
    cancel: float
    block: float
    size: str


@contextmanager
def opened(folder: Path, lanes: int | None = None) -> Iterator[Engine]:
    """An engine of its own on ``folder``, with the CPU default loaded.

    Args:
        lanes: so many that share the processor.
    """
    home = Home(folder)
    home.create()
    store = Store(home.database)
    engine = Engine(home, load_presets(), Jobs(store), on_processor=lanes)
    try:
        engine.record()
        engine.start(warm=engine.presets.default.id)
        _until(lambda: engine.status().state in (EngineState.READY, EngineState.FAILED))
        if engine.status().state is EngineState.FAILED:
            raise BenchFailed(engine.status().notice, "logs/worker.log may say more.")
        yield engine
    finally:
        engine.close()
        store.close()


def clips(folder: Path, say: Say) -> Clips:
    with opened(folder) as engine:
        whole, own, denoise = [], [], []
        for number in range(CLIPS + 1):
            began = time.perf_counter()
            job = ended(engine, engine.submit(request_of(engine, None, number)))
            taken = time.perf_counter() - began
            receipt = receipt_of(engine, job)
            if number == 0:
                continue  # the first is never warm
            whole.append(taken)
            own.append(computing(receipt))
            denoise.append(receipt["stages"]["denoise"])
        say(f"{CLIPS} warm clips")
        idle = _idle(engine)
        say(f"{CLIPS} clips in a queue")
        cancels = [_cancelled(engine, number) for number in range(CANCELS)]
        preset = engine.presets.default
        shape = architecture_of(preset)
        assert shape is not None, "the CPU default brings its configuration along"
        block = statistics.median(denoise) / (preset.steps * shape.layers)
        default = preset.default
        size = f"{preset.name}, {default.width} × {default.height}, {default.frames} frames"
        return Clips(median(whole), median(own), idle, median(cancels), block, size)


def computing(receipt: Mapping[str, Any]) -> float:
    """The seconds of a clip in which its device has something to do."""
    return sum(
        float(seconds)
        for name, seconds in receipt["stages"].items()
        if name not in ("load", "save")
    )


def _idle(engine: Engine) -> float:
    """Seconds a clip in which nothing is computed, of some that wait for each other."""
    taken, own = queue(engine, CLIPS, 200)
    return round((taken - sum(own)) / CLIPS, 4)


def queue(engine: Engine, count: int, seed: int, lane: str = "") -> tuple[float, list[float]]:
    """Seconds until ``count`` clips that wait for each other are kept, and each one's in which its
    device had something to do.

    Args:
        lane: the one that makes them all; "" leaves it to the queue.
    """
    requests = [request_of(engine, None, seed + number) for number in range(count)]
    began = time.perf_counter()
    done = [ended(engine, job) for job in engine.submit_all(requests, lane=lane)]
    taken = time.perf_counter() - began
    return taken, [computing(receipt_of(engine, job)) for job in done]


def receipt_of(engine: Engine, job: Job) -> Mapping[str, Any]:
    """Raises BenchFailed: there is no clip."""
    clip = engine.library.of_job(job.id)
    if clip is None:
        raise BenchFailed(job.note, job.remedy)
    return clip.receipt


def _cancelled(engine: Engine, number: int) -> float:
    """Seconds from asking to the job's end, asked while it denoises."""
    job = engine.submit(request_of(engine, None, 100 + number))

    def denoising() -> bool:
        progress = engine.status().progress
        return progress is not None and progress.job == job.id and progress.stage == "denoise"

    _until(lambda: denoising() or engine.jobs.get(job.id).state.final, 0.001)
    began = time.perf_counter()
    engine.cancel(job.id)
    ended(engine, job)
    return time.perf_counter() - began


def encoding(folder: Path, say: Say) -> tuple[float, float, str]:
    """Seconds to write a clip with its receipt, and the bare encoder's on the same frames."""
    frames = _moving(480, 832, 81)
    receipt = {"request": {"prompt": PROBE_PROMPT}, "seed": 1}
    ours, bare = [], []
    program = shutil.which("ffmpeg")
    for turn in range(WRITES):
        began = time.perf_counter()
        files.write_clip(folder / "ours.mp4", frames, 16, lambda: receipt)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        if program is not None:
            _ffmpeg(program, frames, folder / "bare.mp4")
        else:
            files.write_clip(folder / "bare.mp4", frames, 16, None)
        bare.append(time.perf_counter() - began)
        say(f"file {turn + 1} of {WRITES}")
    against = "ffmpeg's own program" if program else "the same without a receipt (no ffmpeg here)"
    return round(statistics.median(ours), 3), round(statistics.median(bare), 3), against


def _ffmpeg(program: str, frames: np.ndarray, path: Path) -> None:
    _, height, width, _ = frames.shape
    command = [
        program,
        "-v",
        "error",
        "-y",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-r",
        "16",
        "-s",
        f"{width}x{height}",
        "-i",
        "-",
        "-c:v",
        "libx264",
        "-preset",
        "fast",
        "-crf",
        "16",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
        str(path),
    ]
    subprocess.run(command, input=frames.tobytes(), check=True)


def _moving(height: int, width: int, count: int) -> np.ndarray:
    """A picture with detail that moves, so that the encoder has something to do."""
    random = np.random.default_rng(1)
    wide = random.integers(0, 256, (height // 8, width // 8 + count, 3), np.uint8)
    wide = wide.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([wide[:, 4 * n : 4 * n + width] for n in range(count)])


def predictions(folder: Path, say: Say) -> Iterator[tuple[str, int, int]]:
    """Size, predicted and measured peak in bytes, once two sizes were measured."""
    with opened(folder) as engine:
        model = engine.presets.default.id
        for size in FROM_TWO:
            _measured(engine, size)
        say("two sizes measured")
        for size in THEN:
            verdict = engine.guard.verdict(model, size)
            peak = _measured(engine, size)
            if verdict.peak is not None and peak is not None:
                yield str(size), verdict.peak, peak


def _measured(engine: Engine, size: Size) -> int | None:
    job = ended(engine, engine.measure(request_of(engine, size, 0)))
    rows = [row.measurement for row in engine.guard.of_job(job.id)]
    return next((row.peak for row in rows if row.size == size and row.outcome == "ok"), None)


def request_of(engine: Engine, size: Size | None, seed: int) -> ClipRequest:
    raw: dict[str, object] = {"prompt": PROBE_PROMPT, "seed": seed}
    if size is not None:
        raw |= {"height": size.height, "width": size.width, "frames": size.frames}
    return ClipRequest.check(raw, engine.presets)


def ended(engine: Engine, job: Job) -> Job:
    _until(lambda: engine.jobs.get(job.id).state.final, 0.001)
    job = engine.jobs.get(job.id)
    if job.state is State.FAILED:
        raise BenchFailed(job.note, job.remedy)
    return job


def _until(happened: Callable[[], bool], pause: float = 0.02) -> None:
    clock = WakingClock()
    while not happened():
        if clock() > PATIENCE:
            why = f"The engine did nothing for {PATIENCE:.0f} s."
            raise BenchFailed(why, "logs/worker.log may say more.")
        time.sleep(pause)
