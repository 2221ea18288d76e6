"""What must hold of our pipeline around LightX2V, in a process that has it on its path.

``python -m tests.contract.cases CASE[,CASE...] FOLDER`` prints one JSON object a line, in
this order. The same cases run with the real package where it can be imported, and with its double
(tests/contract/double) everywhere; contract.py says what each has to answer.
"""

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.pipelines.lightx2v import kernels, proof
from engine.pipelines.lightx2v.tiny_vae import TinyVae
from engine.plan.choice import Choice, Plan
from tests.contract import adapter_cases, repair_cases, rife_cases, seedvr_cases
from tests.contract.bench import Bench, Recorder, cosine, import_at_once, raised
from tests.contract.checkpoints import TINY_VAE
from tests.contract.picture_cases import (
    both_offloads,
    encoded,
    one_expert_unread,
    pictures,
    told_apart,
    turns,
)


def works(folder: Path) -> dict[str, Any]:
    """Both layouts make the same clip; stages, blocks and previews are told."""
    shutil.rmtree(folder / "home" / "cache" / "prompts", ignore_errors=True)
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
        "parts": [len(part) for part in run.parts],
        "parts_are_the_clip": bool(np.array_equal(np.concatenate(run.parts), frames)),
        "occupied": [call[1] for call in run.told if call[0] == "occupied"],
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
    cancelled = raised(partial(bench.clip, run=run)).startswith("Cancelled")
    advances = [call for call in run.told if call[0] == "advance"]
    bench.clip()
    same = bench.same()
    return {"cancelled": cancelled, "checks": run.checks, "advances": advances, "same": same}


def faults(folder: Path) -> dict[str, Any]:
    """An exception inside a block, inside the decode, in the text encoder: the next is the same."""
    bench = Bench("tiny-fp8")
    bench.clip()
    found: dict[str, Any] = {}
    for name, error in (("oom", torch.OutOfMemoryError("injected")), ("bug", ValueError("x"))):
        undo = bench.break_block(5, error)
        found[name] = raised(partial(bench.clip, seed=9))
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
    found["decode"] = raised(partial(bench.clip, seed=9))
    hook.remove()
    bench.clip()
    return found | {"decode_same": bench.same()}


def precision(folder: Path) -> dict[str, Any]:
    """FP8 against its dequantised weights in bf16, and against weights without their scales."""
    benches = [Bench(name) for name in ("tiny-fp8", "tiny-dequantised", "tiny-unscaled")]
    for bench in benches:
        bench.clip()
    fp8, reference, unscaled = (bench.latents[0] for bench in benches)
    return {"reference": cosine(fp8, reference), "unscaled": cosine(fp8, unscaled)}


def proofs(folder: Path) -> dict[str, Any]:
    """What was loaded otherwise than planned is told, and nothing else is."""
    bench = Bench("tiny-fp8")
    runner, model, preset = bench.runner, bench.runner.model, bench.preset
    transformer = bench.pipeline._checkpoint.transformer

    def weights(plan: Plan = bench.plan) -> str:
        return raised(lambda: proof.prove_weights(model, runner, preset, plan, transformer))

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
    found["shift"] = raised(lambda: proof.prove_sampling(runner, preset))
    scheduler.sample_shift = preset.shift
    scheduler.denoising_step_list = [1000]
    found["steps"] = raised(lambda: proof.prove_sampling(runner, preset))
    blocks = model.transformer_weights.blocks
    vars(model.transformer_weights)["blocks"] = list(blocks)[:2]
    found["blocks"] = weights()
    vars(model.transformer_weights)["blocks"] = blocks
    found["whole_again"] = weights()
    lazy = Bench("tiny-fp8", offload="lazy")
    waiting = lazy.pipeline._load_transformer()
    buffer = waiting.transformer_weights.offload_block_cpu_buffers[0]
    matrix = buffer.compute_phases[0].self_attn_q
    matrix.pin_weight_scale = torch.ones_like(matrix.pin_weight_scale)
    found["lazy"] = raised(
        lambda: proof.prove_weights(waiting, lazy.runner, preset, lazy.plan, transformer)
    )
    return found | _text_proofs()


def _text_proofs() -> dict[str, Any]:
    """The same of the text encoder, FP8 as the real one."""
    bench = Bench("tiny-fp8-text")
    bench.clip(prompt="red grass")
    encoder, checkpoint = bench.runner.text_encoders[0], bench.pipeline._checkpoint

    def proved(plan: Plan = bench.plan) -> str:
        return raised(lambda: proof.prove_text_encoder(encoder, bench.preset, plan, checkpoint))

    found = {"text_as_planned": proved()}
    found["text_kernel"] = proved({**bench.plan, "text_encoder": Choice("fp8-triton", "")})
    matrix = encoder.model.blocks[-1].compute_phases[1].ffn_fc2
    matrix.pin_weight_scale = torch.ones_like(matrix.pin_weight_scale)
    matrix.weight_scale = matrix.pin_weight_scale
    return found | {"text_scales": proved()}


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
        "fp8_encoder": cosine(bench.latents[0], eight_bits.latents[0]),
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
        found[offload] = cosine(first, bench.latents[0])
        raised(partial(bench.clip, run=Recorder(stop_at=6)))
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


