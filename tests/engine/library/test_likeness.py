"""Two clips held against each other, by FFmpeg's filters in the reader process."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.library.mp4 import ClipError, write_clip
from engine.library.reader_process import IDENTICAL, likeness

pytestmark = pytest.mark.starts

FRAMES, HEIGHT, WIDTH = 6, 64, 96


def grey(path: Path, *lights: int) -> Path:
    """A clip of plain pictures: of such the error is known, whatever the encoder does."""
    pictures = np.stack([np.full((HEIGHT, WIDTH, 3), light, np.uint8) for light in lights])
    write_clip(path, pictures, 8, None)
    return path


def textured(path: Path, noise: float) -> Path:
    random = np.random.default_rng(0)
    ramp = (
        np.linspace(40, 200, WIDTH)[None, None, :, None]
        + 20 * np.sin(np.arange(HEIGHT))[None, :, None, None]
    )
    pictures = ramp + random.normal(0, noise, (FRAMES, HEIGHT, WIDTH, 3))
    write_clip(path, np.clip(pictures, 0, 255).astype(np.uint8), 8, None)
    return path


def test_a_clip_is_identical_to_itself(tmp_path: Path) -> None:
    clip = textured(tmp_path / "a.mp4", 8)
    found = likeness(clip, clip)
    assert (found.psnr, found.ssim, found.frames) == (IDENTICAL, 1.0, FRAMES)


def test_decibels_are_those_of_the_brightness_between(tmp_path: Path) -> None:
    """Plain greys 20 apart: in video's range of 16 to 235 that is 17 steps, of brightness only."""
    one, other = grey(tmp_path / "a.mp4", *[100] * 5), grey(tmp_path / "b.mp4", *[120] * 5)
    brightness = 17.2**2 * 4 / 6  # of every six values of a picture two are colour
    assert likeness(one, other).psnr == pytest.approx(10 * np.log10(255**2 / brightness), abs=0.4)


def test_an_error_in_one_picture_of_many_counts_as_one(tmp_path: Path) -> None:
    plain = grey(tmp_path / "a.mp4", 100, 100, 100, 100)
    flash = grey(tmp_path / "b.mp4", 100, 100, 100, 160)
    always = grey(tmp_path / "c.mp4", 160, 160, 160, 160)
    assert likeness(plain, flash).psnr - likeness(plain, always).psnr == pytest.approx(6.0, abs=0.4)


def test_more_noise_is_less_alike_by_both_measures(tmp_path: Path) -> None:
    clean = textured(tmp_path / "clean.mp4", 0)
    found = [likeness(clean, textured(tmp_path / f"{n}.mp4", n)) for n in (4, 16, 40)]
    for measure in ("psnr", "ssim"):
        values = [getattr(one, measure) for one in found]
        assert values == sorted(values, reverse=True)
    assert found[0].ssim > 0.85 > 0.5 > found[2].ssim


def test_as_many_pictures_as_both_have_are_compared(tmp_path: Path) -> None:
    one, other = grey(tmp_path / "a.mp4", *[90] * 9), grey(tmp_path / "b.mp4", *[90] * 5)
    assert likeness(one, other).frames == likeness(other, one).frames == 5


def test_clips_of_two_sizes_and_what_is_no_clip_are_told(tmp_path: Path) -> None:
    one = grey(tmp_path / "a.mp4", 90)
    write_clip(tmp_path / "b.mp4", np.zeros((1, 32, 48, 3), np.uint8), 8, None)
    with pytest.raises(ClipError, match="one size"):
        likeness(one, tmp_path / "b.mp4")
    wrong = tmp_path / "c.mp4"
    wrong.write_text("a shopping list")
    for pair in ((one, wrong), (wrong, one), (one, tmp_path / "gone.mp4")):
        with pytest.raises(ClipError, match=r"c\.mp4|gone\.mp4"):
            likeness(*pair)


@pytest.mark.parametrize("damage", ["cut off", "zeros", "no pictures"])
def test_the_damaged_one_of_two_is_named(tmp_path: Path, damage: str) -> None:
    good, bad = textured(tmp_path / "good.mp4", 40), tmp_path / "bad.mp4"
    whole = good.read_bytes()
    part = whole[: len(whole) * 2 // 3]
    bad.write_bytes(part + (bytes(len(whole) - len(part)) if damage == "zeros" else b""))
    if damage == "no pictures":
        with av.open(str(bad), "w") as container:
            sound = container.add_stream("aac", rate=44_100)
            silence = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
            frame.rate = 44_100
            container.mux([*sound.encode(frame), *sound.encode(None)])
    for pair in ((good, bad), (bad, good)):
        with pytest.raises(ClipError, match=r"bad\.mp4"):
            likeness(*pair)
