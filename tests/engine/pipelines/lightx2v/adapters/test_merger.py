"""What is merged is kept by tensor: changes, removals, errors in the middle. INT8 here; the real
LightX2V has FP8 and bf16 (tests/contract/adapter_cases.py)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from engine.adapters.lora_file import AdapterError
from engine.pipelines.base import Cancelled, PipelineError
from engine.pipelines.lightx2v.adapters import writer as writing
from engine.pipelines.lightx2v.adapters.arithmetic import merged
from engine.pipelines.lightx2v.adapters.changes import Changes, Wanted
from engine.pipelines.lightx2v.adapters.held import Held
from engine.pipelines.lightx2v.adapters.merger import Merger
from engine.pipelines.lightx2v.adapters.originals import Originals
from engine.pipelines.lightx2v.adapters.rows_proof import prove_rows
from engine.pipelines.lightx2v.adapters.writer import Writer
from engine.pipelines.lightx2v.proof import NotAsPlanned
from engine.text import Text
from tests.contract.checkpoints import quantise

PARTS = [f"blocks.{block}.{part}" for block in (0, 1) for part in ("self_attn.q", "ffn.0", "ffn.2")]
DIM, FFN = 16, 32
SIDES = {"q": (DIM, DIM), "0": (FFN, DIM), "2": (DIM, FFN)}


def made(seed: int, rank: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for part in PARTS:
        out, into = SIDES[part[-1]]
        tensors[f"{part}.lora_down.weight"] = torch.randn(rank, into, generator=generator) * 0.3
        tensors[f"{part}.lora_up.weight"] = torch.randn(out, rank, generator=generator) * 0.3
    return tensors


class Loaded:
    """A checkpoint in INT8 and what a pipeline holds of it, turned over as LightX2V does."""

    def __init__(self, folder: Path) -> None:
        generator = torch.Generator().manual_seed(0)
        self.folder = folder
        self.held: dict[str, Held] = {}
        stored: dict[str, torch.Tensor] = {}
        for part in PARTS:
            weight, scale = quantise(torch.randn(*SIDES[part[-1]], generator=generator), "int8")
            bias = torch.randn(SIDES[part[-1]][0], generator=generator)
            stored |= {f"{part}.weight": weight, f"{part}.weight_scale": scale}
            stored[f"{part}.bias"] = bias
            owner = SimpleNamespace(
                pin_weight=weight.clone().t(),
                pin_weight_scale=scale.to(torch.bfloat16).float(),  # rounded on the way
                bias=bias.to(torch.bfloat16),
            )
            for name, held in (
                ("weight", "weight"),
                ("weight_scale", "weight_scale"),
                ("bias", "bias"),
            ):
                self.held[f"{part}.{name}"] = Held(owner, held)
        self.stored = stored
        file = folder / "model.safetensors"
        save_file(stored, file)
        self.originals = Originals(file, "single")
        self.merger = Merger(self.held, Writer(self.originals, torch.device("cpu")))

    def holds(self, wanted: list[Wanted]) -> bool:
        return self.merger.holds(Changes(wanted, self.originals))

    def lora(
        self, seed: int, strength: float = 1.0, more: dict[str, torch.Tensor] | None = None
    ) -> Wanted:
        file = self.folder / f"{seed}.safetensors"
        if not file.exists():
            save_file(made(seed) | (more or {}), file)
        return Wanted(file, f"{seed}", strength)

    def bits(self) -> dict[str, torch.Tensor]:
        return {name: held.tensor.clone() for name, held in self.held.items()}

    def same(self, bits: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(bits[name], held.tensor) for name, held in self.held.items())

    def weight(self, part: str) -> torch.Tensor:
        owner = self.held[f"{part}.weight"].owner
        return owner.pin_weight.t().double() * owner.pin_weight_scale.double()  # type: ignore[no-any-return]

    def wanted(self, part: str, *loras: tuple[int, float]) -> torch.Tensor:
        scale = self.stored[f"{part}.weight_scale"].double()
        found = self.stored[f"{part}.weight"].double() * scale
        for seed, strength in loras:
            tensors = made(seed)
            up, down = (tensors[f"{part}.lora_{side}.weight"].double() for side in ("up", "down"))
            found += strength * (up @ down)
        return found


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    return Loaded(tmp_path)


def near(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Within half a step of INT8 in each row."""
    step = wanted.abs().amax(1, keepdim=True) / 127
    return bool(((found - wanted).abs() <= 0.51 * step).all())


def test_two_at_once_within_half_a_step_and_removed_to_the_bit(loaded: Loaded) -> None:
    before = loaded.bits()
    done = loaded.merger.merge([loaded.lora(1), loaded.lora(2, -0.5)])
    assert (done.written, done.left_out) == (6, 0)
    for part in PARTS:
        assert near(loaded.weight(part), loaded.wanted(part, (1, 1.0), (2, -0.5)))
    assert loaded.holds([loaded.lora(1), loaded.lora(2, -0.5)])
    assert loaded.merger.changed == {f"{part}.weight" for part in PARTS}
    loaded.merger.merge([])
    assert loaded.same(before)
    assert loaded.merger.changed == frozenset()


