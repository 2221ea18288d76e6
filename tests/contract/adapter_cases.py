"""The cases of cases.py that merge LoRAs into what LightX2V has loaded."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from engine.adapters.store import Adapters
from engine.home import Home
from engine.pipelines.base import Pictures
from engine.pipelines.lightx2v.adapters.held import held_tensors
from engine.request import Adapter
from tests.contract import lora_files
from tests.contract.bench import Bench, Recorder, cosine, raised
from tests.contract.checkpoints import DIM
from tests.contract.picture_cases import I2V, drawn

MERGED = {"first": 1.0, "second": -0.5}  # what is in the checkpoint "tiny-merged"
SEEDS = {"first": 11, "second": 12}


def written() -> Adapters:
    """The folder with LoRAs on all blocks, of which one is in three schemes, and on one block."""
    store = Adapters(Home.find())
    for name, seed in SEEDS.items():
        lora_files.write(store.folder / f"{name}.safetensors", lora_files.lora(seed), "wan")
    first = lora_files.lora(SEEDS["first"])
    for scheme in ("kohya", "diffusers"):
        lora_files.write(store.folder / f"{scheme}.safetensors", first, scheme)
    some = lora_files.lora(13, blocks=[1], beside=False)
    lora_files.write(store.folder / "some.safetensors", some, "kohya")
    return store


def chosen(store: Adapters, **strengths: float) -> tuple[Adapter, ...]:
    return tuple(
        adapter
        for name, strength in strengths.items()
        for adapter in store.find(name).adapters(strength)
    )


def bits(bench: Bench) -> dict[str, torch.Tensor]:
    """Copies of every tensor that the transformer holds."""
    held = held_tensors(bench.runner.model).items()
    return {name: one.tensor.flatten().clone().view(torch.uint8) for name, one in held}


def changed(before: Mapping[str, torch.Tensor], bench: Bench) -> list[str]:
    return [name for name, held in bits(bench).items() if not torch.equal(before[name], held)]


def adapters(folder: Path) -> dict[str, Any]:
    """Two at once are the merged checkpoint's clip; without them every bit is as before."""
    store = written()
    both = chosen(store, **MERGED)
    found: dict[str, Any] = {}
    reference = Bench("tiny-merged")
    reference.clip()
    wanted = reference.latents[0]
    for name in ("tiny-dequantised", "tiny-fp8", "tiny-fp8-single"):
        bench = Bench(name)
        before, model = bits(bench), bench.runner.model
        run = Recorder()
        bench.clip()
        bench.clip(adapters=both, run=run)
        bench.clip(adapters=both)
        written_ones = len(changed(before, bench))
        bench.clip()
        plain, with_both, again, without = bench.latents
        found[name] = {
            "cosine": cosine(with_both, wanted),
            "equal": torch.equal(with_both, wanted),
            "unmerged": cosine(plain, wanted),
            "stays": torch.equal(with_both, again),
            "written": written_ones,
            "removed": torch.equal(plain, without) and not changed(before, bench),
            "same_model": bench.runner.model is model,
            "stages": [call[1] for call in run.told if call[0] == "stage"],
        }
    return found


def adapter_changes(folder: Path) -> dict[str, Any]:
    """Names of three trainers; some blocks only; another strength; one LoRA against itself."""
    store = written()
    bench = Bench("tiny-fp8")
    before = bits(bench)
    schemes = []
    for name in ("first", "kohya", "diffusers"):
        bench.clip(adapters=chosen(store, **{name: 0.75}))
        schemes.append(bench.latents[-1])
    held = bits(bench)
    bench.clip(adapters=chosen(store, first=-2.0))
    bench.clip(adapters=chosen(store, first=0.75))
    found: dict[str, Any] = {
        "schemes": [torch.equal(schemes[0], other) for other in schemes[1:]],
        "strength_back": not changed(held, bench),
    }
    bench.clip(adapters=chosen(store, some=1.0))
    some = changed(before, bench)
    found["some"] = len(some), {name.split(".")[1] for name in some} == {"1"}
    whole = Bench("tiny-dequantised")
    before = bits(whole)
    whole.clip(adapters=chosen(store, first=1.0, kohya=-1.0))
    found["against_itself"] = changed(before, whole)
    found["without"] = raised(partial(whole.clip, adapters=(Adapter("0" * 64, 1.0),)))
    other = {"blocks.0.ffn.0.lora_down.weight": torch.zeros(2, 2 * DIM)}
    other["blocks.0.ffn.0.lora_up.weight"] = torch.zeros(4 * DIM, 2)
    save_file(other, store.folder / "other.safetensors")
    found["other"] = raised(partial(whole.clip, adapters=chosen(store, other=1.0)))
    whole.clip()
    return found | {"then": changed(before, whole)}


