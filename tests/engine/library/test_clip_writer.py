"""Encoding beside decoding: the same file whatever the parts, nothing left of what is given up."""

import errno
import threading
from pathlib import Path

import numpy as np
import pytest

from engine.library import mp4
from engine.library.clip_writer import ClipWriter
from engine.pipelines.base import Cancelled
from engine.stages import Frames


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
