"""The real wan-tiny-i2v: it keeps the pictures given, moves what is in them, and can be stopped."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.home import PROJECT
from engine.machine.facts import this_machine
from engine.pipelines.base import Cancelled, Pictures, PipelineError
from engine.pipelines.wan_tiny.pipeline import WanTiny
from engine.pipelines.wan_tiny.training.judge import judge
from engine.pipelines.wan_tiny.training.pictures import TESTED_SPREAD, clean
from engine.pipelines.wan_tiny.training.slots import slots_of
from engine.pipelines.wan_tiny.vocabulary import Scene, Subject
from engine.plan.make import make_plan
from engine.presets import ModelPreset
from engine.stages import Frames, Stage
from tests.support.wan_tiny import FROM_PICTURE, PRESET, Notes, picture_request, request

pytestmark = pytest.mark.model

BALL = Scene((Subject("circle", "red", "medium", "left"),), ("green", "green"))


def shown(scene: Scene, at: int, size: int = 64, frames: int = 17) -> Frames:
    """A frame of the scene's true clip, from its middle: [size, size, 3]."""
    slots = torch.tensor([slots_of(scene)])
    clip = clean(slots, torch.zeros(1, 2, 7), (size, size, frames), TESTED_SPREAD)
    pixels: Frames = ((clip[0, :, at] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return pixels


def decibel(one: Frames, other: Frames) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / error))


def made(preset: ModelPreset) -> WanTiny:
    pipeline = WanTiny(preset)
    pipeline.load(make_plan(this_machine(), preset))
    return pipeline


@pytest.fixture(scope="module")
def pipeline() -> WanTiny:
    return made(FROM_PICTURE)


@pytest.mark.starts
@pytest.mark.parametrize(
    ("scene", "prompt"),
    [
        (BALL, "it moves left"),
        (
            Scene((Subject("star", "yellow", "large", "up"),), ("black", "black")),
            "a large yellow star rises in a black night",
        ),
        (
            Scene((Subject("square", "purple", "medium", "down right"),), ("pink", "pink")),
            "the square slides down and to the right",
        ),
        (  # the picture is right about looks
            Scene((Subject("heart", "red", "medium", "right"),), ("white", "white")),
            "a blue ball moves right over green grass",
        ),
    ],
)
def test_a_clip_begins_with_the_picture_and_moves_as_the_prompt_says(
    pipeline: WanTiny, scene: Scene, prompt: str
) -> None:
    first = shown(scene, 0)
    asked = picture_request(prompt, frames=17)
    frames = pipeline.generate(asked, 3, Notes(pictures=Pictures(first)))
    assert frames.shape == (17, 64, 64, 3)
    assert decibel(frames[0], first) >= 25
    clip = torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
    seen = judge(clip)[0]
    assert seen.background == scene.background
    assert [(s.colour, s.motion) for s in seen.subjects] == [
        (s.colour, s.motion) for s in scene.subjects
    ]


def test_a_clip_ends_with_the_last_picture(pipeline: WanTiny) -> None:
    first, last = shown(BALL, 0), shown(BALL, -1)
    run = Notes(pictures=Pictures(first, last))
    frames = pipeline.generate(picture_request(frames=17), 3, run)
    assert decibel(frames[0], first) >= 25
    assert decibel(frames[-1], last) >= 22
    assert decibel(frames[-1], first) < decibel(frames[-1], last) - 3


def test_of_one_frame_the_last_picture_has_no_place(pipeline: WanTiny) -> None:
    first = shown(BALL, 0)
    run = Notes(pictures=Pictures(first, shown(BALL, -1)))
    frames = pipeline.generate(picture_request(frames=1), 3, run)
    alone = pipeline.generate(picture_request(frames=1), 3, Notes(pictures=Pictures(first)))
    assert np.array_equal(frames, alone)


@pytest.mark.parametrize(("height", "width", "frames"), [(16, 16, 5), (64, 112, 9)])
def test_any_picture_of_any_size_will_do(
    pipeline: WanTiny, height: int, width: int, frames: int
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)
    asked = picture_request(height=height, width=width, frames=frames)
    clip = pipeline.generate(asked, 1, Notes(pictures=Pictures(noise, noise)))
    assert clip.shape == (frames, height, width, 3)


def test_a_probe_takes_one_step(pipeline: WanTiny) -> None:
    notes = Notes(pictures=Pictures(shown(BALL, 0)))
    assert pipeline.generate(picture_request(), 7, notes, steps=1).shape == (9, 64, 64, 3)
    assert notes.stages == ["encode", "picture", "denoise", "decode"]


def test_stages_and_progress_are_told(pipeline: WanTiny) -> None:
    notes = Notes(pictures=Pictures(shown(BALL, 0)))
    pipeline.generate(picture_request(), 7, notes)
    assert notes.stages == ["encode", "picture", "denoise", "decode"]
    picture = [fraction for stage, fraction, _ in notes.marks if stage == "picture"]
    assert picture == [0.0, 1 / 3, 2 / 3], "9 frames are 3 latent frames"
    denoise = [(fraction, step) for stage, fraction, step in notes.marks if stage == "denoise"]
    assert denoise[-1] == (1.0, FROM_PICTURE.steps)
    assert [p.shape for p in notes.previews] == [(3, 8, 8, 3)] * FROM_PICTURE.steps


@pytest.mark.parametrize("stage", ["encode", "picture", "denoise", "decode"])
def test_cancel_ends_within_a_block_and_the_next_clip_is_the_same(
    pipeline: WanTiny, stage: Stage
) -> None:
    given = Pictures(shown(BALL, 0))
    whole = Notes(pictures=given)
    before = pipeline.generate(picture_request(), 7, whole)
    stop = whole.checks.index(stage) + 2
    notes = Notes(stop=stop, pictures=given)
    with pytest.raises(Cancelled):
        pipeline.generate(picture_request(), 7, notes)
    assert len(notes.checks) == stop, "nothing was begun after the cancel"
    assert notes.stages[-1] == stage
    assert np.array_equal(pipeline.generate(picture_request(), 7, Notes(pictures=given)), before)


def test_wan_tiny_looks_at_no_picture() -> None:
    pipeline = made(PRESET)
    notes = Notes(pictures=Pictures(shown(BALL, 0)))
    clip = pipeline.generate(request(), 7, notes)
    assert notes.stages == ["encode", "denoise", "decode"]
    assert np.array_equal(clip, pipeline.generate(request(), 7, Notes()))


@pytest.mark.parametrize(
    ("preset", "other", "words"),
    [
        (FROM_PICTURE, PRESET, "takes no picture"),
        (PRESET, FROM_PICTURE, "begins with a picture"),
    ],
)
def test_a_checkpoint_of_the_other_kind_is_refused(
    preset: ModelPreset, other: ModelPreset, words: str
) -> None:
    wrong = WanTiny(preset.model_copy(update={"checkpoint": other.checkpoint}))
    with pytest.raises(PipelineError, match=words):
        wrong.load(make_plan(this_machine(), preset))


def test_without_the_parts_that_it_shares_it_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "wan-tiny-i2v"
    shutil.copytree(PROJECT / str(FROM_PICTURE.checkpoint), folder)
    alone = WanTiny(FROM_PICTURE.model_copy(update={"checkpoint": str(folder)}))
    with pytest.raises(PipelineError, match="can't be loaded"):
        alone.load(make_plan(this_machine(), FROM_PICTURE))
