"""Repairs that a CPU doesn't show, on objects shaped like LightX2V's; the others are in cases."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.pipelines.lightx2v import repairs


class Table:
    """An embedding on the device; ``to`` makes another, as a wrapper may."""

    def __init__(self, device: str) -> None:
        self.weight = SimpleNamespace(device=SimpleNamespace(type=device))

    def to(self, device: str) -> "Table":
        return Table(device)


def runner_with(device: str, offload: bool) -> Any:
    model = SimpleNamespace(token_embedding=Table(device))
    return SimpleNamespace(text_encoders=[SimpleNamespace(model=model, cpu_offload=offload)])


@pytest.mark.parametrize(
    ("device", "offload", "mended", "then"),
    [("cuda", True, True, "cpu"), ("cuda", False, False, "cuda"), ("cpu", True, False, "cpu")],
)
def test_the_token_embedding_comes_back_where_it_was_offloaded(
    device: str, offload: bool, mended: bool, then: str
) -> None:
    runner = runner_with(device, offload)
    assert repairs.return_token_embedding(runner) is mended
    assert runner.text_encoders[0].model.token_embedding.weight.device.type == then


@pytest.mark.parametrize(
    "repair",
    [
        repairs.return_token_embedding,
        repairs.forget_seed,
        repairs.refill_offload_buffers,
        repairs.reset_decoder,
        repairs.drop_video,
        repairs.lift_stop,
    ],
)
def test_a_runner_that_has_nothing_yet_needs_no_repair(repair: Any) -> None:
    """As after a failure while it was loaded, or between two lazy runs."""
    assert repair(SimpleNamespace()) is False
    assert repair(SimpleNamespace(model=None, text_encoders=None, vae_decoder=None)) is False


def test_the_image_encoder_is_left_out_once() -> None:
    settings: dict[str, Any] = {"clean_cuda_cache": True}
    assert repairs.no_image_encoder(settings)
    assert settings["use_image_encoder"] is False
    assert not repairs.no_image_encoder(settings)


def test_a_seed_is_forgotten_even_if_end_run_fails() -> None:
    class Scheduler:
        generator: object = "of the failed clip"

        def clear(self) -> None:
            self.generator = None

    def end_run() -> None:
        raise AttributeError("inputs")

    runner = SimpleNamespace(scheduler=Scheduler(), end_run=end_run)
    assert repairs.forget_seed(runner)
    assert runner.scheduler.generator is None
    assert not repairs.forget_seed(runner)


def test_the_last_clips_frames_are_dropped() -> None:
    runner = SimpleNamespace(gen_video="194 MB", gen_video_final=None)
    assert repairs.drop_video(runner)
    assert runner.gen_video is None
    assert not repairs.drop_video(runner)


def test_an_embedding_that_is_about_to_be_read_is_not_drawn_first() -> None:
    drawn = torch.nn.Embedding.reset_parameters
    with repairs.no_random_weights():
        # Nothing is to be seen in the values: the generator's state is what drawing moves.
        before = torch.get_rng_state()
        torch.nn.Embedding(64, 8)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.nn.Embedding.reset_parameters is drawn
    torch.nn.Embedding(64, 8)
    assert not torch.equal(torch.get_rng_state(), before)