def adapter_cancel(folder: Path) -> dict[str, Any]:
    """Cancelled between two tensors; then without, and with the other one, as if it hadn't been."""
    store = written()
    first, second = chosen(store, first=1.0), chosen(store, second=1.0)
    bench = Bench("tiny-fp8")
    bench.clip()
    bench.clip(adapters=second)
    before = bits(bench)
    stopped = raised(partial(bench.clip, adapters=first, run=Recorder(stop_at=9)))
    half = len(changed(before, bench))
    bench.clip(adapters=second)
    same = not changed(before, bench) and torch.equal(bench.latents[1], bench.latents[2])
    raised(partial(bench.clip, adapters=first, run=Recorder(stop_at=5)))
    bench.clip()
    return {
        "stopped": stopped.startswith("Cancelled"),
        "half": half,
        "same": same,
        "without_same": torch.equal(bench.latents[0], bench.latents[-1]),
    }


def adapter_offloads(folder: Path) -> dict[str, Any]:
    """Exactly pinned and lazy as pinned; a draft goes on with what is merged."""
    store = written()
    both = chosen(store, **MERGED)
    found: dict[str, Any] = {}
    first: torch.Tensor | None = None
    for offload in ("block", "block-exact", "lazy"):
        bench = Bench("tiny-fp8", offload=offload)
        bench.clip()
        bench.clip(adapters=both)
        bench.clip()
        plain, merged, without = bench.latents
        first = merged if first is None else first
        found[offload] = cosine(first, merged)
        found[f"{offload}_unmerged"] = cosine(plain, merged)
        found[f"{offload}_removed"] = torch.equal(plain, without)
    bench = Bench("tiny-fp8")
    bench.clip(adapters=both)
    draft = bench.preset.model_copy(update={"id": "a-draft", "draft_of": "tiny-fp8"})
    bench.pipeline.become(draft, bench.plan)
    bench.clip(adapters=both)
    return found | {"draft": bench.same()}


def adapter_one_expert(folder: Path) -> dict[str, Any]:
    """In RAM for one of two, merged as they come: the clip of both in RAM, also after a change, a
    cancel on either side of the change of transformers, a probe, a draft and a removal."""
    store = written()
    picture = partial(Recorder, pictures=Pictures(drawn()))
    first, both = chosen(store, first=1.0), chosen(store, **MERGED)
    whole = Bench(I2V, offload="block-exact")
    for wanted in ((), both, first):
        whole.clip(adapters=wanted, run=picture())
    plain, with_both, with_first = whole.latents
    bench = Bench(I2V, offload="one-expert")
    turns = {"plain": (), "both": both, "both_again": both, "first": first, "removed": ()}
    for wanted in turns.values():
        bench.clip(adapters=wanted, run=picture())
    made = dict(zip(turns, bench.latents, strict=True))
    found: dict[str, Any] = {
        "equal": [
            torch.equal(made["plain"], plain),
            torch.equal(made["both"], with_both),
            torch.equal(made["both_again"], with_both),
            torch.equal(made["first"], with_first),
            torch.equal(made["removed"], plain),
        ],
        "differ": cosine(plain, with_both) < 0.999,
    }
    after = []
    for stop in (6, 9, 12, 15):
        raised(partial(bench.clip, adapters=both, run=picture(stop_at=stop)))
        bench.clip(adapters=first, run=picture())
        after.append(torch.equal(bench.latents[-1], with_first))
    bench.clip(adapters=both, run=picture(), steps=1)
    bench.clip(adapters=both, run=picture())
    after.append(torch.equal(bench.latents[-1], with_both))
    draft = bench.preset.model_copy(update={"id": "a-draft", "draft_of": bench.preset.id})
    bench.pipeline.become(draft, bench.plan)
    bench.clip(adapters=both, run=picture())
    after.append(torch.equal(bench.latents[-1], with_both))
    return found | {"after": after}


def adapter_both_experts(folder: Path) -> dict[str, Any]:
    """One file for both transformers is the pair of files, one for each."""
    store = written()
    sides = {}
    for noise, seed in (("high", 11), ("low", 12)):
        sides[noise] = store.folder / f"pair_{noise}_noise.safetensors"
        lora_files.write(sides[noise], lora_files.lora(seed), "diffusers")
    lora_files.write_both(store.folder / "both.safetensors", sides["high"], sides["low"])
    pair, both, one = (chosen(store, **{name: 1.0}) for name in ("pair", "both", "first"))
    found: dict[str, Any] = {"files": [len(pair), len(both)]}
    for offload in ("block-exact", "one-expert", "lazy"):
        bench = Bench(I2V, offload=offload)
        for wanted in (pair, both, one):
            bench.clip(adapters=wanted, run=Recorder(pictures=Pictures(drawn())))
        found[offload] = [torch.equal(bench.latents[0], other) for other in bench.latents[1:]]
    return found


CASES = (
    adapters,
    adapter_changes,
    adapter_cancel,
    adapter_offloads,
    adapter_one_expert,
    adapter_both_experts,
)