def tiny_vae(folder: Path) -> dict[str, Any]:
    """Decoded and previewed by it; told where it isn't there; cancelled while it decodes."""
    from lightx2v.models.video_encoders.hf.tae import TAEHV

    whole, tiny = Bench("tiny-fp8-tae"), Bench("tiny-fp8-tae", decode="tiny")
    exact, run = Recorder(), Recorder()
    whole.clip(run=exact)
    frames = tiny.clip(run=run)
    assert tiny.pipeline._decoder.tiny is not None
    given = tiny.pipeline._decoder.tiny._given(tiny.latents[0][None], tiny.runner.vae_decoder)
    theirs = TAEHV(str(folder / "home" / "weights" / "tiny-fp8-tae" / TINY_VAE)).to(given.dtype)
    at_once = theirs.decode_video(given.transpose(1, 2), parallel=True, show_progress_bar=False)[0]
    pixels = (at_once.float() * 255).round().byte().permute(0, 2, 3, 1).numpy()
    seen = Recorder()
    tiny.clip(run=seen)
    stopping = Recorder(stop_at=seen.checks)
    stopped = raised(partial(tiny.clip, run=stopping))
    tiny.clip()
    lost = Bench("tiny-fp8", decode="tiny").plan["decode"]
    file, vae = folder / "home" / "weights" / "tiny-fp8-tae" / TINY_VAE, tiny.runner.vae_decoder
    found: dict[bool, bool] = {}
    for scaled in (False, True):
        vae.model.decode_stream = _as_by(tiny.pipeline._decoder.tiny, vae, scaled)
        found[scaled] = TinyVae(file, vae)._scaled
    vae.model.decode_stream = lambda latents, _: iter([torch.full((1, 3, 1, 96, 96), -1.0)])
    other = raised(lambda: TinyVae(file, vae))
    file.with_name("no network.pth").write_bytes(b"PK")
    unread = raised(lambda: TinyVae(file.with_name("no network.pth"), vae))
    return {
        "scaled": [found[False], found[True]],
        "other": other,
        "unread": unread,
        "latents": torch.equal(whole.latents[0], tiny.latents[0]),
        "shape": frames.shape,
        "parts": [len(part) for part in run.parts],
        "largest_difference": int(np.abs(frames.astype(int) - pixels.astype(int)).max()),
        "previews": [preview.shape for preview in run.previews],
        "stopped": stopped.startswith("Cancelled"),
        "same": torch.equal(tiny.latents[-1], tiny.latents[0]),
        "without": [lost.value, str(lost.reason)],
        "exact_previews": exact.previews[0].shape[1:3],
    }


def becomes(folder: Path) -> dict[str, Any]:
    """Another model of the same files, which attends otherwise; then the first one again."""
    from lightx2v.utils.registry_factory import ATTN_WEIGHT_REGISTER

    exact = ATTN_WEIGHT_REGISTER["torch_sdpa"]

    class Halved(exact):  # type: ignore[misc, valid-type]
        def apply(self, *given: Any, **more: Any) -> Any:
            return super().apply(*given, **more) / 2

    ATTN_WEIGHT_REGISTER["halved"] = Halved
    # A kernel is tried at a clip's own 32,760 tokens: nine seconds on a processor.
    kernels.try_attention = partial(kernels.try_attention, tokens=1024)
    bench = Bench("tiny-fp8-tae", offload="block-exact")
    bench.clip()
    model, scheduler = bench.runner.model, bench.runner.scheduler
    draft = bench.preset.model_copy(update={"id": "a-draft", "draft_of": "tiny-fp8-tae"})

    def attending(kernel: str) -> Plan:
        more = {"attention": Choice(kernel, "For the test."), "decode": Choice("tiny", "")}
        return bench.pipeline.become(draft, {**bench.plan, **more})

    ran = attending("halved")
    bench.clip()
    missing = attending("no such kernel")
    bench.clip()
    back = bench.pipeline.become(bench.preset, bench.plan)
    run = Recorder()
    bench.clip(run=run)
    first, halved, whole, again = bench.latents
    return {
        "ran": [ran["attention"].value, ran["decode"].value],
        "differs": not torch.equal(first, halved),
        "missing": [missing["attention"].value, torch.equal(whole, first)],
        "back": [back["attention"].value, back["decode"].value],
        "same": torch.equal(again, first),
        "nothing_was_loaded": bench.runner.model is model and bench.runner.scheduler is scheduler,
        "works_on": len(run.previews),
    }


def _as_by(tiny: TinyVae, vae: Any, scaled: bool) -> Any:
    """A whole VAE whose pictures are the tiny one's, of latents that are scaled or aren't."""

    def stream(latents: torch.Tensor, _: Any) -> Any:
        tiny._scaled = scaled
        yield from tiny.stream(latents, vae)

    return stream


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
        found[name] = raised(bench.clip)
    bench.runner.vae_decoder.model.decode_stream = stream
    bench.clip()
    return found | {"same": bench.same()}


CASES: tuple[Callable[[Path], dict[str, Any]], ...] = (
    works,
    sizes,
    cancel,
    faults,
    precision,
    proofs,
    texts,
    tiled,
    tiny_vae,
    becomes,
    bad_frames,
    offloads,
    *repair_cases.CASES,
    *adapter_cases.CASES,
    pictures,
    encoded,
    turns,
    told_apart,
    both_offloads,
    one_expert_unread,
    *rife_cases.CASES,
    *seedvr_cases.CASES,
)


def main(names: str, folder: Path) -> None:
    """Each case's answer on a line, or what it raised: the others still get their turn."""
    import_at_once()
    by_name = {case.__name__: case for case in CASES}
    for name in names.split(","):
        try:
            answer = by_name[name](folder)
        except Exception:
            answer = {"crashed": traceback.format_exc()}
        print(json.dumps(answer), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
