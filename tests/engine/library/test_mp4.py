"""MP4s: what is written can be read back, receipt and colours included."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.home import Home
from engine.library import mp4, xmp
from engine.library.clip_writer import RECEIPT_KIND
from engine.library.library import clip_name
from engine.stages import Frames


def bars(frames: int = 9) -> Frames:
    """Six saturated colours side by side, the hardest case for a wrong colour matrix."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (9, 9, 9)]
    row = np.repeat(np.array(colours, np.uint8), 16, axis=0)
    return np.broadcast_to(row, (frames, 64, 96, 3)).copy()


def test_the_receipt_survives_any_prompt(tmp_path: Path) -> None:
    receipt = {"request": {"prompt": 'a "red" ball\n球 <script>'}, "seed": 4}
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, lambda: receipt)
    assert mp4.read_receipt(path) == receipt


def test_it_survives_a_chat_program_that_strips_the_tags(tmp_path: Path) -> None:
    receipt = {"request": {"prompt": "a & b </headroom:receipt> <\u2028球>\x07"}, "seed": 4}
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, lambda: receipt)
    data = path.read_bytes()
    assert data.count(b"udta") == 1
    path.write_bytes(data.replace(b"udta", b"free"))  # as Discord leaves it
    with av.open(str(path)) as container:
        assert "comment" not in container.metadata
    assert mp4.read_receipt(path) == receipt
    assert (mp4.read_frames(path) == mp4.read_frames(path)).all()


@pytest.mark.starts
@pytest.mark.skipif(
    shutil.which("ffprobe") is None and not os.environ.get("HEADROOM_REQUIRE_FFPROBE"),
    reason="ffprobe isn't installed",
)
def test_ffprobe_reads_the_tag_and_knows_the_stream(tmp_path: Path) -> None:
    receipt = {"request": {"prompt": 'a "red" ball\n球'}, "seed": 4}
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, lambda: receipt)
    command = ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)]
    said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert json.loads(said["format"]["tags"]["comment"]) == {"kind": RECEIPT_KIND, **receipt}
    (stream,) = said["streams"]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["nb_frames"], stream["color_space"]) == ("9", "bt709")


def test_the_packet_is_xml_and_the_last_box(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, lambda: {"request": {"prompt": "<b> & \n ☃"}})
    packet = path.read_bytes().partition(xmp.BOX)[2]
    root = ElementTree.fromstring(packet[packet.index(b"<x:xmpmeta") : packet.rindex(b"<?xpacket")])
    found = root.findtext(f".//{{{xmp.NAMESPACE}}}receipt")
    assert found is not None
    assert json.loads(found)["request"]["prompt"] == "<b> & \n ☃"


@pytest.mark.parametrize("cut", [1, 8, 23, 24, 40, 200])
def test_a_cut_off_box_is_no_receipt(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, lambda: {"seed": 4})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(xmp.BOX) - 8 + cut])
    assert xmp.read(path) is None
    if 8 <= cut < 24:  # not even a box's head
        with pytest.raises(mp4.ClipError, match="damaged"):
            mp4.read_receipt(path)
    else:
        assert mp4.read_receipt(path) == {"seed": 4}, "the tag is still there"


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_any_bytes_are_read_to_an_end(data: bytes, size: int) -> None:
    path = Home.find().root / "any.mp4"
    path.write_bytes(size.to_bytes(4) + b"uuid" + xmp.BOX + data)
    xmp.read(path)


def test_without_a_receipt_nothing_tells_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, None)
    assert b"uuid" not in path.read_bytes()
    with pytest.raises(mp4.ClipError, match="without a receipt"):
        mp4.read_receipt(path)


def test_every_browser_can_play_it_at_once(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, None)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 16
        assert stream.frames == 9
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "faststart: the index comes first"


def test_colours_come_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    mp4.write_clip(path, bars(), 16, None)
    back = mp4.read_frames(path)
    middles = slice(8, None, 16)
    difference = back[:, 32, middles].astype(int) - bars()[:, 32, middles]
    assert np.abs(difference).max() <= 6


def test_clips_from_elsewhere_are_told_from_damaged_ones(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.mp4"
    mp4.write_clip(foreign, bars(), 16, None)
    with pytest.raises(mp4.ClipError, match="has no Headroom receipt"):
        mp4.read_receipt(foreign)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(foreign.read_bytes()[:200])
    with pytest.raises(mp4.ClipError, match="can't be read as a video"):
        mp4.read_receipt(damaged)
    with pytest.raises(mp4.ClipError, match="doesn't exist"):
        mp4.read_receipt(tmp_path / "missing.mp4")


@pytest.mark.parametrize(
    "prompt", ["a red ball", "../../etc/passwd", "", "球" * 500, 'con?*"|<>', "\n\t.", "a" * 999]
)
def test_names_fit_every_file_system(prompt: str, tmp_path: Path) -> None:
    name = clip_name(7, prompt, 42)
    assert (tmp_path / name).parent == tmp_path
    assert len(name.encode()) < 255
    assert not set(name) & set('/\\:*?"<>|\n\t')
    (tmp_path / name).touch()


def test_poster_and_preview_are_pictures(tmp_path: Path) -> None:
    from PIL import Image

    mp4.write_poster(tmp_path / "p.jpg", bars())
    assert Image.open(tmp_path / "p.jpg").size == (320, 213)
    assert mp4.preview_webp(bars(3))[8:12] == b"WEBP"
