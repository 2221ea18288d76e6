"""What LoRAs cost on this GPU, and what quantising the merged weights loses.

The LoRAs are random, of rank 64 on every layer of every block; their product is about a tenth of
the weights that it is added to, as a strong one's is.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import save_file

from engine.adapters.store import AdapterEntry, Adapters
from engine.home import Home
from engine.pipelines.lightx2v.adapters.changes import Changes, Wanted
from engine.pipelines.lightx2v.adapters.held import held_tensors
from engine.pipelines.lightx2v.adapters.merger import Merger
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.writer import SCALE, Writer
from engine.presets import ModelPreset
from engine.request import Adapter
from tests.tools.gpu import pretend
from tests.tools.gpu.bench import Bench, Run
from tests.tools.gpu.rows import OWN, told
from tests.tools.gpu.true_shape import architecture

RANK = 64
SHARE = 0.1  # of the weights' own size
ATTENTION = tuple(f"{kind}.{part}" for kind in ("self_attn", "cross_attn") for part in "qkvo")


def whole(bench: Bench) -> None:
    """All of it on one loaded pipeline. Of lazy weights only clips: nothing is kept merged."""
    store = Adapters(Home.find())
    first, second = (write(bench.pipeline.preset, store, seed) for seed in (1, 2))
    plain = bench.run(OWN, steps=None, kind="cold")
    bench.run(OWN, steps=None, kind="lora_without")
    merger = bench.pipeline._loras[0]._merger
    if merger is not None:
        with told(bench.out, "merging"):
            merging(bench, merger, first, second)
        with told(bench.out, "errors"):
            errors(bench, merger, first)
        with told(bench.out, "on the CPU"):
            on_the_cpu(bench, first)
        merger.merge([])
    # Its load is the merge, through the pipeline's own way; the next one has it already.
    for kind in ("lora_first", "lora_with"):
        bench.run(OWN, steps=None, kind=kind, adapters=(chosen(first),))
    both = chosen(first), chosen(second, 0.5)
    bench.run(OWN, steps=None, kind="lora_two", adapters=both)
    run = Run(bench.meter)
    after = bench.run(OWN, steps=None, kind="lora_removed", run=run)
    same = plain is not None and after is not None and bool((plain == after).all())
    bench.tell("lora_same", same=same, seconds=run.seconds.get("load"))


def originals_of(bench: Bench) -> Originals:
    checkpoint = bench.pipeline._checkpoint
    return Originals(checkpoint.transformer, checkpoint.layout)


def chosen(one: Wanted, strength: float = 1.0) -> Adapter:
    return Adapter(one.sha256, strength)


def write(preset: ModelPreset, store: Adapters, seed: int, name: str = "") -> Wanted:
    """A LoRA of ``preset``'s shape in the folder."""
    shape = architecture(preset)
    sides = dict.fromkeys(ATTENTION, (shape.dim, shape.dim))
    sides |= {"ffn.0": (shape.ffn_dim, shape.dim), "ffn.2": (shape.dim, shape.ffn_dim)}
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for block in range(shape.layers):
        for part, (out, into) in sides.items():
            # A sum of RANK products of this spread; the weights' is 1 / sqrt(into).
            spread = math.sqrt(SHARE / math.sqrt(RANK * into))
            for side, size in (("lora_down", (RANK, into)), ("lora_up", (out, RANK))):
                values = torch.randn(*size, generator=generator) * spread
                key = f"diffusion_model.blocks.{block}.{part}.{side}.weight"
                tensors[key] = values.to(torch.bfloat16)
    store.make_folder()
    file = store.folder / f"{name or f'random {seed}'}.safetensors"
    save_file(tensors, file)
    entry = store.find(file.name)
    return Wanted(file, entry.files[0].sha256, 1.0)


def write_pair(preset: ModelPreset, store: Adapters) -> AdapterEntry:
    """One for each of two transformers, which are found as a pair."""
    for seed, noise in enumerate(("high", "low"), start=1):
        write(preset, store, seed, f"pair {noise}")
    (entry,) = (one for one in store.entries() if len(one.files) == 2)
    return entry


def merging(bench: Bench, merger: Merger, first: Wanted, second: Wanted) -> None:
    """Seconds and VRAM of each change. The first takes what is in RAM, the others read files."""
    weaker = Wanted(first.path, first.sha256, 0.5)
    changes: tuple[tuple[str, list[Wanted]], ...] = (
        ("merge", [first]),
        ("strength", [weaker]),
        ("switch", [second]),
        ("add", [second, first]),
        ("remove", []),
        ("merge again", [first]),
    )
    for what, wanted in changes:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        with timed(bench, what) as facts:
            done = merger.merge(wanted)
            facts |= {
                "tensors": done.written,
                "vram": torch.cuda.max_memory_allocated() - before,
                **bench.host(),
            }


def errors(bench: Bench, merger: Merger, one: Wanted) -> None:
    """Of each layer of a block: how far from the exact sum what is held is, and bf16 would be.

    ``error``, ``bf16``: by the sum's own size (Frobenius); ``of_lora``: the error by the size of
    what the LoRA adds; ``before``: that of quantising alone can't be known from random weights.
    """
    merger.merge([one])
    originals = originals_of(bench)
    changes, held = Changes([one], originals), held_tensors(bench.runner.model)
    writer = Writer(originals, torch.device("cpu"))
    layers = architecture(bench.pipeline.preset).layers
    rows = slice(0, 512)
    for part in (*ATTENTION, "ffn.0", "ffn.2"):
        tensor = f"blocks.{layers // 2}.{part}.weight"
        values, scales = writer.parts(tensor, held)
        found = values[rows].to("cpu").double()
        exact = originals.rows(tensor, rows).double()
        if scales is not None:
            found *= scales[rows].cpu().double()
            exact *= originals.rows(f"{tensor}{SCALE}").view(-1, 1)[rows].double()
        (product,) = changes.products(tensor)
        assert product.down is not None
        added = product.up[rows].double() @ product.down.double()
        exact += added
        error = (found - exact).norm()
        bench.tell(
            "lora_error",
            layer=part,
            error=float(error / exact.norm()),
            bf16=float((exact.to(torch.bfloat16).double() - exact).norm() / exact.norm()),
            of_lora=float(error / added.norm()),
            share=float(added.norm() / exact.norm()),
        )


def on_the_cpu(bench: Bench, one: Wanted) -> None:
    """The same on this machine's CPU, for one block; the weights stay as the GPU made them."""
    originals = originals_of(bench)
    changes, held = Changes([one], originals), held_tensors(bench.runner.model)
    block = [tensor for tensor in changes.tensors if tensor.startswith("blocks.0.")]
    on_host = Writer(originals, torch.device("cpu"))
    with timed(bench, "one block on the CPU, a thread") as facts:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        for tensor in block:
            values, scales = on_host.parts(tensor, held)
            copies = values.to("cpu", copy=True), None if scales is None else scales.cpu().clone()
            on_host.add(tensor, changes.products(tensor), *copies, clean=False)
        torch.set_num_threads(before)
        facts["tensors"] = len(block)


@contextmanager
def timed(bench: Bench, what: str) -> Iterator[dict[str, Any]]:
    facts: dict[str, Any] = {}
    if not pretend.ON:
        torch.cuda.synchronize()
    began = time.perf_counter()
    yield facts
    if not pretend.ON:
        torch.cuda.synchronize()
    bench.tell("lora_merge", what=what, seconds=round(time.perf_counter() - began, 3), **facts)
