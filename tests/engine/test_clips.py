"""MP4s: what is written can be read back, receipt and colours included."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine import clips
from engine.pipelines.base import Frames


def bars(frames: int = 9) -> Frames:
    """Six saturated colours side by side, the hardest case for a wrong colour matrix."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (9, 9, 9)]
    row = np.repeat(np.array(colours, np.uint8), 16, axis=0)
    return np.broadcast_to(row, (frames, 64, 96, 3)).copy()


def test_the_receipt_survives_any_prompt(tmp_path: Path) -> None:
    receipt = {"request": {"prompt": 'a "red" ball\n球 <script>'}, "seed": 4}
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, bars(), 16, lambda: receipt)
    assert clips.read_receipt(path) == receipt


def test_every_browser_can_play_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, bars(), 16, None)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 16
        assert stream.frames == 9
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart: the index comes first"


def test_colours_come_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    clips.write_clip(path, bars(), 16, None)
    back = clips.read_frames(path)
    middles = slice(8, None, 16)
    difference = back[:, 32, middles].astype(int) - bars()[:, 32, middles]
    assert np.abs(difference).max() <= 6


def test_clips_from_elsewhere_are_told_from_damaged_ones(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.mp4"
    clips.write_clip(foreign, bars(), 16, None)
    with pytest.raises(clips.ClipError, match="holds no Headroom receipt"):
        clips.read_receipt(foreign)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(foreign.read_bytes()[:200])
    with pytest.raises(clips.ClipError, match="can't be read as a video"):
        clips.read_receipt(damaged)
    with pytest.raises(clips.ClipError, match="no file"):
        clips.read_receipt(tmp_path / "missing.mp4")


@pytest.mark.parametrize(
    "prompt", ["a red ball", "../../etc/passwd", "", "球" * 500, 'con?*"|<>', "\n\t.", "a" * 999]
)
def test_names_fit_every_file_system(prompt: str, tmp_path: Path) -> None:
    name = clips.clip_name(7, prompt, 42)
    assert (tmp_path / name).parent == tmp_path
    assert len(name.encode()) < 255
    assert not set(name) & set('/\\:*?"<>|\n\t')
    (tmp_path / name).touch()


def test_poster_and_preview_are_pictures(tmp_path: Path) -> None:
    from PIL import Image

    clips.write_poster(tmp_path / "p.jpg", bars())
    assert Image.open(tmp_path / "p.jpg").size == (320, 213)
    assert clips.preview_webp(bars(3))[8:12] == b"WEBP"
