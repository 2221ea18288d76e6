"""A stranger's picture, made plain: what is taken, what is refused and in which words."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from engine.pictures import plain
from engine.pictures.plain import LEAST_SIDE, PLAIN_SIDE, PictureError, make_plain

FIXTURES = Path(__file__).parents[2] / "fixtures" / "pictures"
RED, BLUE = (220, 30, 40), (30, 60, 200)


def two_colours(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Blue in its upper left quarter, red elsewhere."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (0, 0, size[0] // 2, size[1] // 2))
    return image.convert(mode)


def made(folder: Path, image: Image.Image, name: str, **more: Any) -> Image.Image:
    """``image``, saved as ``name``, as it is once it is plain."""
    image.save(folder / name, **more)
    return looked(folder / name)[0]


def looked(source: Path) -> tuple[Image.Image, plain.Seen]:
    place = source.with_name("plain.png")
    seen = make_plain(source, place, source.name)
    with Image.open(place) as image:
        image.load()
        assert image.mode == "RGB"
        assert set(image.info) == set()
        return image, seen


def near(image: Image.Image, at: tuple[int, int], colour: tuple[int, ...]) -> bool:
    pixel = image.getpixel(at)
    assert isinstance(pixel, tuple)
    return max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 24


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.png", ".png"),
        ("a.jpg", ".jpg"),
        ("a.webp", ".webp"),
        ("a.avif", ".avif"),
        ("a.gif", ".gif"),
        ("a", ".png"),
        ("a.txt", ".png"),
    ],
)
def test_what_counts_is_the_content_not_the_name(tmp_path: Path, name: str, suffix: str) -> None:
    kind = Path(name).suffix.lstrip(".").replace("jpg", "jpeg").replace("txt", "") or "png"
    two_colours().save(tmp_path / name, kind)
    image, seen = looked(tmp_path / name)
    assert seen == plain.Seen(64, 48, suffix)
    assert near(image, (4, 4), BLUE)
    assert near(image, (60, 44), RED)


def test_a_heic_of_a_phone_is_read_and_stands_upright(tmp_path: Path) -> None:
    """The fixture's camera was held on its side: the corner that was upper left is upper right."""
    place = tmp_path / "plain.png"
    seen = make_plain(FIXTURES / "turned.heic", place, "turned.heic")
    with Image.open(place) as image:
        assert (seen.width, seen.height) == image.size == (48, 64)
        assert near(image, (45, 2), (40, 60, 200))
        assert near(image, (2, 2), (200, 40, 40))


@pytest.mark.parametrize(
    ("orientation", "corner", "size"),
    [
        (1, (0, 0), (64, 48)),
        (2, (1, 0), (64, 48)),
        (3, (1, 1), (64, 48)),
        (4, (0, 1), (64, 48)),
        (5, (0, 0), (48, 64)),
        (6, (1, 0), (48, 64)),
        (7, (1, 1), (48, 64)),
        (8, (0, 1), (48, 64)),
        (9, (0, 0), (64, 48)),
    ],
)
def test_it_stands_upright(
    tmp_path: Path, orientation: int, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """``corner``: where the blue quarter is, as (right, lower)."""
    exif = Image.Exif()
    exif[0x112] = orientation
    image = made(tmp_path, two_colours(), "a.jpg", exif=exif, quality=95)
    assert image.size == size
    for right in (0, 1):
        for lower in (0, 1):
            at = right * (size[0] - 8) + 4, lower * (size[1] - 8) + 4
            assert near(image, at, BLUE if (right, lower) == corner else RED)


def test_a_square_is_turned_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    image = made(tmp_path, two_colours(size=(64, 64)), "a.png", exif=exif)
    assert near(image, (60, 4), BLUE)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    picture = two_colours().quantize(4) if mode == "P" else two_colours(mode)
    image = made(tmp_path, picture, name)
    dark, light = image.getpixel((4, 4)), image.getpixel((60, 44))
    assert dark != light or mode == "1"
    if mode in ("P", "RGBA", "CMYK"):
        assert near(image, (60, 44), RED)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    half = np.full((40, 40), 32768, np.uint16)
    image = made(tmp_path, Image.fromarray(half), "a.png")
    assert image.getpixel((5, 5)) == (128, 128, 128)


def test_what_shines_through_is_white(tmp_path: Path) -> None:
    clear = two_colours("RGBA")
    clear.putalpha(0)
    assert made(tmp_path, clear, "a.png").getpixel((5, 5)) == (255, 255, 255)
    half = two_colours("RGBA")
    half.putalpha(128)
    assert near(made(tmp_path, half, "b.png"), (60, 44), tuple((c + 255) // 2 for c in RED))


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = two_colours().convert("P", palette=Image.Palette.ADAPTIVE)
    index = image.getpixel((60, 44))
    assert made(tmp_path, image, "a.png", transparency=index).getpixel((60, 44)) == (255,) * 3


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif"])
def test_of_an_animated_one_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    assert near(looked(tmp_path / name)[0], (20, 20), RED)


def test_colours_of_another_space_are_converted(tmp_path: Path) -> None:
    """Red and blue change places in this made-up profile's space, as far as can be told by CMS."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image = made(tmp_path, two_colours(), "a.png", icc_profile=srgb.tobytes())
    assert near(image, (60, 44), RED)
    # One of other colours than the picture's, or no profile at all, changes nothing.
    for number, profile in enumerate((lab.tobytes(), b"no profile")):
        image = made(tmp_path, two_colours(), f"{number}.png", icc_profile=profile)
        assert near(image, (60, 44), RED)


def test_a_large_one_is_made_smaller_and_its_size_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 3000), RED).save(tmp_path / "a.png")
    image, seen = looked(tmp_path / "a.png")
    assert image.size == (1920, PLAIN_SIDE)
    assert (seen.width, seen.height) == (4000, 3000)


def refusal(source: Path) -> PictureError:
    with pytest.raises(PictureError) as caught:
        make_plain(source, source.with_name("plain.png"), source.name)
    assert not source.with_name("plain.png").exists()
    assert list(source.parent.glob(".half-*")) == []
    return caught.value


def _text(path: Path) -> None:
    path.write_text("It was a dark night.")


def _svg(path: Path) -> None:
    path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")


def _bomb(path: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(path, "PNG")
    assert path.stat().st_size < 2 * 2**20


def _cut(path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8)).save(
        data, "PNG"
    )
    path.write_bytes(data.getvalue()[: data.tell() // 2])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b""), "a.png is empty."),
        (_text, "a.png isn't a picture that can be read."),
        (_svg, "a.png isn't a picture that can be read."),
        (lambda path: two_colours().save(path, "BMP"), "isn't a picture that can be read"),
        (_cut, "a.png is damaged."),
        (_bomb, "30000 × 30000 pixels; more than 40 megapixels"),
        (lambda path: Image.new("RGB", (1, 10_000)).save(path), "each side needs at least 32"),
        (lambda path: Image.new("RGB", (9000, 40)).save(path), "more than 8 times the other"),
        (lambda path: path.write_bytes(bytes(50_000_001)), "larger than 50 MB"),
    ],
)
def test_what_is_refused_is_a_sentence(
    tmp_path: Path, write: Callable[[Path], object], words: str
) -> None:
    write(tmp_path / "a.png")
    error = refusal(tmp_path / "a.png")
    assert words in str(error)
    assert str(error.remedy)


def test_the_smallest_that_is_taken(tmp_path: Path) -> None:
    assert made(tmp_path, Image.new("RGB", (LEAST_SIDE,) * 2), "a.png").size == (32, 32)
