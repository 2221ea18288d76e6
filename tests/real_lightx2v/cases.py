"""What must hold of our pipeline around LightX2V, in a process that has it on its path.

``python -m tests.real_lightx2v.cases CASE[,CASE...] FOLDER`` prints one JSON object a line, in
this order. The same cases run with the real package where it can be imported, and with its double
(tests/double) everywhere; contract.py says what each has to answer.
"""

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine.machine import this_machine
from engine.pipelines import proof, repairs
from engine.pipelines.base import Cancelled, Frames, OutOfMemory, PipelineError, Stage
from engine.pipelines.lightx2v import LightX2V
from engine.plan import Choice, Plan, make_plan
from engine.presets import load_presets
from engine.request import ClipRequest
from tests.real_lightx2v.checkpoints import quantise

PROMPT = "a red ball moves left"


@dataclass
class Recorder:
    """A ``Run`` that writes everything down, and raises where it is told to."""

    stop_at: int | None = None  # cancel at this call of ``check``
    told: list[tuple[Any, ...]] = field(default_factory=list)
    previews: list[Frames] = field(default_factory=list)
    checks: int = 0

    def stage(self, stage: Stage, steps: int = 0) -> None:
        self.told.append(("stage", stage, steps))

    def advance(self, fraction: float, step: int = 0) -> None:
        self.told.append(("advance", round(fraction, 4), step))

    def preview(self, frames: Frames) -> None:
        self.previews.append(frames)

    def check(self) -> None:
        self.checks += 1
        if self.checks == self.stop_at:
            raise Cancelled


