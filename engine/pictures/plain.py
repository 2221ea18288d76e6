"""A stranger's picture made plain: upright, opaque, sRGB, eight bits, no larger than is of use.

This runs in the reader process, which a file that hurts a decoder ends alone. What its header says
is checked before anything is decoded.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from engine.errors import ExitCode, HeadroomError
from engine.text import Said, Text

MOST_BYTES = 50_000_000
MOST_PIXELS = 40_000_000
LEAST_SIDE = 32  # pixels; below there is nothing to see once it is enlarged
LONGEST = 8  # times as long as wide, or as wide as high
PLAIN_SIDE = 1440  # of the shorter side; no model makes a clip whose shorter side is longer
# By Pillow's names; "MPO" are JPEGs of two pictures, as some phones take them.
SUFFIXES = {
    "PNG": ".png",
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "HEIF": ".heic",
    "GIF": ".gif",
}


# By EXIF's number of how the camera was held (EXIF 2.32, 4.6.4.A).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


OTHER = Text("pictures.choose_another")


class PictureError(HeadroomError):
    """A file that can't be taken as a picture, or one that is gone."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True)
class Seen:
    """What a picture is, upright: ``width`` and ``height`` in pixels, as its file has them."""

    width: int
    height: int
    suffix: str


def make_plain(source: Path, place: Path, name: str) -> Seen:
    """Write the plain picture of ``source`` to ``place``, whole or not at all.

    Args:
        name: what sentences call it.

    Raises:
        PictureError: it is too large, no picture, or damaged.
        OSError: it can't be read, or ``place`` not written.
    """
    with _opened(source, name) as image:
        suffix = SUFFIXES[str(image.format)]
        plain, size = _plain(image, name)
    half = place.with_name(f".half-{os.getpid()}-{place.name}")
    try:
        # Deflate's strongest level takes four times as long for a few percent.
        plain.save(half, "PNG", compress_level=2)
        half.replace(place)
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
    return Seen(*size, suffix)


def too_large(name: Said) -> PictureError:
    """For a file of more than ``MOST_BYTES``."""
    told = Text("pictures.too_many_bytes", file=name, megabytes=MOST_BYTES // 10**6)
    return PictureError(told, Text("pictures.save_smaller"))


@contextlib.contextmanager
def _opened(source: Path, name: str) -> Iterator[Image.Image]:
    """Its header was read, and nothing else yet."""
    if source.stat().st_size > MOST_BYTES:
        raise too_large(name)
    if source.stat().st_size == 0:
        raise PictureError(Text("pictures.empty", file=name), OTHER)
    with contextlib.suppress(ImportError):
        from pi_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    kinds = [kind for kind in SUFFIXES if kind in Image.OPEN]  # HEIC where its reader is here
    Image.MAX_IMAGE_PIXELS = None  # ours comes next, with a sentence
    with warnings.catch_warnings(), source.open("rb") as file:
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=kinds)
        except (UnidentifiedImageError, SyntaxError, ValueError, OSError, EOFError) as error:
            raise PictureError(Text("pictures.no_picture", file=name), OTHER) from error
        _refuse_odd(image, name)
        with image:
            yield image


def _refuse_odd(image: Image.Image, name: str) -> None:
    width, height = image.size
    known = {"file": name, "width": width, "height": height}
    if width * height > MOST_PIXELS:
        most = Text("pictures.too_many_pixels", **known, megapixels=MOST_PIXELS // 10**6)
        raise PictureError(most, Text("pictures.save_smaller"))
    if min(width, height) < LEAST_SIDE:
        raise PictureError(Text("pictures.too_small", **known, least=LEAST_SIDE), OTHER)
    if max(width, height) > LONGEST * min(width, height):
        raise PictureError(Text("pictures.too_long", **known, most=LONGEST), OTHER)


def _plain(image: Image.Image, name: str) -> tuple[Image.Image, tuple[int, int]]:
    """The picture, and its size upright before it was made smaller."""
    try:
        image.seek(0)
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they like
        raise PictureError(Text("pictures.damaged", file=name), OTHER) from error
    profile, turned = image.info.get("icc_profile"), _turned(image)
    width, height = image.size
    small = _coloured(_smaller(_eight_bits(image)), profile)
    if turned is None:
        return small, (width, height)
    upright = small.transpose(turned)
    swapped = (upright.width > upright.height) != (small.width > small.height)
    return upright, (height, width) if swapped else (width, height)


def _turned(image: Image.Image) -> Image.Transpose | None:
    """What makes it upright, as its EXIF says; a broken one says nothing."""
    with contextlib.suppress(Exception):
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _eight_bits(image: Image.Image) -> Image.Image:
    """In a mode that can be made smaller."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        return Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "PA", "La"):
        return image.convert("RGBA")
    if image.mode in ("P", "1"):
        return image.convert("RGB")
    return image


def _smaller(image: Image.Image) -> Image.Image:
    shorter = min(image.size)
    if shorter <= PLAIN_SIDE:
        return image
    width, height = (round(side * PLAIN_SIDE / shorter) for side in image.size)
    if image.mode == "RGBA":  # else what is invisible shines through at edges
        image = image.convert("RGBa")
    small = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return small.convert("RGBA") if small.mode == "RGBa" else small


def _coloured(image: Image.Image, profile: object) -> Image.Image:
    """In sRGB, on white where something shines through."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    flat = image.convert("RGB") if image.mode not in ("RGB", "CMYK", "L") else image
    if isinstance(profile, bytes) and profile:
        from PIL import ImageCms  # the page's process, which never decodes, goes without

        with contextlib.suppress(Exception):  # a profile that is none, or of other colours
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            known = ImageCms.profileToProfile(
                flat, own, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            flat = known or flat
    flat = flat.convert("RGB")
    if alpha is None:
        return Image.fromarray(np.asarray(flat))  # without what else the file told of it
    return Image.composite(flat, Image.new("RGB", flat.size, "white"), alpha)
