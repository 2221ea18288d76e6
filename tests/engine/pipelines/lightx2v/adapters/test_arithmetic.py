"""Merging in what is stored with scales: against float64, and the look at it afterwards."""

import pytest
import torch

from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v.adapters.arithmetic import (
    LARGEST,
    Product,
    dequantised,
    merged,
    pieces,
)
from engine.pipelines.lightx2v.adapters.rows_proof import prove_rows, some_rows
from tests.contract.checkpoints import quantise

ROWS, VALUES, RANK = 24, 40, 4
QUANTISED = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}


def random(*shape: int, spread: float = 1.0, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


@pytest.fixture
def product() -> Product:
    return Product(random(ROWS, RANK, spread=0.05, seed=2), random(RANK, VALUES, seed=3))


def with_it(stored: torch.Tensor, scales: torch.Tensor, product: Product) -> torch.Tensor:
    assert product.down is not None
    return stored.double() * scales.double() + product.up.double() @ product.down.double()


@pytest.mark.parametrize("precision", ["fp8", "int8"])
@pytest.mark.parametrize("scale_dtype", [torch.float32, torch.bfloat16])
def test_quantised_rows_get_scales_of_their_own(
    precision: str, scale_dtype: torch.dtype, product: Product
) -> None:
    stored, scales = quantise(random(ROWS, VALUES, spread=0.1), precision)
    dtype = QUANTISED[precision]
    values, fresh = merged(stored, scales, [product], slice(0, ROWS), dtype, scale_dtype)
    assert fresh is not None
    assert (values.dtype, fresh.dtype, fresh.shape) == (dtype, scale_dtype, (ROWS, 1))
    wanted = with_it(stored, scales, product)
    found = values.double() * fresh.double()
    step = fresh.double() / 2 if precision == "int8" else wanted.abs() * 2**-4
    assert bool(((found - wanted).abs() <= 1.02 * torch.maximum(step, fresh / 900)).all())
    largest = values.float().abs().amax(1)
    assert bool((largest >= 0.98 * LARGEST[dtype]).all()), "all of a row's range is used"


def test_the_error_is_that_of_quantising_the_merged_weights(product: Product) -> None:
    stored, scales = quantise(random(ROWS, VALUES, spread=0.1), "int8")
    values, fresh = merged(stored, scales, [product], slice(0, ROWS), torch.int8, torch.float32)
    wanted = with_it(stored, scales, product)
    again, theirs = quantise(wanted.float(), "int8")
    assert fresh is not None
    assert torch.allclose(fresh, theirs)
    assert int((values.int() - again.int()).abs().max()) <= 1


def test_pieces_are_what_the_whole_is(product: Product) -> None:
    stored, scales = quantise(random(ROWS, VALUES), "fp8")
    whole, _ = merged(stored, scales, [product], slice(0, ROWS), torch.float8_e4m3fn, torch.float32)
    parts = [
        merged(stored[rows], scales[rows], [product], rows, torch.float8_e4m3fn, torch.float32)[0]
        for rows in pieces(ROWS, VALUES, 7 * VALUES)
    ]
    assert [len(part) for part in parts] == [7, 7, 7, 3]
    assert torch.equal(whole.float(), torch.cat(parts).float())


def test_a_piece_has_a_row_at_least() -> None:
    assert list(pieces(2, 1000, 10)) == [slice(0, 1), slice(1, 2)]


def test_several_and_full_differences_are_added(product: Product) -> None:
    plain = random(ROWS, VALUES).to(torch.bfloat16)
    whole = Product(random(ROWS, VALUES, seed=5))
    added = [product, whole, product]
    found, scales = merged(plain, None, added, slice(0, ROWS), torch.bfloat16, None)
    assert scales is None
    assert product.down is not None
    wanted = plain.float() + 2 * (product.up @ product.down) + whole.up
    assert torch.allclose(found.float(), wanted, rtol=2**-8, atol=1e-6)


def test_a_row_of_zeros_stays_one() -> None:
    stored, scales = quantise(torch.zeros(2, VALUES), "fp8")
    nothing = Product(torch.zeros(2, RANK), torch.zeros(RANK, VALUES))
    values, fresh = merged(
        stored, scales, [nothing], slice(0, 2), torch.float8_e4m3fn, torch.bfloat16
    )
    assert fresh is not None
    assert bool((values.float() == 0).all())
    assert bool(torch.isfinite(fresh).all())


def test_every_fp8_number_is_read_as_torch_reads_it() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).view(2, 128)
    found = dequantised(every, None)
    assert torch.equal(found.nan_to_num(), every.float().nan_to_num())
    assert torch.equal(found.isnan(), every.float().isnan())


@pytest.mark.parametrize("precision", ["fp8", "int8"])
def test_rows_that_are_otherwise_are_found(precision: str, product: Product) -> None:
    stored, scales = quantise(random(ROWS, VALUES, spread=0.1), precision)
    dtype = QUANTISED[precision]
    values, fresh = merged(stored, scales, [product], slice(0, ROWS), dtype, torch.bfloat16)
    assert fresh is not None
    rows = some_rows(ROWS)
    assert rows == [0, 7, 15, 23]

    def proved(held: torch.Tensor, held_scales: torch.Tensor) -> None:
        prove_rows(
            "blocks.0.ffn.0.weight", rows, held, held_scales, stored[rows], scales[rows], [product]
        )

    proved(values[rows], fresh[rows])
    with pytest.raises(PipelineError, match=r"blocks\.0\.ffn\.0 isn't what its file and the LoRAs"):
        proved(values[rows].float().flip(1).to(dtype), fresh[rows])
    with pytest.raises(PipelineError):
        proved(stored[rows], scales[rows].to(torch.bfloat16))


def test_few_rows_are_all_looked_at() -> None:
    assert some_rows(1) == [0]
    assert some_rows(3) == [0, 1, 2]
