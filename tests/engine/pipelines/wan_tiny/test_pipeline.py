"""The real wan-tiny pipeline, in this process: what it makes, how it stops, what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine.home import PROJECT
from engine.machine.facts import this_machine
from engine.pipelines.base import Cancelled, OutOfMemory, PipelineError
from engine.pipelines.wan_tiny.pipeline import WanTiny
from engine.plan.make import make_plan
from engine.stages import Stage
from tests.support.wan_tiny import PRESET, Notes, request

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def pipeline() -> WanTiny:
    made = WanTiny(PRESET)
    made.load(make_plan(this_machine(), PRESET))
    return made


@pytest.mark.starts
def test_the_same_seed_gives_the_same_bits_another_seed_others(pipeline: WanTiny) -> None:
    one, again = (pipeline.generate(request(), 7, Notes()) for _ in range(2))
    other = pipeline.generate(request(), 8, Notes())
    assert one.shape == (9, 64, 64, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_prompt_reaches_the_picture(pipeline: WanTiny) -> None:
    red = pipeline.generate(request("a red ball moves left"), 7, Notes())
    blue = pipeline.generate(request("a blue star moves up"), 7, Notes())
    assert not np.array_equal(red, blue)


@pytest.mark.starts
@pytest.mark.parametrize(
    ("height", "width", "frames"), [(16, 16, 1), (64, 112, 5), (112, 64, 17), (96, 96, 33)]
)
def test_every_valid_size_comes_out_as_asked(
    pipeline: WanTiny, height: int, width: int, frames: int
) -> None:
    asked = request(height=height, width=width, frames=frames)
    assert pipeline.generate(asked, 1, Notes()).shape == (frames, height, width, 3)


def test_stages_steps_and_previews_are_told(pipeline: WanTiny) -> None:
    notes = Notes()
    pipeline.generate(request(), 7, notes)
    assert notes.stages == ["encode", "denoise", "decode"]
    denoise = [(fraction, step) for stage, fraction, step in notes.marks if stage == "denoise"]
    assert denoise == sorted(denoise)
    assert denoise[-1] == (1.0, PRESET.steps)
    assert len(denoise) > 2 * PRESET.steps, "progress is told by block, not only by step"
    decode = [fraction for stage, fraction, _ in notes.marks if stage == "decode"]
    assert decode == [0.0, 1 / 3, 2 / 3], "9 frames are 3 latent frames"
    assert [p.shape for p in notes.previews] == [(3, 8, 8, 3)] * PRESET.steps


def test_the_last_preview_looks_like_the_clip(pipeline: WanTiny) -> None:
    """The linear map is fitted to this VAE, so average colours have to agree."""
    notes = Notes()
    clip = pipeline.generate(request(), 7, notes).astype(float)
    small = clip.reshape(9, 8, 8, 8, 8, 3).mean(axis=(2, 4))
    assert np.abs(small[0] - notes.previews[-1][0]).mean() < 40


@pytest.mark.parametrize("stage", ["encode", "denoise", "decode"])
def test_cancel_ends_within_a_block_and_the_next_clip_is_the_same(
    pipeline: WanTiny, stage: Stage
) -> None:
    whole = Notes()
    before = pipeline.generate(request(), 7, whole)
    stop = whole.checks.index(stage) + 2
    notes = Notes(stop=stop)
    with pytest.raises(Cancelled):
        pipeline.generate(request(), 7, notes)
    assert len(notes.checks) == stop, "no block was begun after the cancel"
    assert notes.stages[-1] == stage
    assert np.array_equal(pipeline.generate(request(), 7, Notes()), before)


def test_checks_come_once_a_block(pipeline: WanTiny) -> None:
    notes = Notes()
    pipeline.generate(request(), 7, notes)
    blocks = len(pipeline._pipe.transformer.blocks)
    assert notes.checks.count("denoise") == PRESET.steps * blocks
    assert notes.checks.count("decode") == 3


def test_a_failed_allocation_is_out_of_memory(
    pipeline: WanTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        import torch

        torch.empty(2**60, dtype=torch.uint8)  # torch's own words for it, whatever the version

    monkeypatch.setattr(pipeline, "_decode", fail)
    with pytest.raises(OutOfMemory, match="RAM"):
        pipeline.generate(request(), 7, Notes())


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint to damage."""
    folder = tmp_path / "wan-tiny"
    shutil.copytree(PROJECT / str(PRESET.checkpoint), folder)
    return folder


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "wan_tiny.json").unlink(), "missing or damaged"),
        (lambda f: (f / "wan_tiny.json").write_text('{"label": "x"}'), "lacks"),
        (lambda f: shutil.rmtree(f / "vae"), "can't be loaded"),
        (lambda f: _cut(next((f / "transformer").glob("*.safetensors"))), "can't be loaded"),
        (lambda f: _edit(f / "scheduler/scheduler_config.json", shift=1.0), "uses shift 1"),
    ],
)
def test_a_damaged_checkpoint_is_refused_with_a_remedy(
    copy: Path, damage: object, words: str
) -> None:
    damage(copy)  # type: ignore[operator]
    broken = WanTiny(PRESET.model_copy(update={"checkpoint": str(copy)}))
    with pytest.raises(PipelineError, match=words) as caught:
        broken.load(make_plan(this_machine(), PRESET))
    assert "restore the folder" in str(caught.value.remedy)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])


def _edit(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
