"""The plan on the page: reasons, choices, refusals, and nothing where there is nothing."""

from dataclasses import replace

import pytest

from engine.engine import Engine
from engine.text import Text
from tests.support.events import press
from tests.support.machines import LINUX
from tests.support.samples import seen
from ui import wording
from ui.page import build_page
from ui.tabs import plan
from ui.wording import say

MODEL = "wan2.1-t2v-14b-fp8"


@pytest.fixture
def card(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine on a machine with a 4060 Ti."""
    monkeypatch.setattr(engine.plans, "_machine", lambda: LINUX)
    monkeypatch.setattr(engine, "look", seen)
    return engine


def by_name(engine: Engine, model: str) -> dict[str, list[tuple[str, object]]]:
    fresh = plan.refreshed(engine, model)
    dropdowns = fresh[-len(wording.CHOICES) :]
    return {name: d.choices for name, d in zip(wording.CHOICES, dropdowns, strict=True)}


def test_every_choice_is_shown_with_its_reason(card: Engine) -> None:
    table, section, *_ = plan.refreshed(card, MODEL)
    assert "<th scope='row'>Weights</th>" in table
    assert "block-exact" in table
    assert "It needs 31.7 GB of RAM" in table
    assert "isn&#x27;t installed" in table, "escaped"
    assert section.visible is True


def test_every_choice_of_the_plan_has_words(card: Engine) -> None:
    assert set(card.plans.options(MODEL)) == set(wording.CHOICES)
    keys = {*card.plans.plan(MODEL), *card.plans.plan("wan-tiny")}
    assert keys <= set(plan.NAMED)
    for name, label in wording.CHOICES.items():
        assert say(Text(f"plan_tab.name_{name}")) == label, "the table says it as the form does"


def test_the_table_and_the_choices_speak_the_requests_language(card: Engine) -> None:
    wording.speak("zh")
    try:
        table = plan.table_html(card, MODEL)
        labels = {value: text for text, value in by_name(card, MODEL)["attention"]}
        told = plan.use(card, MODEL, "decode", "tiled")
    finally:
        wording.speak("en")
    for words in ("的运行方式", "<th scope='col'>原因</th>", "逐块精确（block-exact）", "无引导"):
        assert words in table
    assert "未用 逐块（block）：需要 31.7 GB 内存" in table
    assert labels["sage_attn2"] == ("sage_attn2（不可用：没有安装 SageAttention 2；它需要编译。）")
    assert told == "<p>解码：分块（tiled）。下一个片段生效；引擎会为此自动重启。</p>"


def test_what_cant_work_says_so_and_is_refused_when_picked(card: Engine) -> None:
    labels = {value: text for text, value in by_name(card, MODEL)["attention"]}
    assert labels["torch_sdpa"] == "torch_sdpa"
    assert labels["sage_attn2"].startswith("sage_attn2 – can't work: SageAttention 2 isn't")
    told = plan.use(card, MODEL, "attention", "sage_attn2")
    assert 'role="alert"' in told
    assert "SageAttention 2 isn" in told
    assert card.plans.overrides(MODEL) == {}


def test_using_and_going_back(card: Engine) -> None:
    assert "The engine restarts with it" in plan.use(card, MODEL, "rope_chunk", 2048)
    assert "Your choice. Automatic would be 8192" in plan.table_html(card, MODEL)
    assert "automatic again" in plan.reset(card, MODEL, "rope_chunk")
    assert "Automatic would be 8192" not in plan.table_html(card, MODEL)
    assert plan.use(card, MODEL, "rope_chunk", None) == ""


@pytest.mark.parametrize("model", ["wan-tiny", "scripted"])
def test_a_model_that_leaves_nothing_to_choose_has_no_section(engine: Engine, model: str) -> None:
    table, section, *rest = plan.refreshed(engine, model)
    assert "float32" in table
    assert section.visible is False
    assert not any(row.visible for row in rest[: len(wording.CHOICES)])


def test_without_a_plan_the_reason_stands_in_its_place(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.plans, "_machine", lambda: replace(LINUX, gpu=None))
    table, section, *_ = plan.refreshed(engine, MODEL)
    assert "needs an NVIDIA GPU" in table
    assert section.visible is False


def test_a_hostile_value_is_escaped(card: Engine) -> None:
    told = plan.use(card, MODEL, "decode", "<img src=x>")
    assert "<img" not in told
    assert "&lt;img" in told


def test_the_page_has_the_section_hidden_until_it_is_known(engine: Engine) -> None:
    parts = build_page(engine).get_config_file()["components"]
    found = {p["props"].get("elem_id"): p["props"] for p in parts}
    assert found["plan-choices"]["visible"] is False
    assert {f"use-{name}" for name in wording.CHOICES} <= set(found)


def test_each_button_is_its_own_choices(card: Engine) -> None:
    page = build_page(card)
    values: list[object] = [f"of {name}" for name in wording.CHOICES]
    offered = card.plans.options(MODEL)
    for name in offered:
        assert f"of {name}" in press(page, f"use-{name}", MODEL, "", *values)[0]
    values[list(wording.CHOICES).index("rope_chunk")] = 2048
    assert "The engine restarts with it" in press(page, "use-rope_chunk", MODEL, "", *values)[0]
    assert card.plans.values(MODEL)["rope_chunk"] == 2048
    assert "automatic again" in press(page, "auto-rope_chunk", MODEL, "", *values)[0]
    assert card.plans.values(MODEL)["rope_chunk"] != 2048
