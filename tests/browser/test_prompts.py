"""Help with the prompt in a real Chromium: an idea, the way back, a language model that answers,
refuses and is let go."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support import browser
from tests.support.llm import Llm, running, said
from tests.support.served import Served, serving

pytestmark = browser.MARKS
SECRET = "sk-very-secret-0123456789"
MINE = "a red ball rolls left over the lawn"


@pytest.fixture(scope="module")
def llm() -> Iterator[Llm]:
    with running() as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, llm: Llm) -> Iterator[Served]:
    folder, ollama = tmp_path_factory.mktemp("prompts"), f"127.0.0.1:{llm.port}"
    with serving(folder, OLLAMA_HOST=ollama) as running_page:
        yield running_page


def prompt_of(page: Any) -> str:
    return str(page.input_value("#prompt textarea"))


def wait_for_prompt(page: Any, text: str) -> None:
    page.wait_for_function("t => document.querySelector('#prompt textarea').value === t", arg=text)


def open_panel(page: Any) -> None:
    """Open it and all that it holds."""
    page.click("#improve-open")
    page.wait_for_selector("#improve-status >> text=/No language model|Uses/")
    if page.is_hidden("#llm-save"):
        page.click("#improve-which button")
    page.wait_for_selector("#llm-save", state="visible")


def save(page: Any, base: str, model: str, key: str = "", seconds: int = 30) -> None:
    page.fill("#llm-base input, #llm-base textarea", base)
    page.fill("#llm-model input", model)
    page.press("#llm-model input", "Enter")
    page.fill("#llm-key input", key)
    page.fill("#llm-seconds input", str(seconds))
    page.click("#llm-save")


def test_an_idea_by_keyboard_and_back_to_what_was_typed(page: Any) -> None:
    page.fill("#prompt textarea", MINE)
    assert page.is_hidden("#prompt-back")
    page.focus("#idea-theme input")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#idea-theme input').value.startsWith('Up and')")
    page.keyboard.press("Tab")
    page.wait_for_selector("[role=option] >> text=a white moon")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_prompt(page, "a white moon drifts up at sunset")
    page.wait_for_function("document.querySelector('#idea input').value.startsWith('Pick')")
    page.click("#idea input")
    page.click("[role=option] >> text=a small yellow star")
    wait_for_prompt(page, "a small yellow star rises in a black night")
    box = page.locator("#generate").bounding_box()
    assert box["y"] + box["height"] <= 768, "making a clip needs scrolling"
    page.click("#prompt-back")
    wait_for_prompt(page, MINE)
    page.wait_for_selector("#prompt-back", state="hidden")


def test_a_model_without_ideas_offers_none(page: Any) -> None:
    browser.choose_scripted(page)
    page.wait_for_selector("#idea", state="hidden")
    assert page.is_visible("#improve-open")
    page.click("#model input")
    page.click("[role=option] >> text=Wan tiny")
    page.wait_for_selector("#idea", state="visible")


def test_nothing_is_there_then_one_is_set_and_its_answer_used(
    page: Any, llm: Llm, served: Served
) -> None:
    llm.listing = 500
    assert llm.asked == [], "no page that opens asks anybody"
    page.fill("#prompt textarea", MINE)
    open_panel(page)
    page.wait_for_selector("#improve-status >> text=No language model is set")
    page.click("#llm-look")
    page.wait_for_selector("#llm-told >> text=Ollama doesn't answer on this computer")
    assert page.is_hidden("#improve-ask")

    save(page, "file:///etc/passwd", "m")
    page.wait_for_selector("#llm-told >> text=has to start with http://")
    save(page, "http://127.0.0.1:9/v1", "qwen3:8b")
    page.wait_for_selector("#improve-status >> text=on this computer")
    page.click("#improve-ask")
    page.wait_for_selector("#improve-status >> text=127.0.0.1:9 doesn't answer. Start it")
    assert prompt_of(page) == MINE

    save(page, llm.base, "qwen3:8b", SECRET)
    page.wait_for_selector(f"#improve-status >> text=127.0.0.1:{llm.port}")
    llm.body = said('<think>Hm</think>"a red ball rolls left over green grass"')
    page.click("#improve-ask")
    page.wait_for_selector("#improve-result >> text=a red ball rolls left over green grass")
    assert MINE in page.inner_text("#improve-result"), "both stand beside each other"
    assert prompt_of(page) == MINE, "nothing is used by itself"
    page.click("#improve-use")
    wait_for_prompt(page, "a red ball rolls left over green grass")
    page.click("#prompt-back")
    wait_for_prompt(page, MINE)

    asked = llm.asked[-1]
    assert asked.headers["Authorization"] == f"Bearer {SECRET}"
    assert asked.body["model"] == "qwen3:8b"
    assert page.input_value("#llm-key input") == ""
    browser.open_page(page, served)
    open_panel(page)
    page.wait_for_selector("#llm-key input[placeholder*='A key is saved']")
    config = httpx.get(f"{served.url}config", trust_env=False).text
    for shown in (page.content(), page.input_value("#llm-key input"), config, served.log()):
        assert SECRET not in shown


def test_a_slow_answer_blocks_nothing_and_can_be_cancelled(page: Any, llm: Llm) -> None:
    llm.listing = 200
    page.fill("#prompt textarea", MINE)
    open_panel(page)
    page.click("#llm-look")
    page.wait_for_selector("#llm-told >> text=Ollama is running with llama3.2, qwen3:8b")
    llm.drip = 0.2
    page.click("#improve-ask")
    page.wait_for_selector("#improve-status >> text=up to 30 s")
    seed = page.input_value("#seed input")
    page.click("#dice")
    page.wait_for_function("old => document.querySelector('#seed input').value !== old", arg=seed)
    llm.gone.clear()
    page.click("#improve-stop")
    page.wait_for_selector("#improve-status >> text=Cancelled. Your prompt is unchanged.")
    assert llm.gone.wait(10)
    page.click("#improve-ask >> visible=true")
    page.click("#improve-stop")
    page.wait_for_selector("#improve-ask", state="visible")
    page.click("#llm-off")
    page.wait_for_selector("#improve-status >> text=No language model is set")
    assert page.is_hidden("#improve-ask")


@pytest.mark.parametrize("width", [1366, 390])
def test_the_open_panel_is_not_cut_off(chromium: Any, served: Served, width: int) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 768})
    tab = context.new_page()
    browser.open_page(tab, served)
    open_panel(tab)
    overflow = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0, "the page scrolls sideways"
    context.close()
