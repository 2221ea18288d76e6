"""A clip that goes on from another: one file, one stream, the seam's picture once."""

from pathlib import Path

import av
import numpy as np
import pytest

from engine.library.clip_writer import ClipWriter
from engine.library.mp4 import read_frames, read_receipt
from engine.library.receipt import MOST_PARTS, for_others, joined_receipt
from engine.stages import Frames
from tests.support.clipfiles import receipt


def moving(count: int, base: int, size: tuple[int, int] = (64, 96)) -> Frames:
    """Gradients that move, so that the encoder has B-frames to reorder."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    flat = np.full_like(x, base)
    frames = [np.stack([(2 * x + base + 4 * n), 3 * y + 2 * n, flat], -1) for n in range(count)]
    return (np.stack(frames) % 256).astype(np.uint8)


def made(path: Path, frames: Frames, fps: int = 16, before: Path | None = None) -> ClipWriter:
    writer = ClipWriter(path, fps, before=before)
    for at in range(0, len(frames), 4):  # in parts, as a decoder gives them
        writer.add(frames[at : at + 4])
    writer.finish(lambda: receipt())
    return writer


def test_the_earlier_clip_is_copied_bit_for_bit(tmp_path: Path) -> None:
    first, second = moving(17, 10), moving(9, 90)
    one, both = tmp_path / "one.mp4", tmp_path / "both.mp4"
    made(one, first)
    assert made(both, second, before=one).earlier == 17
    found = read_frames(both)
    assert len(found) == 17 + 9 - 1
    assert (found[:17] == read_frames(one)).all()
    alone = tmp_path / "alone.mp4"
    made(alone, second[1:])
    assert (found[17:] == read_frames(alone)).all()
    assert read_receipt(both)["request"]["prompt"] == "a red ball"


def test_times_go_on_without_a_gap_and_a_third_follows(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.mp4" for n in range(3)]
    made(paths[0], moving(17, 10))
    made(paths[1], moving(9, 60), before=paths[0])
    made(paths[2], moving(9, 120), before=paths[1])
    with av.open(str(paths[2])) as container:
        stream = container.streams.video[0]
        assert stream.frames == 17 + 8 + 8
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert stream.time_base is not None
        shown = sorted(float((packet.pts or 0) * stream.time_base) for packet in packets)
        assert np.allclose(shown, np.arange(33) / 16)
        decoded = [packet.dts or 0 for packet in packets]
        assert decoded == sorted(set(decoded))
    assert (read_frames(paths[2])[:25] == read_frames(paths[1])).all()


def test_a_clip_of_other_settings_is_encoded_again(tmp_path: Path) -> None:
    """As one of another version of x264 is: its parameter sets aren't ours."""
    first = moving(9, 10)
    other = tmp_path / "other.mp4"
    with av.open(str(other), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=16, options={"profile": "baseline"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in first:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    both = tmp_path / "both.mp4"
    assert made(both, moving(5, 90), before=other).earlier == 9
    found = read_frames(both)
    assert len(found) == 9 + 4
    assert np.abs(found[:9].astype(int) - read_frames(other)).mean() < 4


def test_a_file_that_is_gone_ends_the_writing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        made(tmp_path / "both.mp4", moving(5, 90), before=tmp_path / "gone.mp4")


def test_all_receipts_are_kept_in_their_order() -> None:
    one, two, three = (receipt(f"part {n}") for n in range(3))
    both = joined_receipt(two, one | {"pictures": {"image": "x"}}, 33)
    assert (both["frames"], both["request"]) == (33, two["request"])
    assert [part["request"]["prompt"] for part in both["parts"]] == ["part 0", "part 1"]
    assert all("pictures" not in part for part in both["parts"])
    all_three = joined_receipt(three, both, 49)
    prompts = [part["request"]["prompt"] for part in all_three["parts"]]
    assert prompts == ["part 0", "part 1", "part 2"]
    told = for_others(all_three)["parts"]
    assert [set(part) for part in told] == [{"request", "seed", "model"}] * 3
    for _ in range(2 * MOST_PARTS):
        all_three = joined_receipt(three, all_three, 49)
    assert len(all_three["parts"]) == MOST_PARTS
