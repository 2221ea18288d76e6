"""The cases of cases.py that leave a repair out: upstream's fault shows, and with it doesn't."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

import torch

from engine.pipelines.lightx2v import repairs
from tests.contract.bench import Bench, raised
from tests.contract.checkpoints import quantise


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
                raised(partial(bench.clip, seed=9))
                undo()
            found[name] = raised(bench.clip) or bench.same()
        finally:
            setattr(repairs, name, repair)
        if name == "lift_stop":
            bench.clip()
            found["stop_lifted_same"] = bench.same()
    found["drop_video"] = bench.runner.gen_video is None
    return found


def broken(folder: Path) -> dict[str, Any]:
    """Where nothing can be mended, as with a dead CUDA context, that is told as such; so it is if
    the next clip finds it out."""
    bench = Bench("tiny-fp8")
    bench.clip()
    mend = repairs.after_failure

    def failing(_runner: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    undo = bench.break_block(5, ValueError("x"))
    setattr(repairs, "after_failure", failing)  # noqa: B010
    try:
        found = {"first": raised(bench.clip), "next": raised(bench.clip)}
    finally:
        repairs.after_failure = mend
        undo()
    bench.clip()
    return found | {"same": bench.same()}


def text_faults(folder: Path) -> dict[str, Any]:
    """The T5's file is read whole, not mapped; where it is read lazily, a failure leaves it."""
    asked: list[bool] = []
    load = torch.load

    def noted(*arguments: Any, **options: Any) -> Any:
        if "umt5" in str(arguments[0]):
            asked.append(bool(options.get("mmap")))
        return load(*arguments, **options)

    mapped, drop = repairs.mapped_files, repairs.drop_text_encoder
    module: Any = torch
    module.load = noted
    found: dict[str, Any] = {}
    try:
        for name, repair in (("upstream", contextlib.nullcontext), ("mapped", mapped)):
            asked.clear()
            setattr(repairs, "mapped_files", repair)  # noqa: B010
            Bench("tiny-fp8").clip(prompt=f"never read before: {name}")
            found[name] = asked[0]
        bench = Bench("tiny-fp8", offload="lazy")
        for name, mend in (("left", lambda _runner: False), ("dropped", drop)):
            setattr(repairs, "drop_text_encoder", mend)  # noqa: B010
            found[f"{name}_told"] = _failing_text(bench, f"nor this: {name}")
            found[name] = len(bench.runner.text_encoders)
    finally:
        module.load = load
        repairs.mapped_files, repairs.drop_text_encoder = mapped, drop
    return found


def lazy_biases(folder: Path) -> dict[str, Any]:
    """Read lazily, biases keep the file's float32, which FP8 kernels refuse on a GPU."""
    bench = Bench("tiny-fp8", offload="lazy")
    model = bench.pipeline._load_transformer()

    def kind() -> str:
        buffer = model.transformer_weights.offload_block_cuda_buffers[0]
        return str(buffer.compute_phases[2].ffn_0.bias_cuda_buffer.dtype)

    upstream = kind()
    mended = repairs.lazy_biases(model), repairs.lazy_biases(model)
    return {"upstream": upstream, "mended": mended, "then": kind()}


def _failing_text(bench: Bench, prompt: str) -> str:
    """What a clip raises whose text encoder fails after it was read."""
    whole = bench.pipeline._texts.load_it

    def breaking() -> Any:
        encoders = whole()
        encoders[0].infer = lambda _texts: 1 / 0
        return encoders

    bench.pipeline._texts.load_it = breaking
    try:
        return raised(partial(bench.clip, prompt=prompt))
    finally:
        bench.pipeline._texts.load_it = whole


def video_length(folder: Path) -> dict[str, Any]:
    """Without the repair loading ends in the KeyError of LightX2V#1086."""
    kept = repairs.keep_video_length
    repairs.keep_video_length = lambda _pipe, _file: False  # type: ignore[assignment]
    try:
        return {"without": raised(lambda: Bench("tiny-fp8"))}
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
    return found | {"without": raised(bench.clip)}


def token_embedding(folder: Path) -> dict[str, Any]:
    """LightX2V moves it to the device for each prompt, and never back; with our repair it stays."""
    bench = Bench("tiny-fp8")
    bench.clip(prompt="grass")
    encoders = bench.runner.text_encoders
    mended = isinstance(encoders[0].model.token_embedding, repairs.WordsInRam)
    repairs.leave_words_to_theirs(encoders)
    table = encoders[0].model.token_embedding
    moved: list[str] = []

    def to(device: object, *_: Any) -> Any:
        moved.append(str(device))
        return table

    table.to = to
    bench.clip(prompt="green grass")
    by_theirs = [*moved]
    repairs.look_words_up_in_ram(encoders)
    bench.clip(prompt="blue grass")
    return {"moved": by_theirs, "mended": mended}


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


CASES = (
    unrepaired,
    broken,
    text_faults,
    lazy_biases,
    video_length,
    image_encoder,
    token_embedding,
    missing_bias,
)
