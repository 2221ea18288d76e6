"""Takes pictures in, through the reader process, and gives them to who makes or shows a clip."""

import base64
import binascii
import contextlib
import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.home import Home
from engine.library import reader_process
from engine.library.mp4 import ClipError, shown_name
from engine.library.receipt import asked_again
from engine.pictures.cut import cut
from engine.pictures.kept import KeptPictures
from engine.pictures.plain import MOST_BYTES, PictureError, too_large
from engine.process.own_files import sha256_of, why_no_file
from engine.request import SHA256, ClipRequest
from engine.stages import Frames
from engine.text import Said, Text

PROOF_SIDE = 512  # pixels of the longer side of a picture inside a clip
PROOF_BYTES = 48_000


@dataclass(frozen=True)
class Picture:
    """One that is kept: its SHA-256, and its plain copy's size in pixels."""

    sha256: str
    width: int
    height: int


class Intake:
    """Pictures of one home. Any thread may ask."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.kept = KeptPictures(home)

    def take(self, source: Path, name: Said = "") -> Picture:
        """Keep the picture at ``source``.

        Args:
            name: what sentences call it; by default the file's own.

        Raises:
            PictureError: it isn't one that can be used, or can't be read or kept.
            ReaderError: the reader can't begin.
        """
        called = name or shown_name(source.name)
        try:
            if why := why_no_file(source, called):
                raise PictureError(why, Text("files.check_path"))
            if source.stat().st_size > MOST_BYTES:
                raise too_large(called)
            sha256 = sha256_of(source)
            seen = reader_process.picture(source, self._place(sha256), called)
            self.kept.add(source, sha256, seen.suffix)
        except OSError as error:
            reason = error.strerror or str(error)
            raise PictureError(
                Text("pictures.cant_keep", file=called, reason=reason),
                Text("files.check_path"),
            ) from error
        return self.find(sha256)

    def take_bytes(self, data: bytes, name: Said) -> Picture:
        """Keep the picture that ``data`` is; raises as ``take``."""
        if len(data) > MOST_BYTES:
            raise too_large(name)
        handle, path = tempfile.mkstemp(prefix="picture-", dir=self.home.made(self.home.cache))
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            return self.take(Path(path), name)
        finally:
            Path(path).unlink(missing_ok=True)

    def find(self, sha256: str) -> Picture:
        """The kept picture of this SHA-256.

        Raises:
            PictureError: there is none.
            ReaderError: its plain copy has to be made again, and the reader can't begin.
        """
        with Image.open(self.plain(sha256)) as image:  # the header only
            return Picture(sha256, *image.size)

    def plain(self, sha256: str) -> Path:
        """Its plain copy, made again where it is missing; raises as ``find``."""
        if not SHA256.fullmatch(sha256):
            raise gone(sha256)
        place = self.kept.plain(sha256)
        if not os.path.isfile(place):
            file = self.kept.find(sha256)
            if file is None:
                raise gone(sha256)
            reader_process.picture(file, self._place(sha256), shown_name(file.name))
        return place

    def cut(self, sha256: str, request: ClipRequest) -> Frames:
        """As the model gets it, uint8 [height, width, 3]; raises as ``find``."""
        with Image.open(self.plain(sha256)) as image:
            return cut(image.convert("RGB"), request.height, request.width, request.fit)

    def check(self, request: ClipRequest) -> None:
        """Whether all pictures that ``request`` names are here; raises as ``find``."""
        for sha256 in request.pictures:
            if self.kept.find(sha256) is None:
                raise gone(sha256)

    def _place(self, sha256: str) -> Path:
        place = self.kept.plain(sha256)
        self.home.made(place.parent)
        return place

    # ---- inside a clip -----------------------------------------------------------------------

    def asked_again(self, receipt: Mapping[str, Any]) -> dict[str, object]:
        """The request in a ``checked`` receipt with the seed that made the clip, and with pictures
        that are kept here; still untrusted. Raises as ``back``."""
        return asked_again(receipt) | self.back(receipt)

    def asked_of(
        self, request: ClipRequest, receipt: Mapping[str, Any], file: Path
    ) -> dict[str, object]:
        """``asked_again`` of a clip of the library: its row has no pictures, but its ``file`` may.
        Raises as ``back``."""
        if any(self.kept.find(sha256) is None for sha256 in request.pictures):
            with contextlib.suppress(ClipError, reader_process.ReaderError):
                receipt = reader_process.receipt_of(file, shown_name(file.name))
        return self.asked_again(receipt)

    def back(self, receipt: Mapping[str, Any]) -> dict[str, str]:
        """The request's pictures of a clip that came from elsewhere, by field: the ones that are
        kept here, else the small ones that the clip brings along.

        Raises:
            PictureError: there is neither, or it can't be read.
            ReaderError: the reader can't begin.
        """
        found: dict[str, str] = {}
        inside = receipt.get("pictures")
        for name in ("image", "last_image"):
            sha256 = receipt["request"].get(name)
            if not sha256:
                continue
            small = inside.get(name) if isinstance(inside, Mapping) else None
            if self.kept.find(sha256) is not None:
                found[name] = sha256
            elif isinstance(small, str):
                found[name] = self.take_bytes(_decoded(small), Text("pictures.of_the_clip")).sha256
            else:
                raise gone(sha256)
        return found


def proof(picture: Frames) -> str:
    """A picture, uint8 [height, width, 3], as a small JPEG in Base64: what a clip brings along."""
    image = Image.fromarray(picture)
    image.thumbnail((PROOF_SIDE, PROOF_SIDE), Image.Resampling.LANCZOS)
    for quality in (88, 75, 50, 25):
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        if data.tell() <= PROOF_BYTES:
            break
    return base64.b64encode(data.getvalue()).decode()


def stand_in(request: ClipRequest) -> Frames:
    """What a probe begins with, uint8 [height, width, 3]: as much work as any picture."""
    ramp = np.linspace(0, 255, request.width).astype(np.uint8)
    return np.broadcast_to(ramp[None, :, None], (request.height, request.width, 3)).copy()


def gone(sha256: str) -> PictureError:
    return PictureError(
        Text("pictures.gone", picture=str(sha256)[:12]), Text("pictures.choose_again")
    )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        damaged = Text("pictures.damaged", file=Text("pictures.of_the_clip"))
        raise PictureError(damaged, Text("pictures.choose_again")) from error
