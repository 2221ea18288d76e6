"""LoRAs in the form: what is listed, and what the form holds of it."""

import hashlib
import json
from typing import Any

import pytest

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.request import RequestError
from tests.support import loras
from ui.api.answers import Answers
from ui.tabs import adapters, generate
from ui.tabs.held import fields_of


@pytest.fixture
def film(engine: Engine) -> str:
    """The SHA-256 of one that fits the small model."""
    file = loras.write(
        engine.adapters.folder / "film.safetensors", loras.layers(), {"trigger_words": "film grain"}
    )
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_what_fits_is_told_with_its_words_and_what_doesnt_with_the_reason(
    engine: Engine, film: str
) -> None:
    loras.write(engine.adapters.folder / "other.safetensors", loras.layers(dim=24))
    (engine.adapters.folder / "broken.safetensors").write_bytes(b"no file")
    told = {one["name"]: one for one in adapters.entries_for(engine, loras.small_model())}
    assert told["film"]["fits"]
    assert told["film"]["files"] == [film]
    assert told["film"]["triggers"] == ["film grain"]
    for name in ("other", "broken"):
        assert not told[name]["fits"]
        assert told[name]["told"]


def test_the_form_holds_what_is_in_the_folder_and_nothing_else(engine: Engine, film: str) -> None:
    sent = {"adapters": [{"sha256": film, "strength": 0.5}, {"sha256": "0" * 64, "strength": 1}]}
    held = adapters.chosen(engine, sent, "")
    assert fields_of(held) == {"adapters": [{"sha256": film, "strength": 0.5}]}
    assert json.loads(held)
    raw = generate.Form("a ball", "wan2.1-t2v-14b-fp8", "480×832", 81, "", held).raw()
    assert raw["adapters"] == [{"sha256": film, "strength": 0.5}]
    assert adapters.chosen(engine, {"adapters": []}, held) == ""
    odd: list[Any] = [None, 5, {"adapters": 5}, {"adapters": [5, {}, {"sha256": film}]}]
    for one in odd:
        assert adapters.chosen(engine, one, "") == ""
    picture = '{"image":"' + "a" * 64 + '"}'
    both = adapters.chosen(engine, sent, picture)
    assert set(fields_of(both)) == {"image", "adapters"}, "pictures stay"


def test_programs_name_them(engine: Engine, film: str) -> None:
    answers = Answers(engine)
    with pytest.raises(HeadroomError, match="nothing"):
        answers.submit({"prompt": "x", "model": "wan2.1-t2v-14b-fp8", "loras": ["nothing"]})
    for odd in ("film", [5], {"film": 1}):
        with pytest.raises(RequestError, match="isn't a list of names"):
            answers.submit({"prompt": "x", "model": "scripted", "loras": odd})
    with pytest.raises(RequestError, match="takes no LoRAs"):
        answers.submit({"prompt": "x", "model": "scripted", "loras": ["film:0.8"]})
