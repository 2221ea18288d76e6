"""What has to be mended in LightX2V so that one failed clip doesn't spoil the next.

Each repair is named for what it repairs, looks whether upstream still has the fault, and stands
aside where it hasn't. They return whether there was something to mend. Found at commit f8aee98b.
"""

import gc
import logging
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from engine.pipelines.lightx2v.pinning import PinnedArena
from engine.pipelines.lightx2v.proof import blocks_of, matrices_of

log = logging.getLogger("headroom.repairs")


# ---- before loading ------------------------------------------------------------------------


def keep_video_length(pipe: Any, run_file: str) -> bool:
    """``target_video_length`` is dropped from the settings and the scheduler ends in a KeyError.

    set_config.py leaves out every attribute named like a field of any task's input, and one task
    has that field. A JSON file named by the attribute ``config_json`` is merged as a whole.
    (ModelTC/LightX2V#1086)
    """
    from lightx2v.utils.input_info import ALL_INPUT_INFO_KEYS

    if "target_video_length" not in ALL_INPUT_INFO_KEYS:
        return False
    pipe.config_json = run_file
    return True


def no_image_encoder(config: MutableMapping[str, Any]) -> bool:
    """``clean_cuda_cache`` deletes a variable that text-to-video never made (pre_infer.py:194)."""
    if config.get("use_image_encoder") is False:
        return False
    config["use_image_encoder"] = False
    return True


def pin_exactly(arena: PinnedArena) -> bool:
    """Pinned weights are rounded up to powers of two: 13.1 GiB of blocks take 20.

    All weights but two kinds pass through ``create_pin_tensor``; its callers look the name up in
    their module, so that replacing it there reaches them all.
    """
    from lightx2v.common.ops import utils
    from lightx2v.common.ops.embedding.embedding_weight import EmbeddingWeightTemplate
    from lightx2v.common.ops.tensor.tensor import DefaultTensor

    places: tuple[tuple[ModuleType | type, str], ...] = (
        (utils, "create_pin_tensor"),
        (EmbeddingWeightTemplate, "_create_cpu_pin_weight"),
        (DefaultTensor, "_create_cpu_pin_tensor"),
    )
    found = [(owner, name) for owner, name in places if hasattr(owner, name)]
    for owner, name in found:
        setattr(owner, name, staticmethod(arena.place) if isinstance(owner, type) else arena.place)
    if len(found) < len(places):
        log.warning("LightX2V pins some weights by itself now; exact pinning reached %s", found)
    return bool(found)


def bias_may_be_missing() -> bool:
    """The Triton kernels read a bias that the T5's offloaded layers never had.

    A buffer gets its attributes with its weights, and a layer without a bias none of that name:
    ``AttributeError`` at the first prompt (mm_weight.py:1669). Seen on an H100, with fp8-triton.
    """
    from lightx2v.common.ops.mm.mm_weight import MMWeightQuantTemplate

    if hasattr(MMWeightQuantTemplate, "bias"):
        return False
    MMWeightQuantTemplate.bias = None  # what a layer has that was never given one
    return True


def lazy_biases(model: Any) -> bool:
    """Biases that are float32 in the file stay so on the GPU where blocks are read lazily.

    They are cast when they are loaded (mm_weight.py:474), but the buffers that lazy ones are copied
    to are made as the file has them (498): ``bias dtype must match output dtype`` at the first
    block. Seen on an H100, with fp8-sgl.
    """
    mended = False
    for _, block in blocks_of(model):
        for _, matrix in matrices_of(block):
            if getattr(matrix, "bias_force_fp32", False):  # Triton's kernels want them so
                continue
            bias = getattr(matrix, "bias_cuda_buffer", None)
            if isinstance(bias, torch.Tensor) and bias.dtype == torch.float32:
                matrix.bias_cuda_buffer = bias.to(torch.bfloat16)  # filled anew for each block
                mended = True
    return mended


@contextmanager
def no_random_weights() -> Iterator[None]:
    """The T5's token embedding is drawn at random, a billion values, before it is read.

    That takes longer than reading it (8.5 s on two cores).
    """
    embedding: Any = torch.nn.Embedding
    drawn = embedding.reset_parameters
    embedding.reset_parameters = _leave
    try:
        yield
    finally:
        embedding.reset_parameters = drawn


def _leave(_embedding: torch.nn.Embedding) -> None:
    """Its values come from the checkpoint."""


