"""The model's parts: whole-clip codec, saved folder, sampling steps, trainer's arithmetic."""

import copy
import json
from pathlib import Path

import pytest
import torch

from engine.pipelines.wan_tiny.checkpoint import load_pipeline
from engine.pipelines.wan_tiny.codec import decode_all, encode_moments, use_flat_convolutions
from engine.pipelines.wan_tiny.training.fast import quicken
from engine.pipelines.wan_tiny.training.model import (
    MAX_SEQUENCE_LENGTH,
    build_tokenizer,
    build_untrained,
    build_vae,
    embed,
    load,
    step_sigmas,
)
from engine.pipelines.wan_tiny.training.optim import orthogonalise
from engine.pipelines.wan_tiny.training.sample import noise_for, sample
from engine.pipelines.wan_tiny.training.slots import SLOTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "wan-tiny"
    build_untrained(path)
    return path


def test_whole_clips_and_chunks_give_the_same() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    clips = torch.rand(1, 3, 9, 32, 48) * 2 - 1
    with torch.no_grad():
        mean, log_variance = encode_moments(vae, clips)
        expected = vae.encode(clips).latent_dist
        assert torch.allclose(mean, expected.mean, atol=1e-5)
        assert torch.allclose(log_variance, expected.logvar, atol=1e-5)
        chunked = vae.decode(mean).sample
        assert torch.allclose(decode_all(vae, mean).clamp(-1, 1), chunked, atol=1e-5)
        assert use_flat_convolutions(vae) > 20
        assert torch.allclose(vae.decode(mean).sample, chunked, atol=1e-4)


def test_the_training_layout_gives_the_same_clips_and_gradients() -> None:
    torch.manual_seed(0)
    vae = build_vae()
    quick = quicken(copy.deepcopy(vae), compiled=False)
    assert list(quick.state_dict()) == list(vae.state_dict())
    clips = torch.rand(2, 3, 9, 32, 48) * 2 - 1
    made = []
    for one in (vae, quick):
        made.append(decode_all(one, encode_moments(one, clips)[0]))
        made[-1].square().mean().backward()
    assert torch.allclose(made[0], made[1], atol=1e-5)
    for (name, plain), same in zip(vae.named_parameters(), quick.parameters(), strict=True):
        if plain.grad is not None:
            size = float(plain.grad.abs().max())
            assert torch.allclose(plain.grad, same.grad, atol=1e-4 * size), name


def test_the_tokenizer_lowers_case_and_puts_slots_first() -> None:
    tokens = build_tokenizer()
    words = tokens.convert_ids_to_tokens(tokens("A RED ball, up-left dragon").input_ids)
    assert words[: len(SLOTS)] == [f"<{slot}>" for slot in SLOTS]
    assert words[len(SLOTS) :] == ["a", "red", "ball", ",", "up", "-", "left", "<unk>", "</s>"]


def test_a_saved_folder_is_a_pipeline_of_a_fair_size(folder: Path) -> None:
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 20_000_000
    assert json.loads((folder / "wan_tiny.json").read_text())["trained"] is False
    pipe = load_pipeline(folder)
    clip = pipe(
        prompt="a red ball",
        height=32,
        width=48,
        num_frames=5,
        num_inference_steps=4,
        guidance_scale=1.0,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        generator=torch.Generator().manual_seed(1),
        output_type="pt",
    ).frames
    assert tuple(clip.shape) == (1, 5, 3, 32, 48)


@pytest.mark.starts
def test_sampling_without_the_pipeline_gives_the_same_latents(folder: Path) -> None:
    parts, pipe = load(folder), load_pipeline(folder)
    noise = noise_for(1, (32, 32, 5), torch.Generator().manual_seed(3))
    mine = sample(
        parts.transformer, noise, embed(parts, ["a red ball"], "cpu"), step_sigmas(parts.scheduler)
    )
    theirs = pipe(
        prompt="a red ball",
        height=32,
        width=32,
        num_frames=5,
        num_inference_steps=4,
        guidance_scale=1.0,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
        latents=noise,
        output_type="latent",
    ).frames
    assert torch.allclose(mine, theirs, atol=1e-3)


def test_the_four_steps_are_where_they_were_trained() -> None:
    sigmas = step_sigmas(build_untrained().scheduler)
    assert sigmas == pytest.approx([1.0, 0.9537, 0.8551, 0.5, 0.0], abs=1e-3)


def test_orthogonalised_matrices_have_even_singular_values() -> None:
    torch.manual_seed(0)
    for shape in ((3, 32, 64), (2, 64, 32)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
        assert float(values.min()) > 0.4
        assert float(values.max()) < 1.4
