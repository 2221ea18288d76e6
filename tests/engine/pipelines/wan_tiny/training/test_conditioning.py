"""What the transformer sees of a picture: the same in training as in diffusers' own pipeline."""

import pytest
import torch

from engine.home import PROJECT
from engine.pipelines.wan_tiny.checkpoint import load_pipeline, parts_folder, takes_picture
from engine.pipelines.wan_tiny.training.conditioning import CHANNELS, condition, padded, widen
from engine.pipelines.wan_tiny.training.model import build_transformer
from tests.support.wan_tiny import FROM_PICTURE

FOLDER = PROJECT / str(FROM_PICTURE.checkpoint)


@pytest.mark.model
@pytest.mark.parametrize(
    ("frames", "ends"), [(1, False), (5, False), (13, False), (5, True), (13, True)]
)
def test_it_is_what_diffusers_makes_while_a_clip_is_made(frames: int, ends: bool) -> None:
    pipe = load_pipeline(FOLDER)
    clips = torch.rand(1, 3, frames, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mine = condition(pipe.vae, clips, torch.tensor([ends]))
    _, theirs = pipe.prepare_latents(
        clips[:, :, 0],
        1,
        16,
        32,
        48,
        frames,
        torch.float32,
        torch.device("cpu"),
        torch.Generator().manual_seed(0),
        torch.zeros(1, 16, (frames - 1) // 4 + 1, 4, 6),
        clips[:, :, -1] if ends else None,
    )
    assert mine.shape == theirs.shape == (1, CHANNELS, (frames - 1) // 4 + 1, 4, 6)
    assert torch.equal(mine[:, :4], theirs[:, :4])
    assert torch.allclose(mine, theirs, atol=1e-4)


def test_only_the_frames_that_are_given_are_seen() -> None:
    clips = torch.rand(2, 3, 9, 16, 16) + 0.1
    video = padded(clips, torch.tensor([False, True]))
    assert torch.equal(video[:, :, 0], clips[:, :, 0])
    assert not video[:, :, 1:-1].any()
    assert not video[0, :, -1].any()
    assert torch.equal(video[1, :, -1], clips[1, :, -1])


def test_a_widened_transformer_does_at_first_what_it_did() -> None:
    torch.manual_seed(0)
    transformer = build_transformer().eval()
    noise, words = torch.randn(1, 16, 2, 4, 4), torch.randn(1, 8, 96)
    given = torch.randn(1, CHANNELS, 2, 4, 4)
    level = torch.tensor([500.0])
    with torch.no_grad():
        before = transformer(noise, level, words, return_dict=False)[0]
        assert not takes_picture(transformer)
        widen(transformer)
        assert takes_picture(transformer)
        after = transformer(torch.cat([noise, given], 1), level, words, return_dict=False)[0]
    assert torch.allclose(before, after, atol=1e-5)


def test_the_folder_shares_all_but_its_transformer() -> None:
    assert parts_folder(FOLDER) == FOLDER / "../wan-tiny"
    assert not any((FOLDER / part).exists() for part in ("vae", "text_encoder", "tokenizer"))