def test_a_change_is_as_if_it_had_been_the_first(loaded: Loaded) -> None:
    loaded.merger.merge([loaded.lora(2, 0.25)])
    fresh = loaded.bits()
    for earlier in ([loaded.lora(1)], [loaded.lora(1), loaded.lora(2)], []):
        loaded.merger.merge(earlier)
        loaded.merger.merge([loaded.lora(2, 0.25)])
        assert loaded.same(fresh)
    assert loaded.merger.merge([loaded.lora(2, 0.25)]).written == 0


def test_biases_come_back_as_they_were_rounded(loaded: Loaded) -> None:
    before = loaded.bits()
    more = {f"{PARTS[0]}.diff_b": torch.ones(DIM)}
    loaded.merger.merge([loaded.lora(7, 1.0, more)])
    held = loaded.held[f"{PARTS[0]}.bias"].tensor
    assert torch.allclose(held.float(), loaded.stored[f"{PARTS[0]}.bias"] + 1, atol=0.02)
    loaded.merger.merge([])
    assert loaded.same(before)


def stop_at(calls: int, error: BaseException) -> Callable[..., None]:
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1
        if count == calls:
            raise error

    return counted


def test_after_a_cancel_the_rest_is_done(loaded: Loaded) -> None:
    before = loaded.bits()
    with pytest.raises(Cancelled):
        loaded.merger.merge([loaded.lora(1)], stop_at(2, Cancelled()))
    assert not loaded.holds([loaded.lora(1)])
    loaded.merger.merge([loaded.lora(1)])
    assert near(loaded.weight(PARTS[-1]), loaded.wanted(PARTS[-1], (1, 1.0)))
    with pytest.raises(Cancelled):
        loaded.merger.merge([loaded.lora(2)], stop_at(2, Cancelled()))
    loaded.merger.merge([])
    assert loaded.same(before)


def test_a_tensor_that_was_half_written_is_written_anew(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded.bits()
    monkeypatch.setattr(writing, "PIECE_CPU", DIM)
    originals = Originals(loaded.folder / "model.safetensors", "single")
    merger = Merger(loaded.held, Writer(originals, torch.device("cpu")))
    whole = merged
    failing = stop_at(20, OSError("gone"))

    def breaking(*given: object) -> object:
        failing()
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "merged", breaking)
    with pytest.raises(OSError, match="gone"):
        merger.merge([loaded.lora(1)])
    monkeypatch.setattr(writing, "merged", whole)
    merger.merge([])
    assert loaded.same(before)


def test_what_the_proof_doubts_isnt_taken_for_merged(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubt = NotAsPlanned(Text("proof.merged_otherwise", place="blocks.0.ffn.0"))
    monkeypatch.setattr(writing, "prove_rows", stop_at(1, doubt))
    with pytest.raises(PipelineError, match="isn't what its file and the LoRAs make"):
        loaded.merger.merge([loaded.lora(1)])
    assert not loaded.holds([loaded.lora(1)])
    monkeypatch.setattr(writing, "prove_rows", prove_rows)
    assert loaded.merger.merge([loaded.lora(1)]).written == 6


def test_what_has_no_place_is_counted_and_nothing_at_all_refused(loaded: Loaded) -> None:
    more = {
        "blocks.9.ffn.0.lora_down.weight": torch.zeros(2, DIM),
        "blocks.9.ffn.0.lora_up.weight": torch.zeros(FFN, 2),
        "lora_te_x.lora_down.weight": torch.zeros(2, 2),
    }
    assert loaded.merger.merge([loaded.lora(3, 1.0, more)]).left_out == 2
    save_file({name: more[name] for name in list(more)[:2]}, loaded.folder / "none.safetensors")
    with pytest.raises(AdapterError, match="changes no layer"):
        loaded.merger.merge([Wanted(loaded.folder / "none.safetensors", "none", 1.0)])
    assert loaded.holds([loaded.lora(3)])


def test_progress_ends_with_all_of_it(loaded: Loaded) -> None:
    heard: list[float] = []
    loaded.merger.merge([loaded.lora(1)], told=heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_one_thread_alone_computes_on_a_gpu(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuBLAS keeps a workspace for each thread that ever used it."""
    writer = loaded.merger._writer
    monkeypatch.setattr(writer, "device", torch.device("meta"))
    seen: list[str] = []
    monkeypatch.setattr(
        writer, "_add_piece", lambda *_: seen.append(threading.current_thread().name)
    )
    name = f"{PARTS[0]}.bias"
    with ThreadPoolExecutor(4) as pool:
        for _ in range(8):
            pool.submit(writer.add, name, [], torch.zeros(3, 4), None, True).result()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert "gpu-merge" in seen[0]
