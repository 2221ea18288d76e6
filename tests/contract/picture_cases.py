"""Cases of Wan 2.2: clips that begin, and may end, with a picture, made by two transformers."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.pipelines.base import Pictures
from engine.pipelines.lightx2v import experts, picture, proof, settings
from engine.request import Size
from engine.stages import Frames
from tests.contract.bench import Bench, Recorder, cosine, raised

I2V = "tiny-i2v"
SIZE = (64, 96, 9)


def drawn(size: tuple[int, int, int] = SIZE, seed: int = 0) -> Frames:
    """A picture of noise, of that height and width."""
    found: Frames = np.random.default_rng(seed).integers(0, 256, (*size[:2], 3), dtype=np.uint8)
    return found


def pictures(folder: Path) -> dict[str, Any]:
    """With a first, and with a last one: sizes, pictures and tasks change on the warm pipeline."""
    bench = Bench(I2V)
    model = bench.runner.model
    run = Recorder(pictures=Pictures(drawn()))
    frames = bench.clip(run=run)
    bench.clip(run=Recorder(pictures=Pictures(drawn(seed=1))))
    bench.clip(seed=8, run=Recorder(pictures=Pictures(drawn())))
    both = Recorder(pictures=Pictures(drawn(), drawn(seed=1)))
    bench.clip(run=both)
    bench.clip(run=Recorder(pictures=Pictures(drawn(), drawn(seed=2))))
    tall = bench.clip(size=(96, 64, 5), run=Recorder(pictures=Pictures(drawn((96, 64, 5)))))
    probe = Recorder(pictures=Pictures(drawn()))
    bench.clip(run=probe, steps=1)
    shift = bench.runner.scheduler.sample_shift
    bench.clip(run=Recorder(pictures=Pictures(drawn(), drawn(seed=1))))
    bench.clip(run=Recorder(pictures=Pictures(drawn())))
    first, other_picture, other_seed, last, other_last, *_, last_again, _ = bench.latents
    return {
        "shape": frames.shape,
        "tall": tall.shape,
        "stages": [call[1:] for call in run.told if call[0] == "stage"],
        "last_stages": [call[1] for call in both.told if call[0] == "stage"],
        "advances": [call[1:] for call in run.told if call[0] == "advance"],
        "previews": [preview.shape for preview in run.previews],
        "probe_previews": len(probe.previews),
        "differ": [
            not torch.equal(first, other) for other in (other_picture, other_seed, last, other_last)
        ]
        + [not torch.equal(last, other_last)],
        "last_same": torch.equal(last, last_again),
        "same": bench.same(),
        "shift": shift,
        "same_model": bench.runner.model is model,
        "wrong_size": raised(
            lambda: bench.clip(run=Recorder(pictures=Pictures(drawn((32, 32, 1)))))
        ),
        "none": raised(bench.clip),
    }


def encoded(folder: Path) -> dict[str, Any]:
    """Piece by piece, to the bit what LightX2V encodes at once; then tile by tile."""
    found: dict[str, Any] = {"same": [], "runs": []}
    for decode in ("whole", "tiled"):
        bench = Bench(I2V, decode=decode)
        layers = list(bench.runner.vae_encoder.model.encoder.downsamples)
        conv = next(part for part in layers[0].modules() if isinstance(part, torch.nn.Conv3d))
        done: list[int] = []
        conv.register_forward_hook(lambda *_, done=done: done.append(1))
        for size, ends in (((64, 96, 33), False), ((64, 96, 33), True), ((32, 48, 5), True)):
            given = Pictures(drawn(size), drawn(size, 1) if ends else None)
            ours = _ours(bench, given, Size(*size))
            counted = len(done)
            done.clear()
            found["same"].append(torch.equal(ours, _theirs(bench, given, Size(*size))))
            found["runs"].append(counted < len(done))
            done.clear()
    return found


def _ours(bench: Bench, given: Pictures, size: Size) -> torch.Tensor:
    encoder = bench.pipeline._pictures
    assert encoder is not None
    bench.pipeline._pipe.modify_config({"target_video_length": size.frames})
    encoder.take(given, size, bench.plan["decode"].value == "tiled")
    return encoder.encode()


def _theirs(bench: Bench, given: Pictures, size: Size) -> torch.Tensor:
    """LightX2V's own, our hooks taken off."""
    runner, vae = bench.runner, bench.runner.vae_encoder
    build, encode = vars(runner).pop("_build_vae_encoder_input"), vars(vae).pop("encode")
    assert given.first is not None
    frames = [None if one is None else picture.as_tensor(one) for one in (given.first, given.last)]
    try:
        found: torch.Tensor = runner.get_vae_encoder_output(
            frames[0], size.height // 8, size.width // 8, frames[1]
        )
    finally:
        runner._build_vae_encoder_input, vae.encode = build, encode
    return found