@contextmanager
def mapped_files() -> Iterator[None]:
    """The T5's file is copied into RAM whole, 6.3 GiB beside the weights made from it.

    Mapped, its pages belong to the system, which takes them back when it needs them
    (utils/utils.py:505 calls ``torch.load`` without).
    """
    load: Any = torch.load

    def mapped(file: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return load(file, *arguments, **{"mmap": True, **options})
        except RuntimeError:  # the format before PyTorch 1.6 can't be mapped
            return load(file, *arguments, **options)

    module: Any = torch
    module.load = mapped
    try:
        yield
    finally:
        module.load = load


# ---- before, during and after a run --------------------------------------------------------


def lift_stop(runner: Any) -> bool:
    """A stop signal sticks: every later run would end at its first step."""
    stopped = bool(getattr(runner, "stop_signal", False))
    if stopped:
        runner.stop_signal = False
    return stopped


class WordsInRam:
    """``embedding`` that stays in RAM: it looks words up there and sends what it found."""

    def __init__(self, embedding: torch.nn.Embedding) -> None:
        self.embedding = embedding.to("cpu")

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.embedding(ids.to("cpu"))
        return found.to(ids.device)

    def to(self, *_: Any, **__: Any) -> "WordsInRam":
        return self


def look_words_up_in_ram(encoders: Iterable[Any]) -> bool:
    """The offloaded T5 takes its token embedding, 2.1 GB, to the GPU for each prompt, two seconds
    of a new one's 2.3, and leaves it there (t5/model.py:578). A prompt needs 512 of its rows."""
    mended = False
    for encoder in encoders:
        embedding = getattr(getattr(encoder, "model", None), "token_embedding", None)
        if getattr(encoder, "cpu_offload", False) and isinstance(embedding, torch.nn.Embedding):
            # Past the module's own list of parts, so that nothing else moves it either.
            del encoder.model.token_embedding
            object.__setattr__(encoder.model, "token_embedding", WordsInRam(embedding))
            mended = True
    return mended


def leave_words_to_theirs(encoders: Iterable[Any]) -> None:
    """Undo ``look_words_up_in_ram``."""
    for encoder in encoders:
        words = getattr(encoder.model, "token_embedding", None)
        if isinstance(words, WordsInRam):
            del encoder.model.token_embedding
            encoder.model.token_embedding = words.embedding


def drop_video(runner: Any) -> bool:
    """The runner keeps the last clip's frames until the next decode (base_runner.py)."""
    names = ("gen_video", "gen_video_final")
    kept = [name for name in names if getattr(runner, name, None) is not None]
    for name in kept:
        setattr(runner, name, None)
    return bool(kept)


# ---- after a failure -----------------------------------------------------------------------


def forget_seed(runner: Any) -> bool:
    """After any exception the noise generator stays, and the next clip ignores its seed.

    Only a run that ends well, or by LightX2V's own stop, calls ``end_run`` (scheduler.py:111).
    """
    scheduler = getattr(runner, "scheduler", None)
    if scheduler is None or scheduler.generator is None:
        return False
    try:
        runner.end_run()
    except Exception:  # it was written for runs that went well
        log.exception("LightX2V's end_run failed after a failure")
        scheduler.clear()
    return True


def refill_offload_buffers(runner: Any) -> bool:
    """After an exception inside a step the two block buffers hold the wrong blocks.

    The next run would compute with shifted weights, without any error (manager.py:63).
    """
    infer = getattr(getattr(runner, "model", None), "transformer_infer", None)
    manager = getattr(infer, "offload_manager", None)
    if manager is None or manager.need_init_first_buffer:
        return False
    manager.need_init_first_buffer = True
    return True


def reset_decoder(runner: Any) -> bool:
    """An exception while decoding leaves the VAE on the GPU, with its features of that clip."""
    vae = getattr(runner, "vae_decoder", None)
    model = getattr(vae, "model", None)
    if vae is None or model is None:
        return False
    model.clear_cache()
    if getattr(vae, "cpu_offload", False):
        vae.to_cpu()
    return True


def reset_encoder(runner: Any) -> bool:
    """The same of an exception while encoding a picture; where the VAE is read anew for it, it is
    left behind."""
    vae = getattr(runner, "vae_encoder", None)
    if vae is None:
        return False
    vae.model.clear_cache()
    if getattr(vae, "cpu_offload", False):
        vae.to_cpu()
    if runner.config.get("lazy_load"):
        del runner.vae_encoder
    return True


def drop_text_encoder(runner: Any) -> bool:
    """Where it is read anew for every prompt, an exception while it reads one leaves it loaded."""
    if not runner.config.get("lazy_load") or not getattr(runner, "text_encoders", None):
        return False
    runner.text_encoders = []
    return True


def after_failure(runner: Any) -> None:
    """All that the next clip needs to come out as if this one had never begun."""
    if torch.cuda.is_available():
        # Copies of blocks may still be under way on LightX2V's own streams.
        torch.cuda.synchronize()
    refill_offload_buffers(runner)
    forget_seed(runner)
    drop_text_encoder(runner)
    reset_decoder(runner)
    drop_video(runner)
    lift_stop(runner)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
