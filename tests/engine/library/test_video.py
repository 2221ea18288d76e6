"""Any program's MP4 as pictures with their times."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from engine.library import reader_process, video
from engine.library.mp4 import ClipError, write_clip
from engine.library.video import look_at, pictures
from tests.support.videos import moving, write

STEADY = [Fraction(at, 30) for at in range(12)]
# As a phone writes in the dark: no two alike.
ODD = [Fraction(at * 33 + at % 3 * 7, 1000) for at in range(12)]


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.abs(one.astype(int) - other).mean()) < 6


def test_times_are_the_file_s_and_the_pictures_come_in_their_order(tmp_path: Path) -> None:
    frames = moving(12)
    for times in (STEADY, ODD):
        path = write(tmp_path / "a.mp4", frames, times)
        seen = look_at(path)
        assert (seen.width, seen.height, seen.has_sound) == (48, 32, False)
        assert [round(float(at), 3) for at in seen.times] == [round(float(at), 3) for at in times]
        assert times[-1] < seen.end <= times[-1] + Fraction(1, 10)
        found = list(pictures(path, seen))
        assert len(found) == 12
        assert all(alike(*pair) for pair in zip(found, frames, strict=True))


def test_a_clip_of_ours_comes_back_as_it_was_encoded(tmp_path: Path) -> None:
    frames = moving(9)
    path = tmp_path / "ours.mp4"
    write_clip(path, frames, 16, None)
    seen = look_at(path)
    assert seen.times == tuple(Fraction(at, 16) for at in range(9))
    assert seen.end == Fraction(9, 16)
    assert all(alike(*pair) for pair in zip(pictures(path, seen), frames, strict=True))


@pytest.mark.parametrize(("degrees", "quarters"), [(90, -1), (180, 2), (270, 1)])
def test_what_stands_on_its_side_is_turned(tmp_path: Path, degrees: int, quarters: int) -> None:
    frames = moving(3)
    path = write(tmp_path / "phone.mp4", frames, STEADY[:3], turned=degrees)
    seen = look_at(path)
    wanted = np.rot90(frames[0], quarters)
    assert (seen.height, seen.width) == wanted.shape[:2]
    assert alike(next(pictures(path, seen)), wanted)


def test_hevc_and_sound(tmp_path: Path) -> None:
    path = write(tmp_path / "phone.mp4", moving(12, 64, 96), STEADY, codec="libx265", sound="aac")
    seen = look_at(path)
    assert seen.has_sound
    assert len(list(pictures(path, seen))) == 12


def test_pictures_that_begin_after_the_sound_begin_at_nought(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", moving(12), STEADY, sound="aac", begins=Fraction(1, 2))
    assert look_at(path).times[0] == 0


def test_odd_sides_are_made_even() -> None:
    import av

    frame = av.VideoFrame.from_ndarray(np.zeros((17, 33, 3), np.uint8), format="rgb24")
    assert video.turned(frame).shape == (16, 32, 3)


def test_what_is_too_long_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "long.mp4", moving(4), [Fraction(at * 11) for at in range(4)])
    with pytest.raises(ClipError, match=r"long\.mp4 plays 3\d\.\d s; up to 30 s"):
        look_at(path)
    monkeypatch.setattr(video, "LARGEST", 1000)
    with pytest.raises(ClipError, match="48 × 32 pixels"):
        look_at(write(tmp_path / "large.mp4", moving(3), STEADY[:3]))


def test_a_file_that_is_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    """An index at the front, as our own have, and the data's end missing."""
    frames = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3), np.uint8)
    path = tmp_path / "cut.mp4"
    write_clip(path, frames, 16, None)
    seen = look_at(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert len(list(pictures(path, seen))) == 24, "the last one that came stands for the others"
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ClipError):
        list(pictures(path, seen))


@pytest.mark.starts
def test_strangers_files_are_looked_at_in_the_reader(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", moving(12), ODD, sound="aac")
    assert reader_process.video(path) == look_at(path)
    text = tmp_path / "b.mp4"
    text.write_text("not a video at all")
    with pytest.raises(ClipError, match=r"^holiday\.mp4 isn't an MP4\. Choose an MP4 of up to 30"):
        reader_process.video(text, "holiday.mp4")
