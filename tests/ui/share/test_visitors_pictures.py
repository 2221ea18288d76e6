"""Visitors' pictures: taken within caps, and nobody names another's."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import wait_until
from tests.support.visitors import Doors, asked, error
from ui.share import visitors
from ui.share.visitors import PICTURE_BYTES

pytestmark = pytest.mark.starts


def data(size: tuple[int, int] = (96, 64)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def sent(visitor: httpx.Client, content: bytes, name: str = "a.png") -> httpx.Response:
    return visitor.post(f"picture?name={name}", content=content)


def state(visitor: httpx.Client) -> dict[str, Any]:
    return dict(visitor.get("state").json())


def test_a_visitors_picture_becomes_a_clip(doors: Doors) -> None:
    doors.engine.start()
    ana = doors.visitor()
    assert state(ana)["pictures"] is True
    picture = sent(ana, data()).json()["picture"]
    answer = ana.post("generate", json={"prompt": "it moves", "frames": 5, "image": picture})
    assert answer.status_code == 200, answer.text
    job = doors.engine.jobs.get(answer.json()["job"])
    assert (job.request.model, job.request.image) == ("scripted-i2v", picture)
    assert (job.request.width, job.request.height) == (48, 32)
    wait_until(lambda: state(ana)["jobs"][0]["clip"], "the visitor's clip")


def test_a_picture_that_somebody_else_sent_cant_be_named(doors: Doors) -> None:
    """Not even whether it is here is told."""
    ana, ben = doors.visitor(), doors.visitor("Ben", "203.0.113.9")
    picture = sent(ana, data()).json()["picture"]
    own = doors.engine.intake.take_bytes(data((64, 64)), "owner.png").sha256
    for name in (picture, own, "0" * 64, "x"):
        for field in ("image", "last_image"):
            answer = ben.post("generate", json=asked(**{field: name}))
            assert (answer.status_code, error(answer)) == (
                409,
                "That picture isn't here. Choose the picture again.",
            )
    assert doors.client().post("picture", content=data()).status_code == 401


def test_what_is_no_picture_or_too_much_is_a_sentence(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "PICTURES_EACH", 3)
    ana = doors.visitor()
    answer = sent(ana, b"hello", "C:\\secret\\a.png")
    assert answer.status_code == 422
    assert error(answer).startswith("a.png isn't a picture")
    assert sent(ana, bytes(PICTURE_BYTES + 1)).status_code == 413
    assert [sent(ana, b"hello").status_code for _ in range(2)] == [422, 422]
    answer = sent(ana, b"hello")
    assert (answer.status_code, "3 pictures came from your address already" in error(answer)) == (
        409,
        True,
    )