def turns(folder: Path) -> dict[str, Any]:
    """Cancelled and failed in either transformer, and while the picture is read: then the same."""
    bench = Bench(I2V, offload="block-exact")
    run = Recorder(pictures=Pictures(drawn()))
    bench.clip(run=run)
    again = partial(bench.clip, run=Recorder(pictures=Pictures(drawn())))
    found: dict[str, Any] = {"checks": run.checks}
    # A look behind the text, one for each piece of the pictures and for each block.
    for name, at in (("picture", 3), ("first", 6), ("second", 12)):
        stopping = Recorder(pictures=Pictures(drawn()), stop_at=at)
        told = raised(partial(bench.clip, run=stopping))
        stages = [call[1] for call in stopping.told if call[0] == "stage"]
        again()
        found[name] = [told.split(":")[0], stopping.checks, stages[-1], bench.same()]
    for name, block in (("first", 5), ("second", 8)):
        undo = bench.break_block(block, ValueError("x"))
        told = raised(again)
        undo()
        again()
        found[f"{name}_fails"] = [told, bench.same()]
    encoder = bench.runner.vae_encoder.model.encoder
    hook = encoder.register_forward_pre_hook(_out_of_memory)
    found["picture_fails"] = raised(again)
    hook.remove()
    again()
    return found | {"picture_same": bench.same()}


def _out_of_memory(*_: Any) -> None:
    raise torch.OutOfMemoryError("injected")


def told_apart(folder: Path) -> dict[str, Any]:
    """Each transformer is the file that it should be, and they share what holds no weights."""
    bench = Bench(I2V, offload="block-exact")
    first, second = bench.runner.model.model
    runner, preset, plan = bench.runner, bench.preset, bench.plan
    files = bench.pipeline._checkpoint.transformers

    def proved(model: Any, file: Path) -> str:
        return raised(lambda: proof.prove_weights(model, runner, preset, plan, file))

    weights = first.transformer_weights, second.transformer_weights
    found = {
        "as_planned": [proved(first, files[0]), proved(second, files[1])],
        "exchanged": [proved(first, files[1]), proved(second, files[0])],
        "share": [
            first.transformer_infer is second.transformer_infer,
            first.pre_infer is second.pre_infer,
            weights[0].offload_block_cuda_buffers is weights[1].offload_block_cuda_buffers,
            weights[0].blocks is not weights[1].blocks,
        ],
        "alike": raised(lambda: Bench("tiny-i2v-alike")),
    }
    made = settings._transformer
    one_file = {"dit_quantized_ckpt": str(files[0])}
    setattr(settings, "_transformer", lambda *given: made(*given) | one_file)  # noqa: B010
    try:
        found["one_file"] = raised(lambda: Bench(I2V))
    finally:
        settings._transformer = made
    return found


def both_offloads(folder: Path) -> dict[str, Any]:
    """Both or one in RAM make the same clip, after a cancel and a probe, too; lazy nearly."""
    found: dict[str, Any] = {}
    first: torch.Tensor | None = None
    for offload in ("block", "block-exact", "one-expert", "lazy"):
        bench = Bench(I2V, offload=offload)
        again = partial(bench.clip, run=Recorder(pictures=Pictures(drawn())))
        again()
        first = bench.latents[0] if first is None else first
        found[offload] = cosine(first, bench.latents[0])
        same = []
        for stop in (6, 9, 12, 15):
            raised(partial(bench.clip, run=Recorder(pictures=Pictures(drawn()), stop_at=stop)))
            again()
            same.append(bench.same())
        bench.clip(run=Recorder(pictures=Pictures(drawn())), steps=1)
        again()
        found[f"{offload}_same"] = [*same, bench.same()]
        found[f"{offload}_there"] = len(experts.transformers_of(bench.runner.model))
    return found


def one_expert_unread(folder: Path) -> dict[str, Any]:
    """Where a file can't be read at the change, that is told, and the next clip is the same."""
    bench = Bench(I2V, offload="one-expert")
    again = partial(bench.clip, run=Recorder(pictures=Pictures(drawn())))
    again()
    file = bench.pipeline._checkpoint.transformers[1]
    away = file.with_suffix(".away")
    file.rename(away)
    try:
        told = raised(again)
    finally:
        away.rename(file)
    again()
    return {"told": told, "same": bench.same()}
