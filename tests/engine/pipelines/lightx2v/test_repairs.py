"""Repairs that a CPU doesn't show, on objects shaped like LightX2V's; the others are in cases."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.pipelines.lightx2v import repairs


class Encoder(torch.nn.Module):
    """The part of LightX2V's T5 that reads words, and what it does with it before each prompt."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding: Any = torch.nn.Embedding(9, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.token_embedding = self.token_embedding.to(ids.device)
        return torch.as_tensor(self.token_embedding(ids))


@pytest.mark.parametrize("offload", [True, False])
def test_words_are_looked_up_where_the_table_is(offload: bool) -> None:
    encoders = [SimpleNamespace(model=Encoder(), cpu_offload=offload)]
    table, ids = encoders[0].model.token_embedding, torch.tensor([[3, 1, 3]])
    wanted = encoders[0].model(ids)
    assert repairs.look_words_up_in_ram(encoders) is offload
    assert torch.equal(encoders[0].model(ids), wanted)
    moved = [*encoders[0].model.parameters()]
    assert len(moved) == (not offload), "a call to move the encoder moves the table as well"
    assert repairs.look_words_up_in_ram(encoders) is False, "once is enough"
    repairs.leave_words_to_theirs(encoders)
    assert encoders[0].model.token_embedding is table
    assert torch.equal(encoders[0].model(ids), wanted)


@pytest.mark.parametrize(
    "repair",
    [
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
