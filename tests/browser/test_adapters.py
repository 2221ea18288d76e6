"""A LoRA from a repository in a real Chromium: looked up, fetched, paused, gone on with, used."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import TESTS
from tests.support import loras
from tests.support.browser import MARKS
from tests.support.hub import Hub, running
from tests.support.pictures import keep
from tests.support.served import Served, serving

pytestmark = MARKS
FILE = "someone/loras/zoom.safetensors"
TAKES = """
adapters: true
architecture: {layers: 40, dim: 5120, ffn_dim: 13824, heads: 40, text_dim: 4096}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """With a LoRA for one block of the 14B, and one for another model."""
    folder = tmp_path_factory.mktemp("hub")
    fits = loras.layers(rank=1, blocks=1, dim=5120, ffn=13824)
    with running(folder) as made:
        made.repos["someone/loras"] = {
            "zoom.safetensors": loras.write(folder / "zoom", fits).read_bytes(),
            "other.safetensors": loras.write(folder / "other", loras.layers()).read_bytes(),
        }
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[Served]:
    """With a model that takes LoRAs for the 14B; no GPU's is offered on a machine without one."""
    folder = tmp_path_factory.mktemp("adapters")
    presets = folder / "presets"
    shutil.copytree(TESTS / "fixtures/presets", presets)
    text = (presets / "scripted.yaml").read_text()
    text = text.replace("id: scripted\n", "id: takes-loras\n").replace(
        ": Scripted\n", ": Takes LoRAs\n"
    )
    (presets / "takes-loras.yaml").write_text(text + TAKES)
    with serving(folder, presets, HF_ENDPOINT=hub.url) as page:
        yield page


@pytest.fixture
def form(page: Any) -> Any:
    page.click("#model input")
    page.click("[role=option] >> text=Takes LoRAs")
    page.click("#adapters summary")
    return page


def test_one_is_fetched_and_used(form: Any, hub: Hub) -> None:
    hub.fault("zoom.safetensors", pace=150_000)
    form.fill("#adapters .fetch input", f" {FILE} ")
    form.keyboard.press("Enter")
    form.wait_for_selector("#adapters .pulling >> text=/zoom.safetensors: .* free on the drive/")
    form.click("#adapters .pulling button >> text=Download")
    form.wait_for_selector("#adapters .pulling .count >> text=/ of /")

    keep(form, "lora-coming", "light-en-US")
    form.click("#adapters .pulling button >> text=Pause")
    form.wait_for_selector("#adapters .pulling >> text=Paused. What was downloaded is kept.")
    hub.heal()
    form.click("#adapters .pulling button >> text=Resume")
    form.wait_for_selector("#adapters .pulling >> text=zoom.safetensors is here.")
    form.wait_for_selector("#adapters .chosen .name >> text=zoom")
    assert form.is_hidden("#adapters .pulling button")
    assert form.input_value("#adapters .fetch input") == ""


def test_what_isnt_there_is_a_sentence(form: Any) -> None:
    form.fill("#adapters .fetch input", "someone/nothing")
    form.click("#adapters .fetch button")
    form.wait_for_selector("#adapters .pulling button >> text=Try again")
    assert form.inner_text("#adapters .pulling .said").endswith(".")


def test_one_for_another_model_comes_and_isnt_used(form: Any) -> None:
    form.fill("#adapters .fetch input", "someone/loras/other.safetensors")
    form.click("#adapters .fetch button")
    form.click("#adapters .pulling button >> text=Download")
    form.wait_for_selector("#adapters .pulling >> text=other.safetensors is here.")
    form.wait_for_selector("#adapters option[disabled] >> text=other", state="attached")
    assert form.locator("#adapters .chosen >> text=other").count() == 0
