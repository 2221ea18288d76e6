"""How things read."""

import pytest

from engine.request import Size
from engine.text import Text
from engine.worker.progress import Progress, TimeLeft
from ui import wording


def said(text: Text) -> str:
    return wording.say(text, "en")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (95.0, "95 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (119.7, "2 min 0 s"),
        (220, "3 min 40 s"),
    ],
)
def test_seconds(count: float, text: str) -> None:
    assert said(wording.seconds(count)) == text


def test_sizes_read_width_first() -> None:
    assert said(wording.size(Size(480, 832, 81), 16)) == "832 × 480, 5.1 s"
    assert said(wording.size(Size(832, 480, 81), 16)) == "480 × 832, 5.1 s"
    assert said(wording.size(Size(64, 64, 17), 16)) == "64 × 64, 1.1 s"


def test_time_left_is_honest() -> None:
    assert said(wording.time_left(None)) == ""
    assert said(wording.time_left(TimeLeft(12.3, at_least=True))) == "at least 12 s left"
    assert said(wording.time_left(TimeLeft(7.25, at_least=False))) == "about 7.2 s left"
    assert said(wording.time_left(TimeLeft(0.3, at_least=False))) == "nearly done"
    assert said(wording.time_left(TimeLeft(0.3, at_least=True))) == ""


def test_a_time_is_said_in_the_readers_language() -> None:
    left = wording.time_left(TimeLeft(220, at_least=False))
    time = Text("wording.minutes_seconds", minutes=3, seconds=40)
    assert left == Text("wording.left_about", time=time)
    assert wording.say(left, "zh") == "大约还需 3 分 40 秒"


def test_a_stage_and_its_step() -> None:
    denoising = wording.stage(Progress(1, "denoise", step=3, steps=20))
    assert said(denoising) == "Denoising, step 4 of 20"
    assert wording.say(denoising, "zh") == "正在去噪，第 4 步，共 20 步"
    assert wording.stage(Progress(1, "save")) == Text("wording.stage_save")
