"""How a picture meets a size."""

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.pictures.cut import crop_box, cut, size_for
from engine.presets import load_presets
from engine.request import ClipRequest, Fit

PRESETS = load_presets()
sides = st.integers(32, 6000)


@pytest.mark.parametrize("model", ["wan-tiny", "wan2.1-t2v-14b-fp8"])
@given(width=sides, height=sides)
def test_the_size_follows_the_shape_and_is_one_that_the_model_takes(
    model: str, width: int, height: int
) -> None:
    preset = PRESETS.models[model]
    size = size_for(width, height, preset)
    raw = {"prompt": "a ball", "model": model, "height": size.height, "width": size.width}
    assert ClipRequest.check(raw, PRESETS, probe=True).size == size
    least = preset.limits.height.min * preset.limits.width.min
    assert size.pixels <= max(preset.default.height * preset.default.width, least)
    if 0.4 < width / height < 2.5:
        assert 0.8 < (size.width / size.height) / (width / height) < 1.25


@pytest.mark.parametrize(
    ("width", "height", "wanted"),
    [
        (832, 480, (480, 832)),
        (480, 832, (832, 480)),
        (1920, 1080, (464, 832)),
        (1080, 1920, (832, 464)),
        (4032, 3024, (544, 720)),
        (3024, 4032, (720, 544)),
        (1000, 1000, (624, 624)),
    ],
)
def test_photographs_usual_shapes(width: int, height: int, wanted: tuple[int, int]) -> None:
    size = size_for(width, height, PRESETS.models["wan2.1-t2v-14b-fp8"])
    assert (size.height, size.width) == wanted


def test_more_pixels_give_a_larger_size_of_the_same_shape() -> None:
    preset = PRESETS.models["wan2.1-t2v-14b-fp8"]
    small, large = size_for(1600, 900, preset), size_for(1600, 900, preset, 720 * 1280)
    assert (large.height, large.width) == (720, 1280)
    assert small.pixels < large.pixels


@given(width=sides, height=sides, to_width=sides, to_height=sides)
def test_the_box_is_inside_in_the_middle_and_of_the_shape(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    left, upper, right, lower = crop_box(width, height, to_width, to_height)
    assert left >= -1e-6
    assert upper >= -1e-6
    assert left + right == pytest.approx(width)
    assert upper + lower == pytest.approx(height)
    assert (right - left) / (lower - upper) == pytest.approx(to_width / to_height)


def test_crop_fills_the_frame_and_pad_shows_all_between_bars() -> None:
    stripes = np.zeros((90, 180, 3), np.uint8)
    for number, (left, right) in enumerate(pairwise(range(0, 181, 60))):
        stripes[:, left:right, number] = 255
    picture = Image.fromarray(stripes)
    cropped = cut(picture, 64, 64, "crop")
    assert cropped.shape == (64, 64, 3)
    assert cropped.dtype == np.uint8
    assert cropped[32, 32].tolist() == [0, 255, 0]
    assert cropped[:, :, 1].min(axis=0)[24:40].min() == 255
    padded = cut(picture, 64, 64, "pad")
    assert padded[0].max() == padded[-1].max() == 0
    assert padded[32, 4].tolist() == [255, 0, 0]
    assert padded[32, -4].tolist() == [0, 0, 255]


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    for fit in get_args(Fit):
        assert (cut(Image.fromarray(pixels), 48, 64, fit) == pixels).all()