class Bench:
    """One loaded pipeline and the latents of each clip that reached the decoder."""

    def __init__(self, model: str, **choices: str) -> None:
        self.preset = load_presets().models[model]
        plan = dict(make_plan(this_machine(), self.preset))
        plan |= {name: Choice(value, "For the test.") for name, value in choices.items()}
        self.asked: Plan = plan
        self.pipeline = LightX2V(self.preset)
        self.plan = self.pipeline.load(plan)
        self.runner: Any = self.pipeline._runner
        self.latents: list[torch.Tensor] = []
        decode = self.runner.run_vae_decoder

        def keeping(latents: torch.Tensor) -> Any:
            self.latents.append(latents.clone())
            return decode(latents)

        self.runner.run_vae_decoder = keeping

    def clip(
        self,
        seed: int = 7,
        size: tuple[int, int, int] = (64, 96, 9),
        prompt: str = PROMPT,
        run: Recorder | None = None,
        steps: int | None = None,
    ) -> Frames:
        height, width, frames = size
        request = ClipRequest(prompt, height, width, frames, seed, self.preset.id)
        return self.pipeline.generate(request, seed, run or Recorder(), steps)

    def same(self) -> bool:
        return torch.equal(self.latents[0], self.latents[-1])

    @property
    def infer(self) -> Any:
        return self.runner.model.transformer_infer

    def break_block(self, at: int, error: Exception) -> Callable[[], None]:
        """Raise ``error`` inside the ``at``-th block from now; returns what takes it back."""
        whole, calls = self.infer.infer_block, []

        def breaking(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == at:
                raise error
            return whole(*arguments)

        self.infer.infer_block = breaking
        return lambda: setattr(self.infer, "infer_block", whole)


def works(folder: Path) -> dict[str, Any]:
    """Both layouts make the same clip; stages, blocks and previews are told."""
    blocks, single = Bench("tiny-fp8"), Bench("tiny-fp8-single")
    run = Recorder()
    frames, again = blocks.clip(run=run), single.clip()
    other = blocks.clip(seed=8)
    return {
        "shape": frames.shape,
        "same_in_both_layouts": bool(np.array_equal(frames, again))
        and torch.equal(blocks.latents[0], single.latents[0]),
        "other_seed_differs": not np.array_equal(frames, other),
        "stages": [call[1:] for call in run.told if call[0] == "stage"],
        "advances": [call[1:] for call in run.told if call[0] == "advance"],
        "previews": [preview.shape for preview in run.previews],
        "label": bool(blocks.pipeline.describe()["label"]),
    }


def sizes(folder: Path) -> dict[str, Any]:
    """Height, width, frames and steps change on the warm pipeline; then the first clip again."""
    bench = Bench("tiny-fp8")
    first = bench.clip()
    model = bench.runner.model
    tall = bench.clip(size=(96, 64, 5))
    probe = Recorder()
    bench.clip(run=probe, steps=1)
    bench.clip()
    return {
        "first": first.shape,
        "tall": tall.shape,
        "probe_previews": len(probe.previews),
        "same": bench.same(),
        "same_model": bench.runner.model is model,
    }


def cancel(folder: Path) -> dict[str, Any]:
    """Cancelled inside a step, then bit-identical again; stopped within one block."""
    bench = Bench("tiny-fp8")
    bench.clip()
    run = Recorder(stop_at=6)
    try:
        bench.clip(run=run)
    except Cancelled:
        pass
    else:
        return {"cancelled": False}
    blocks_after = [call for call in run.told if call[0] == "advance"]
    bench.clip()
    return {"cancelled": True, "checks": run.checks, "advances": blocks_after, "same": bench.same()}


def faults(folder: Path) -> dict[str, Any]:
    """An exception inside a block, inside the decode, in the text encoder: the next is the same."""
    bench = Bench("tiny-fp8")
    bench.clip()
    found: dict[str, Any] = {}
    for name, error in (("oom", torch.OutOfMemoryError("injected")), ("bug", ValueError("x"))):
        undo = bench.break_block(5, error)
        found[name] = _raised(partial(bench.clip, seed=9))
        undo()
        bench.clip()
        found[f"{name}_same"] = bench.same()
    decoder = bench.runner.vae_decoder.model.decoder
    calls: list[int] = []

    def breaking(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("injected while decoding")

    hook = decoder.register_forward_pre_hook(breaking)
    found["decode"] = _raised(partial(bench.clip, seed=9))
    hook.remove()
    bench.clip()
    return found | {"decode_same": bench.same()}


def unrepaired(folder: Path) -> dict[str, Any]:
    """Each repair left out in turn: upstream's fault shows, so the repair isn't for nothing."""
    found: dict[str, Any] = {}
    for name in ("refill_offload_buffers", "forget_seed", "lift_stop"):
        bench = Bench("tiny-fp8")
        bench.clip()
        repair = getattr(repairs, name)
        setattr(repairs, name, lambda _runner: False)
        try:
            if name == "lift_stop":
                bench.runner.stop_signal = True
            else:
                undo = bench.break_block(5, ValueError("x"))
                _raised(partial(bench.clip, seed=9))
                undo()
            found[name] = _raised(bench.clip) or bench.same()
        finally:
            setattr(repairs, name, repair)
        if name == "lift_stop":
            bench.clip()
            found["stop_lifted_same"] = bench.same()
    found["drop_video"] = bench.runner.gen_video is None
    return found


def precision(folder: Path) -> dict[str, Any]:
    """FP8 against its dequantised weights in bf16, and against weights without their scales."""
    benches = [Bench(name) for name in ("tiny-fp8", "tiny-dequantised", "tiny-unscaled")]
    for bench in benches:
        bench.clip()
    fp8, reference, unscaled = (bench.latents[0] for bench in benches)
    return {"reference": _cosine(fp8, reference), "unscaled": _cosine(fp8, unscaled)}


def proofs(folder: Path) -> dict[str, Any]:
    """What was loaded otherwise than planned is told, and nothing else is."""
    bench = Bench("tiny-fp8")
    runner, model, preset = bench.runner, bench.runner.model, bench.preset
    checkpoint = bench.pipeline._checkpoint

    def weights(plan: Plan = bench.plan) -> str:
        return _raised(lambda: proof.prove_weights(model, runner, preset, plan, checkpoint))

    found = {"as_planned": weights()}
    other = {**bench.plan, "attention": Choice("sage_attn2", "")}
    found["attention"] = weights(other)
    found["scheme"] = weights({**bench.plan, "matmul": Choice("fp8-triton", "")})
    matrix = model.transformer_weights.blocks[0].compute_phases[0].self_attn_q
    scales = matrix.pin_weight_scale
    matrix.pin_weight_scale = torch.ones_like(scales)
    found["scales_lost"] = weights()
    matrix.pin_weight_scale = None
    found["no_scales"] = weights()
    matrix.pin_weight_scale = scales
    stored = matrix.pin_weight
    matrix.pin_weight = stored.to(torch.bfloat16)
    found["dtype"] = weights()
    matrix.pin_weight = stored
    scheduler = runner.scheduler
    scheduler.sample_shift = 3.0
    found["shift"] = _raised(lambda: proof.prove_sampling(runner, preset))
    scheduler.sample_shift = preset.shift
    scheduler.denoising_step_list = [1000]
    found["steps"] = _raised(lambda: proof.prove_sampling(runner, preset))
    return found


def texts(folder: Path) -> dict[str, Any]:
    """A known prompt never wakes the text encoder, in this process and in the next."""
    shutil.rmtree(folder / "home" / "cache" / "prompts", ignore_errors=True)
    bench = Bench("tiny-fp8")
    asleep = not bench.runner.text_encoders
    bench.clip()
    encoder = bench.runner.text_encoders[0]
    calls: list[str] = []
    infer = encoder.infer

    def counted(prompts: list[str]) -> Any:
        calls.extend(prompts)
        return infer(prompts)

    encoder.infer = counted
    bench.clip(seed=8, size=(96, 64, 5))
    bench.clip(prompt="the blue moon drifts")
    fresh = Bench("tiny-fp8")
    fresh.clip()
    eight_bits = Bench("tiny-fp8-text")
    eight_bits.clip()
    return {
        "asleep_at_start": asleep,
        "asked": calls,
        "asleep_in_the_next": not fresh.runner.text_encoders,
        "same": torch.equal(bench.latents[0], fresh.latents[0]),
        "fp8_encoder": _cosine(bench.latents[0], eight_bits.latents[0]),
    }


def offloads(folder: Path) -> dict[str, Any]:
    """Block, exactly pinned and lazy make the same clip, also after a cancel.

    Lazily read scales stay float32 where the others are rounded to bf16: nearly the same, that is.
    (On LightX2V's CPU platform weights always count as offloaded: no resident ones.)
    """
    found: dict[str, Any] = {}
    first: torch.Tensor | None = None
    for offload in ("block", "block-exact", "lazy"):
        bench = Bench("tiny-fp8", offload=offload)
        bench.clip()
        first = bench.latents[0] if first is None else first
        found[offload] = _cosine(first, bench.latents[0])
        _raised(partial(bench.clip, run=Recorder(stop_at=6)))
        bench.clip()
        found[f"{offload}_same"] = bench.same()
    return found


def tiled(folder: Path) -> dict[str, Any]:
    """Tiles instead of the whole picture: the same latents, nearly the same frames."""
    whole, tiles = Bench("tiny-fp8"), Bench("tiny-fp8", decode="tiled")
    a, b = whole.clip(size=(64, 288, 5)), tiles.clip(size=(64, 288, 5))
    return {
        "latents": torch.equal(whole.latents[0], tiles.latents[0]),
        "shape": b.shape,
        "difference": float(np.abs(a.astype(int) - b.astype(int)).mean()),
    }


def bad_frames(folder: Path) -> dict[str, Any]:
    """Black and not-a-number clips are refused, with the kernels' names."""
    bench = Bench("tiny-fp8")
    stream = bench.runner.vae_decoder.model.decode_stream
    found = {}
    for name, value in (("black", -1.0), ("nan", float("nan"))):

        def filled(*arguments: Any, value: float = value) -> Any:
            for piece in stream(*arguments):
                yield torch.full_like(piece, value)

        bench.runner.vae_decoder.model.decode_stream = filled
        found[name] = _raised(bench.clip)
    bench.runner.vae_decoder.model.decode_stream = stream
    bench.clip()
    return found | {"same": bench.same()}


def video_length(folder: Path) -> dict[str, Any]:
    """Without the repair loading ends in the KeyError of LightX2V#1086."""
    kept = repairs.keep_video_length
    repairs.keep_video_length = lambda _pipe, _file: False  # type: ignore[assignment]
    try:
        return {"without": _raised(lambda: Bench("tiny-fp8"))}
    finally:
        repairs.keep_video_length = kept


def image_encoder(folder: Path) -> dict[str, Any]:
    """``clean_cuda_cache`` needs the repair that text-to-video has no image encoder."""
    bench = Bench("tiny-fp8")
    bench.clip()
    bench.runner.model.pre_infer.clean_cuda_cache = True
    bench.clip()
    found: dict[str, Any] = {"same": bench.same()}
    bench.pipeline._pipe.modify_config({"use_image_encoder": True})
    return found | {"without": _raised(bench.clip)}


def token_embedding(folder: Path) -> dict[str, Any]:
    """LightX2V moves it to the device for each prompt, and never back (our repair does)."""
    bench = Bench("tiny-fp8")
    bench.clip(prompt="grass")
    table = bench.runner.text_encoders[0].model.token_embedding
    moved: list[str] = []

    def to(device: object, *_: Any) -> Any:
        moved.append(str(device))
        return table

    table.to = to
    bench.clip(prompt="green grass")
    return {"moved": moved}


def missing_bias(folder: Path) -> dict[str, Any]:
    """A quantised layer without a bias has no attribute of that name, which Triton's kernel reads;
    with our repair it is None."""
    Bench("tiny-fp8")
    from lightx2v.common.ops.mm.mm_weight import MMWeightQuantTemplate
    from lightx2v.utils.registry_factory import MM_WEIGHT_REGISTER

    if "bias" in vars(MMWeightQuantTemplate):
        del MMWeightQuantTemplate.bias
    matrix = MM_WEIGHT_REGISTER["fp8-triton"]("x.weight", None, True)
    stored, scale = quantise(torch.ones(16, 16), "fp8")
    matrix.load({"x.weight": stored, "x.weight_scale": scale})
    upstream = hasattr(matrix, "bias")
    mended = repairs.bias_may_be_missing(), repairs.bias_may_be_missing()
    return {"upstream": upstream, "mended": mended, "then": matrix.bias}


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(F.cosine_similarity(a.flatten().double(), b.flatten().double(), dim=0))


def _raised(action: Callable[[], object]) -> str:
    """What ``action`` raised as text; "" if nothing."""
    try:
        action()
    except OutOfMemory as error:
        return f"OutOfMemory {error.memory}: {error}"
    except (PipelineError, Exception) as error:
        return f"{type(error).__name__}: {error}"
    return ""


CASES: tuple[Callable[[Path], dict[str, Any]], ...] = (
    works, sizes, cancel, faults, unrepaired, precision, proofs, texts, tiled, bad_frames,
    video_length, image_encoder, token_embedding, missing_bias, offloads,
)  # fmt: skip


def main(names: str, folder: Path) -> None:
    """Each case's answer on a line, or what it raised: the others still get their turn."""
    by_name = {case.__name__: case for case in CASES}
    for name in names.split(","):
        try:
            answer = by_name[name](folder)
        except Exception:
            answer = {"crashed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
