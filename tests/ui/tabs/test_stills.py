"""The stills of the stage's examples: there for each of the default model's, and of its shape."""

import base64
import io

import pytest
from PIL import Image

from engine.presets import load_presets
from ui.tabs.stage import example_file, example_prompts, example_still

DEFAULT = load_presets().default


@pytest.mark.parametrize("prompt", example_prompts(DEFAULT))
def test_each_example_of_the_default_model_has_a_still(prompt: str) -> None:
    """Make a missing one with ``python -m tests.tools.stills``."""
    kind, _, data = example_still(DEFAULT, prompt).partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        shape = DEFAULT.default
        assert picture.width / picture.height == pytest.approx(shape.width / shape.height, 0.02)
        assert max(picture.size) <= 192


def test_none_is_left_of_a_prompt_that_is_no_example_any_more() -> None:
    wanted = {example_file(DEFAULT, prompt) for prompt in example_prompts(DEFAULT)}
    folder = next(iter(wanted)).parent
    assert set(folder.glob(f"{DEFAULT.id}-*")) == wanted


def test_another_prompt_has_none() -> None:
    assert example_still(DEFAULT, "a prompt that nobody made a still of") == ""
