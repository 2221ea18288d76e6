"""Encoding beside decoding: the same file whatever the parts, nothing left of what is given up."""

import errno
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from engine.library import mp4, sound
from engine.library.clip_writer import ClipWriter
from engine.library.video import look_at
from engine.pipelines.base import Cancelled
from engine.stages import Frames
from tests.support import videos


@pytest.fixture
def frames() -> Frames:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (21, 64, 96, 3), np.uint8)


def written(path: Path, frames: Frames, *at: int) -> bytes:
    """In parts that begin at ``at``."""
    writer = ClipWriter(path, 16)
    for part in np.split(frames, at):
        writer.add(part)
    assert writer.taken == len(frames)
    writer.finish(lambda: {"seed": 4})
    return path.read_bytes()


def test_the_parts_change_no_byte(tmp_path: Path, frames: Frames) -> None:
    whole = written(tmp_path / "whole.mp4", frames)
    assert written(tmp_path / "parts.mp4", frames, 1, 5, 9, 13, 17) == whole
    assert written(tmp_path / "empty.mp4", frames, 0, 7, 7, 21) == whole
    mp4.write_clip(tmp_path / "at once.mp4", frames, 16, lambda: {"seed": 4})
    assert (tmp_path / "at once.mp4").read_bytes() == whole
    assert len(mp4.read_frames(tmp_path / "whole.mp4")) == 21
    assert mp4.read_receipt(tmp_path / "whole.mp4") == {"seed": 4}


def test_frames_are_encoded_before_the_last_is_there(tmp_path: Path, frames: Frames) -> None:
    encoded = threading.Event()
    writer = ClipWriter(tmp_path / "a.mp4", 16)
    encode = writer._arriving

    def watched() -> object:
        for part in encode():
            yield part
            encoded.set()  # whoever takes the next one has encoded this one

    writer._arriving = watched  # type: ignore[method-assign, assignment]
    writer.add(frames[:9])
    writer.add(frames[9:13])
    assert encoded.wait(20)
    writer.add(frames[13:])
    writer.finish(None)
    assert len(mp4.read_frames(tmp_path / "a.mp4")) == 21


def test_the_receipt_is_asked_for_once_all_is_encoded(tmp_path: Path, frames: Frames) -> None:
    writer = ClipWriter(tmp_path / "a.mp4", 16)
    writer.add(frames)
    seen: list[bool] = []

    def receipt() -> dict[str, object]:
        seen.append(writer._encoded.is_set())
        return {}

    writer.finish(receipt)
    assert seen == [True]


@pytest.mark.parametrize("when", ["before any", "while it encodes", "in finish", "in the receipt"])
def test_what_is_given_up_ends_and_its_file_can_be_removed(
    tmp_path: Path, frames: Frames, when: str
) -> None:
    path = tmp_path / "a.mp4"
    writer = ClipWriter(path, 16)

    def cancel() -> None:
        raise Cancelled

    if when != "before any":
        for _ in range(20):
            writer.add(frames)
    if when == "in finish":
        with pytest.raises(Cancelled):
            writer.finish(None, cancel)
    if when == "in the receipt":
        with pytest.raises(ZeroDivisionError):
            writer.finish(lambda: {"seed": 1 / 0})
    writer.abandon()
    writer.abandon()
    path.unlink(missing_ok=True)
    assert "clip writer" not in {thread.name for thread in threading.enumerate()}
    assert not path.exists()


def test_a_full_disk_is_told_at_the_end(tmp_path: Path, frames: Frames) -> None:
    def begin() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = ClipWriter(tmp_path / "a.mp4", 16, begin)
    for _ in range(3):
        writer.add(frames)
    with pytest.raises(OSError, match="No space left"):
        writer.finish(lambda: {"never": "asked for"})
    assert not (tmp_path / "a.mp4").exists()


def test_a_folder_that_is_gone_is_told_at_the_end(tmp_path: Path, frames: Frames) -> None:
    writer = ClipWriter(tmp_path / "gone" / "a.mp4", 16)
    writer.add(frames)
    with pytest.raises(FileNotFoundError):
        writer.finish(None)


def test_without_frames_there_is_no_clip(tmp_path: Path) -> None:
    writer = ClipWriter(tmp_path / "a.mp4", 16)
    writer.add(np.empty((0, 64, 96, 3), np.uint8))
    with pytest.raises(ValueError, match="no frames"):
        writer.finish(None)
    assert not (tmp_path / "a.mp4").exists()


def test_who_is_faster_than_the_encoder_waits_for_it(tmp_path: Path, frames: Frames) -> None:
    writer = ClipWriter(tmp_path / "a.mp4", 16, ahead=2)
    for frame in frames:
        writer.add(frame[None])
        assert writer._parts.qsize() <= 2
    writer.finish(None)
    assert len(mp4.read_frames(tmp_path / "a.mp4")) == 21


def test_nobody_waits_for_an_encoder_that_has_failed(tmp_path: Path, frames: Frames) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = ClipWriter(tmp_path / "a.mp4", 16, full, ahead=1)
    for frame in frames:
        writer.add(frame[None])
    with pytest.raises(OSError, match="No space left"):
        writer.finish(None)


@pytest.mark.parametrize("last", [Fraction(1, 1000), Fraction(1, 48), Fraction(1, 24)])
def test_the_last_frame_is_shown_as_long_as_it_is_said(
    tmp_path: Path, frames: Frames, last: Fraction
) -> None:
    writer = ClipWriter(tmp_path / "a.mp4", 24, last=last)
    writer.add(frames)
    writer.finish(None)
    seen = look_at(tmp_path / "a.mp4")
    assert seen.times == tuple(Fraction(at, 24) for at in range(21))
    assert seen.end == pytest.approx(Fraction(20, 24) + last, abs=2e-4)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "flac"])
def test_sound_goes_with_the_pictures(tmp_path: Path, frames: Frames, codec: str) -> None:
    """Copied where an MP4 takes it; else encoded. It begins with the first picture."""
    times = [Fraction(at, 16) for at in range(21)]
    begins = Fraction(1, 4)
    source = videos.write(tmp_path / "s.mp4", frames, times, sound=codec, begins=begins)
    writer = ClipWriter(tmp_path / "a.mp4", 16, sound=partial(sound.of, source))
    writer.add(frames)
    writer.finish(lambda: {"seed": 4})
    path = tmp_path / "a.mp4"
    assert mp4.read_receipt(path) == {"seed": 4}
    assert len(mp4.read_frames(path)) == 21
    with av.open(str(path)) as container:
        heard = container.streams.audio[0]
        assert heard.codec_context.name == ("mp3float" if "mp3" in codec else "aac")
        packets = [packet for packet in container.demux(heard) if packet.size]
        ends = [float(((p.pts or 0) + (p.duration or 0)) * p.time_base) for p in packets]
    assert 1.0 < ends[-1] < 1.4, "of what was heard before the first picture nothing is left"


def test_without_sound_there_is_none(tmp_path: Path, frames: Frames) -> None:
    source = videos.write(tmp_path / "s.mp4", frames[:2], [Fraction(0), Fraction(1, 16)])
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        assert sound.of(source, container) is None
