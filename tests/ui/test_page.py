"""What the page's handlers do with what people and files bring in."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

from engine.engine import Engine
from engine.errors import HeadroomError
from engine.home import PROJECT
from engine.jobs import State
from engine.library.library import Clip
from engine.presets import Presets
from engine.request import ClipRequest, Problem, RequestError
from engine.text import Text, plain
from tests.conftest import Ask, finish
from ui.page import build_page
from ui.tabs import choices, generate, library, prompts, stage
from ui.wording import speak

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def chinese() -> Iterator[None]:
    speak("zh")
    yield
    speak("en")


def test_the_controls_make_valid_requests(presets: Presets) -> None:
    for model in (preset.id for preset in presets.makers):
        sizes = choices.size_choices(presets, model)
        frames = choices.frame_choices(presets, model)
        assert sizes["value"] in [value for _, value in sizes["choices"]]
        for _, size in sizes["choices"]:
            for _, count in frames["choices"]:
                raw = generate.Form("a ball", model, size, count, "5").raw()
                no_picture = presets.models[model].begins_with_picture
                request = ClipRequest.check(raw, presets, probe=no_picture)
                assert f"{request.height}×{request.width}" == size
                assert request.seed == 5


def test_no_field_cuts_what_is_pasted() -> None:
    """A browser that keeps to a length does it without a word; who refuses says so."""
    written = [*(PROJECT / "ui").rglob("*.py"), *(PROJECT / "ui/assets").rglob("*.*")]
    found = [
        file.name
        for file in written
        if file.suffix in (".py", ".js", ".html")
        and re.search(r"max_?length\s*=", file.read_text(encoding="utf-8"), re.IGNORECASE)
    ]
    assert found == []


@pytest.mark.parametrize("empty", ["", "  ", None])
def test_an_empty_seed_is_drawn(presets: Presets, empty: str | None) -> None:
    raw = generate.Form("a ball", "wan-tiny", "64×64", 9, empty).raw()
    assert ClipRequest.check(raw, presets).seed == -1


@pytest.mark.parametrize("typed", ["1e400", "seven", "4294967296", "-2"])
def test_a_seed_that_is_none_is_refused_and_not_drawn(presets: Presets, typed: str) -> None:
    raw = generate.Form("a ball", "wan-tiny", "64×64", 9, typed).raw()
    with pytest.raises(RequestError, match="seed: "):
        ClipRequest.check(raw, presets)


def test_settings_come_back_into_the_form(engine: Engine) -> None:
    """Whatever the guard says, with a size and a length that nobody offers."""
    request = ClipRequest("a ball", 96, 48, 13, 7, "scripted")
    fields, (truth, press) = generate.brought_back(engine, request)
    assert "data-wide='48' data-high='96'" in truth
    assert press.value
    prompt, model, size, frames, seed, held = fields
    assert held == ""
    assert (prompt, model.value, seed) == ("a ball", "scripted", "7")
    assert (size.value, frames.value) == ("96×48", 13)
    raw = generate.Form(prompt, model.value, size.value, frames.value, seed).raw()
    assert ClipRequest.check(raw, engine.presets) == request
    for radio in (size, frames):
        assert radio.value in [value for _, value in radio.choices]
    # The verdict's refresh keeps the foreign choice while it is chosen, and no longer.
    kept = generate.judged(engine, "scripted", "96×48", 13)
    assert "96×48" in [value for _, value in kept[0].choices]
    gone = generate.judged(engine, "scripted", "32×48", 5)
    assert "96×48" not in [value for _, value in gone[0].choices]
    assert 13 not in [value for _, value in gone[1].choices]


def test_a_seed_to_be_drawn_empties_the_field(engine: Engine) -> None:
    request = ClipRequest("a ball", 32, 48, 5, -1, "scripted")
    assert generate.brought_back(engine, request)[0][4] == ""


def test_refusals_are_escaped_and_one_line_each(presets: Presets) -> None:
    raw = {"prompt": "x", "model": HOSTILE, "height": 17}
    try:
        ClipRequest.check(raw, presets)
    except RequestError as error:
        text = generate.refusal_html(error)
    assert text.count("<p>") == 2
    assert "&lt;img" in text
    assert "<img" not in text


@pytest.mark.usefixtures("chinese")
def test_refusals_are_in_the_readers_language() -> None:
    busy = HeadroomError(Text("guard.nothing_as_large"), Text("guard.measure_it"))
    assert "<p>本机还没有测过这么大的尺寸。请测量：" in generate.refusal_html(busy)
    problem = Problem("model", plain("said as it is"), None)
    assert "<p>said as it is</p>" in generate.refusal_html(RequestError((problem,)))
    with pytest.raises(gr.Error, match="请另选一个"):
        choices.as_count("x")


def test_cancel_takes_what_runs_then_what_waits(engine: Engine, ask: Ask) -> None:
    generate.cancel_current(engine)  # nothing to cancel is no error
    first, second = engine.submit(ask()), engine.submit(ask())
    generate.cancel_current(engine)
    assert engine.jobs.get(first.id).state == "cancelled"
    assert engine.jobs.get(second.id).state == "queued"


def test_cancel_is_meant_for_the_job_that_was_on_show(engine: Engine, ask: Ask) -> None:
    jobs = engine.jobs
    shown, other = jobs.add(ask()), jobs.add(ask())
    jobs.claim(shown.id)
    jobs.end(shown.id, State.DONE)
    jobs.claim(other.id)
    generate.cancel_current(engine, str(shown.id))  # it ended as the button was pressed
    assert not jobs.get(other.id).cancel_requested
    generate.cancel_current(engine, str(other.id))
    assert jobs.get(other.id).cancel_requested
    waiting = jobs.add(ask())
    jobs.end(other.id, State.CANCELLED)
    for nonsense in ("", "x", "9" * 30, None):
        generate.cancel_current(engine, nonsense)
    assert jobs.get(waiting.id).state is State.CANCELLED


@pytest.mark.starts
def test_a_clip_is_shown_with_every_choice_and_its_reason(engine: Engine, ask: Ask) -> None:
    engine.start()
    job = finish(engine, engine.submit(ask(HOSTILE, seed=11)))
    clip = engine.library.of_job(job.id)
    assert clip is not None
    rows = library.rows(clip, engine)
    assert {row.why for row in rows} >= {c["reason"] for c in clip.receipt["plan"].values()}
    assert (rows[0].name, rows[0].value) == (Text("receipt_table.prompt"), HOSTILE)
    assert rows[-1].name == Text("receipt_table.file")


@pytest.mark.usefixtures("chinese")
def test_a_receipt_is_in_the_readers_language_as_far_as_it_is_known(engine: Engine) -> None:
    """What a file from elsewhere says in words of its own stays as it is."""
    choices = {
        "decode": {"value": "tiled", "reason": "Less memory."},
        "rope_chunk": {"value": 100, "reason": ""},
        "of_tomorrow": {"value": "a new way", "reason": ""},
    }
    request = ClipRequest("load", 32, 48, 5, 1, "scripted")
    kept = {
        "request": request.to_json(),
        "seed": 1,
        "model": "Of tomorrow",
        "label": "",
        "device": "cpu",
        "stages": {"load": 1.5, "dream": 2.0},
        "peaks": {"decode": 2**30},
        "versions": {"torch": "3"},
        "plan": choices,
    }
    clip = Clip(1, None, "", "a.mp4", kept, False, None, False)
    told = {name: (value, why) for name, value, why in library.receipt_rows(clip, engine)}
    assert told["提示词"] == ("load", "")
    assert told["方案：解码"] == ("分块（tiled）", "Less memory.")
    assert told["方案：旋转编码分段"] == ("100", "")
    assert told["方案：of_tomorrow"] == ("a new way", "")
    assert told["耗时"][0].startswith("加载 1.5")
    assert "、dream 2.0" in told["耗时"][0]
    assert told["内存峰值"] == ("解码 1.0 GB", "引擎进程的峰值。")
    assert told["文件"] == ("a.mp4", "手动放入：从别处放进了片段文件夹。")
    visitors = {**kept, "device": "", "stages": {}, "peaks": {}, "versions": {}, "plan": {}}
    between = replace(clip, receipt={**clip.receipt, "between": "smooth"})
    told = {name: (value, why) for name, value, why in library.receipt_rows(between, engine)}
    assert told["中间帧"][0] == "smooth"
    assert "FFmpeg" in told["中间帧"][1]
    rows = library.receipt_rows(replace(clip, receipt=visitors), engine)
    assert [name for name, _, _ in rows] == ["提示词", "尺寸", "种子", "模型", "文件"]


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ((480, 832), (544, 960)),
        ((544, 960), (720, 1280)),
        ((720, 1280), None),
        ((832, 480), (1280, 720)),
        ((624, 624), None),
        ((256, 256), (624, 624)),
    ],
)
def test_larger_keeps_the_form(
    presets: Presets, now: tuple[int, int], then: tuple[int, int] | None
) -> None:
    asked = ClipRequest("a ball", *now, 81, 7, "wan2.1-t2v-14b-fp8")
    above = stage.larger(presets, asked)
    assert (above and (above.height, above.width)) == then
    if above:
        assert (above.prompt, above.seed, above.frames) == ("a ball", 7, 81)


def test_the_page_builds_with_nothing_running(engine: Engine) -> None:
    config: dict[str, Any] = build_page(engine).get_config_file()
    ids = {part["props"].get("elem_id") for part in config["components"]}
    assert {
        "prompt",
        "size",
        "frames",
        "seed",
        "dice",
        "generate",
        "truth",
        "error",
        "model",
    } <= ids
    assert {"stage", "strip", "library", "from-clip", "pausing", "saved"} <= ids
    offered = [d for d in config["dependencies"] if d.get("api_visibility") != "private"]
    named = ["generate", "enhance", "status", "cancel", "pause", "resume", "check", "library"]
    assert [d["api_name"] for d in offered] == named


def test_unknown_words_are_told_kindly_and_escaped(presets: Presets) -> None:
    tiny, scripted = presets.models["wan-tiny"], presets.models["scripted"]
    assert prompts.vocabulary_hint("a red ball rolls left over green grass", tiny) == ""
    assert prompts.vocabulary_hint("", tiny) == ""
    one = prompts.vocabulary_hint("a red zebra", tiny)
    assert "Wan tiny doesn&#x27;t know “zebra” and will ignore it." in one
    hint = prompts.vocabulary_hint("a wizard <b>jumps</b>", tiny)
    assert "“wizard”" in hint
    assert "and will ignore them." in hint
    assert "<b>" not in hint
    assert "turquoise" in hint, "it says what it knows"
    assert prompts.vocabulary_hint("a wizard", scripted) == ""
