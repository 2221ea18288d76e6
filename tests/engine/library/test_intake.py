"""Pictures come in through the reader, go into clips, and come back out of them."""

import base64
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.home import Home
from engine.library.intake import PROOF_BYTES, PROOF_SIDE, Intake, proof, stand_in
from engine.library.mp4 import write_clip
from engine.library.reader_process import frame, receipt_of, receipts
from engine.pictures.plain import PictureError
from engine.request import ClipRequest
from tests.support.clipfiles import receipt

pytestmark = pytest.mark.starts


@pytest.fixture
def intake(tmp_path: Path) -> Intake:
    home = Home(tmp_path / "home")
    home.create()
    return Intake(home)


def saved(folder: Path, size: tuple[int, int] = (64, 48), name: str = "a.png") -> Path:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def asked(image: str, **more: object) -> ClipRequest:
    return ClipRequest("it moves", 32, 48, 5, 7, "scripted-i2v", image=image, **more)  # type: ignore[arg-type]


def test_it_is_kept_byte_for_byte_and_a_lost_copy_is_made_again(
    intake: Intake, tmp_path: Path
) -> None:
    source = saved(tmp_path)
    picture = intake.take(source)
    assert (picture.width, picture.height) == (64, 48)
    kept = intake.kept.find(picture.sha256)
    assert kept is not None
    assert kept.read_bytes() == source.read_bytes()
    source.unlink()
    intake.plain(picture.sha256).unlink()
    assert intake.find(picture.sha256) == picture
    array = intake.cut(picture.sha256, asked(picture.sha256))
    assert array.shape == (32, 48, 3)
    assert array.dtype == np.uint8


def test_what_isnt_there_is_a_sentence(intake: Intake, tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "nothing.png", "nothing.png doesn't exist."),
        (tmp_path, f"{tmp_path.name} is a folder."),
    ):
        with pytest.raises(PictureError, match=words):
            intake.take(path)
    for sha256 in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(PictureError, match="isn't kept here any more"):
            intake.find(sha256)


def test_a_hostile_file_ends_in_a_sentence_with_its_own_name(
    intake: Intake, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(bomb)
    with pytest.raises(PictureError, match=r"holiday\.png has 30000 × 30000"):
        intake.take(bomb, "holiday.png")
    assert list(intake.home.pictures.iterdir()) == []
    assert list((intake.home.cache / "pictures").iterdir()) == []


def test_bytes_leave_no_file_behind(intake: Intake, tmp_path: Path) -> None:
    picture = intake.take_bytes(saved(tmp_path).read_bytes(), "sent.png")
    assert intake.find(picture.sha256) == picture
    assert [name for name in os.listdir(intake.home.cache) if name.startswith("picture-")] == []


def test_a_proof_is_small_and_looks_the_same() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (720, 1280, 3), np.uint8)
    data = base64.b64decode(proof(noise))
    assert len(data) <= PROOF_BYTES
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "JPEG"
        assert max(image.size) == PROOF_SIDE
    small = np.full((64, 96, 3), (200, 40, 40), np.uint8)
    with Image.open(io.BytesIO(base64.b64decode(proof(small)))) as image:
        assert image.size == (96, 64)
        assert np.abs(np.asarray(image).astype(int) - small).max() < 8


def test_a_clip_brings_its_pictures_along(intake: Intake, tmp_path: Path) -> None:
    """In the file, not in the row that a scan makes of it; here they are found by their SHA-256,
    elsewhere the small ones are taken."""
    one, other = (
        intake.take(saved(tmp_path, size, f"{size[0]}.png")).sha256 for size in ((64, 48), (48, 48))
    )
    request = asked(one, last_image=other)
    told = receipt() | {"request": request.to_json()}
    frames = np.full((5, 32, 48, 3), 9, np.uint8)
    small = {"image": proof(frames[0]), "last_image": proof(frames[1])}
    clip = tmp_path / "clip.mp4"
    write_clip(clip, frames, 8, lambda: told, pictures=small)
    assert receipts([clip])[clip]["request"] == request.to_json()  # type: ignore[index]
    assert "pictures" not in receipts([clip])[clip]  # type: ignore[operator]
    whole = receipt_of(clip, "clip.mp4")
    assert whole["pictures"] == small
    again = intake.asked_again(whole)
    assert (again["image"], again["last_image"]) == (one, other)

    elsewhere = Intake(Home(tmp_path / "another"))
    elsewhere.home.create()
    back = elsewhere.asked_again(whole)
    assert back["image"] not in (one, None)
    picture = elsewhere.find(str(back["image"]))
    assert (picture.width, picture.height) == (48, 32)
    # A row of the library knows no pictures: its file does.
    row = {**whole}
    del row["pictures"]
    assert elsewhere.asked_of(request, row, clip)["image"] == back["image"]
    with pytest.raises(PictureError, match="isn't kept here any more"):
        elsewhere.asked_again(row)


@pytest.mark.parametrize("small", ["%%%", "aGVsbG8=", "A" * 20])
def test_a_damaged_picture_inside_a_clip_is_a_sentence(intake: Intake, small: str) -> None:
    told = receipt() | {"request": asked("0" * 64).to_json(), "pictures": {"image": small}}
    with pytest.raises(PictureError, match="the clip's picture"):
        intake.back(told)


def test_any_picture_of_a_clip_can_be_had(tmp_path: Path) -> None:
    """By its index, exactly; the last one where there are no so many."""
    frames = np.stack([np.full((32, 32, 3), 40 * n, np.uint8) for n in range(6)])
    write_clip(tmp_path / "clip.mp4", frames, 8, None)
    for index, wanted in ((0, 0), (3, 120), (5, 200), (99, 200)):
        frame(tmp_path / "clip.mp4", tmp_path / "frame.png", index)
        with Image.open(tmp_path / "frame.png") as image:
            assert np.abs(np.asarray(image).astype(int) - wanted).max() <= 4


def test_what_a_probe_begins_with_is_of_its_size() -> None:
    assert stand_in(asked("0" * 64)).shape == (32, 48, 3)
