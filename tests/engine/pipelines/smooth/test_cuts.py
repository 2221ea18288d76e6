"""What counts as a cut, and what as motion or light."""

import itertools

import numpy as np
import pytest

from engine.pipelines.base import Frame
from engine.pipelines.smooth.cuts import is_cut, look_at
from engine.pipelines.wan_tiny.vocabulary import Scene
from tests.engine.pipelines.smooth.worlds import MOVING, clip

SIZES = ((480, 832), (1280, 720), (64, 64), (40, 300), (9, 5))


def cut(before: Frame, after: Frame) -> bool:
    return is_cut(look_at(before), look_at(after))


def textured(seed: int, height: int = 270, width: int = 480) -> Frame:
    """A picture of coarse and fine structure, like those of a camera."""
    random = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height) * height, np.fft.fftfreq(width) * width
    fall = np.hypot(rows[:, None], columns[None])
    fall[0, 0] = 1
    waves = np.fft.fft2(random.normal(size=(3, height, width))) / fall**1.5
    planes = np.fft.ifft2(waves).real
    planes = (planes - planes.mean()) / planes.std() * 40 + random.uniform(70, 180, (3, 1, 1))
    picture: Frame = np.clip(np.moveaxis(planes, 0, -1), 0, 255).astype(np.uint8)
    return picture


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_hard_cut_is_one_at_any_size(height: int, width: int) -> None:
    assert cut(textured(1, height, width), textured(2, height, width))


def test_each_of_wan_tinys_scenes_is_another() -> None:
    frames = [clip(shown, 5)[-1] for shown in MOVING]
    for before, after in itertools.permutations(frames, 2):
        assert cut(before, after)


@pytest.mark.parametrize("scene", MOVING)
def test_motion_is_none_however_fast(scene: Scene) -> None:
    frames = clip(scene, 5)  # a whole clip in four steps
    assert not any(itertools.starmap(cut, itertools.pairwise(frames)))


def test_a_camera_that_turns_or_goes_nearer_is_none() -> None:
    for seed in range(4):
        picture = textured(seed)
        assert not cut(picture[:, :400], picture[:, 60:460])
        assert not cut(picture, picture[12:-12, 22:-22])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("towards", [0, 255])
def test_neither_a_flash_nor_a_fade_is_one(share: float, towards: int) -> None:
    for picture in (*map(textured, range(4)), *(clip(shown, 1)[0] for shown in MOVING)):
        lit = np.rint(picture * (1 - share) + towards * share).astype(np.uint8)
        assert not cut(picture, lit)
        assert not cut(lit, picture)


def test_noise_of_a_camera_is_none() -> None:
    random = np.random.default_rng(3)
    noisy = [textured(1) + random.normal(0, 6, (270, 480, 3)) for _ in range(2)]
    assert not cut(*(np.clip(each, 0, 255).astype(np.uint8) for each in noisy))
