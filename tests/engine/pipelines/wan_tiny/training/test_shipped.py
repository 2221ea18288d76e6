"""The weights that ship: four clips through the product's pipeline, judged from their pixels."""

import json
from pathlib import Path

import pytest
import torch

from engine.home import PROJECT
from engine.machine.facts import this_machine
from engine.pipelines.wan_tiny.pipeline import WanTiny
from engine.pipelines.wan_tiny.training.judge import judge, score
from engine.pipelines.wan_tiny.vocabulary import EXAMPLES, parse, unknown_words
from engine.plan.make import make_plan
from engine.presets import load_presets
from engine.request import ClipRequest
from tests.support.wan_tiny import FROM_PICTURE, PRESET, Notes

FOLDER = PROJECT / str(PRESET.checkpoint)
FROM_PICTURE_FOLDER = PROJECT / str(FROM_PICTURE.checkpoint)
PROMPTS = (
    "a red ball moves left over green grass",
    "a blue square moves up on a yellow background",
    "a white star moves right in a black night",
    "a large orange heart moves down on a purple background",
)


@pytest.mark.long
@pytest.mark.starts
@pytest.mark.model
def test_four_clips_show_what_was_asked_for() -> None:
    pipeline = WanTiny(PRESET)
    pipeline.load(make_plan(this_machine(), PRESET))
    presets = load_presets()
    size = {"height": 128, "width": 128, "frames": 17}
    for seed, prompt in enumerate(PROMPTS):
        request = ClipRequest.check({"prompt": prompt, **size}, presets)
        frames = torch.from_numpy(pipeline.generate(request, seed, Notes()))
        clip = frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        result = score(parse(prompt), judge(clip)[0])
        assert result.background, prompt
        assert all(result.colours), prompt
        assert all(result.motions), prompt


@pytest.mark.parametrize("folder", [FOLDER, FROM_PICTURE_FOLDER], ids=lambda folder: folder.name)
def test_the_folder_is_small_and_its_card_honest(folder: Path) -> None:
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert total <= 20_000_000
    card = json.loads((folder / "wan_tiny.json").read_text())
    assert card["trained"] is True
    assert (folder / "README.md").read_text().count("|") > 40, "the card has its table"
    figures = json.dumps(card["evaluation"])
    for floor in ("background", "colour", "direction", "shape"):
        assert floor in figures


def test_of_a_picture_what_was_to_be_reached_was_measured() -> None:
    figures = json.loads((FROM_PICTURE_FOLDER / "evaluation.json").read_text())
    assert figures["prompts"] == 200
    for size in ("64x64x17", "128x128x17"):
        for asked in ("held_out", "contradicted", "with_last"):
            found = figures[size][asked]
            assert found["first_worst_db"] >= 25
            assert min(found["colour"], found["direction"], found["motion"]) >= 0.95
        assert figures[size]["without_words"]["direction"] < 0.2, "a picture gives nothing away"


def test_the_pages_examples_are_in_its_world() -> None:
    for prompt in EXAMPLES:
        assert unknown_words(prompt) == (), prompt
