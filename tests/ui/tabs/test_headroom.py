"""The headroom tab's picture and the verdicts beside the controls."""

from collections.abc import Iterator

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.presets import Presets
from engine.request import Size
from engine.units import GIB
from tests.conftest import Ask
from tests.support.scripted_memory import ScriptedMeter
from ui.tabs import generate, headroom
from ui.wording import speak


@pytest.fixture
def guarded(presets: Presets, jobs: Jobs) -> Iterator[Engine]:
    made = Engine(Home.find(), presets, jobs, ScriptedMeter())
    yield made
    made.close()


@pytest.fixture
def chinese() -> Iterator[None]:
    speak("zh")
    yield
    speak("en")


def record(engine: Engine, ask: Ask, size: Size, outcome: str, peak: int) -> None:
    engine.lane.guard.record(
        engine.jobs.add(ask()).id,
        "clip",
        "wan-tiny",
        size,
        outcome,  # type: ignore[arg-type]
        {"decode": peak},
        {"denoise": 1.0, "decode": 2.0},
    )


def test_every_state_has_its_own_mark_and_word(guarded: Engine, ask: Ask) -> None:
    record(guarded, ask, Size(128, 128, 17), "ok", GIB)
    record(guarded, ask, Size(128, 128, 17), "ok", GIB + GIB // 10)
    record(guarded, ask, Size(224, 128, 33), "out_of_memory", 0)
    picture, dropdown = headroom.refreshed(guarded, "wan-tiny")
    assert "✓</span> measured" in picture
    assert "peak 1.1 GB, 3.0 s, 2 runs" in picture
    assert "✕</span> too large" in picture
    assert "–</span> not tested yet" in picture
    marks = list(headroom.LOOKS.values())
    assert len(set(marks)) == len(marks)
    words = [str(headroom.look_text(look)) for look in headroom.LOOKS]
    assert words == [
        "measured",
        "predicted",
        "fits",
        "memory in use",
        "not tested yet",
        "too large",
    ]
    values = [value for _, value in dropdown.choices]
    assert "128×128×17" not in values, "it is measured already"
    assert "224×128×33" not in values, "it can't fit"
    assert dropdown.value in values
    assert "<summary title='128 × 224, 2.1 s'>" in picture
    assert "</summary><p>Memory ran out at 128 × 224, 2.1 s" in picture, "the reason opens"


def test_the_size_to_measure_stays_chosen_while_it_is_a_choice(guarded: Engine, ask: Ask) -> None:
    _, dropdown = headroom.refreshed(guarded, "wan-tiny", None)
    first, last = dropdown.value, dropdown.choices[-1][1]
    assert first != last
    assert headroom.refreshed(guarded, "wan-tiny", last)[1].value == last
    height, width, frames = map(int, last.split("×"))
    record(guarded, ask, Size(height, width, frames), "ok", GIB)
    _, dropdown = headroom.refreshed(guarded, "wan-tiny", last)
    values = [value for _, value in dropdown.choices]
    assert last not in values, "it is measured now"
    assert dropdown.value in values
    assert headroom.refreshed(guarded, "wan-tiny", "no size")[1].value == dropdown.value


def test_locked_sizes_say_so_and_offer_the_test(guarded: Engine) -> None:
    size, frames, truth, press = generate.judged(guarded, "wan-tiny", "256×256", 17)
    labels = dict((value, text) for text, value in size.choices)
    assert labels["256×256"] == "256 × 256\nnot tested yet"
    assert labels["128×128"].startswith("128 × 128\n≤ ")
    assert "--mark: 'best'" in truth
    assert [value for _, value in frames.choices] == [9, 17, 33]
    assert "Not tested yet" in truth
    assert "data-step='test'" in truth
    assert press.value == "Test this size"
    _, _, truth, press = generate.judged(guarded, "wan-tiny", "128×128", 17)
    assert "Fits: up to" in truth
    assert press.value == "Generate"


def test_measuring_from_the_tab_queues_a_probe(guarded: Engine) -> None:
    assert "Measuring 256 × 256, 1.1 s in small steps" in headroom.measure_size(
        guarded, "wan-tiny", "256×256×17"
    )
    (job,) = guarded.jobs.waiting()
    assert (job.kind, job.request.size) == ("probe", Size(256, 256, 17))
    assert "measured already" in headroom.measure_size(guarded, "wan-tiny", None)


def test_a_peak_that_wasnt_measured_says_how_it_is_meant(guarded: Engine, ask: Ask) -> None:
    """A smaller one than was measured takes no more; what is open by the preset alone likewise."""
    picture, _ = headroom.refreshed(guarded, "wan-tiny")
    assert "<br>up to 614 MB</summary>" in picture
    record(guarded, ask, Size(128, 128, 17), "ok", GIB // 2)
    picture, _ = headroom.refreshed(guarded, "wan-tiny")
    assert "peak 512 MB, 3.0 s, 1 run</summary>" in picture
    assert "<br>up to 512 MB</summary>" in picture


def test_a_larger_size_never_shows_less_than_a_smaller_one(guarded: Engine, ask: Ask) -> None:
    """Measurements waver: the second run of a size took less than a smaller one's."""
    record(guarded, ask, Size(64, 64, 17), "ok", GIB)
    record(guarded, ask, Size(128, 128, 17), "ok", GIB - GIB // 8)
    picture, _ = headroom.refreshed(guarded, "wan-tiny")
    assert picture.count("peak 1.0 GB, 3.0 s, 1 run") == 2


@pytest.mark.usefixtures("chinese")
def test_the_tab_and_the_choices_are_in_the_readers_language(guarded: Engine, ask: Ask) -> None:
    record(guarded, ask, Size(128, 128, 17), "ok", GIB)
    size, frames, verdict, _ = generate.judged(guarded, "wan-tiny", "256×256", 17)
    assert "尚未测试" in verdict
    assert "请测量" in verdict
    labels = {value: text for text, value in size.choices}
    assert labels["128×224"] == "224 × 128\n尚未测试"
    assert [text for text, _ in frames.choices] == [
        "0.6 秒，尚未测试",
        "1.1 秒，尚未测试",
        "2.1 秒，尚未测试",
    ]
    record(guarded, ask, Size(224, 128, 33), "out_of_memory", 0)
    picture, dropdown = headroom.refreshed(guarded, "wan-tiny")
    assert "✓</span> 已测" in picture
    assert "峰值 1.0 GB，3.0" in picture
    assert "运行 1 次" in picture
    assert "<p>本机在 128 × 224，2.1 秒 时内存耗尽" in picture
    assert any(text.endswith("（尚未测试）") for text, _ in dropdown.choices)
    said = headroom.measure_size(guarded, "wan-tiny", "256×256×17")
    assert said.startswith("<p>正在测量 256 × 256")
