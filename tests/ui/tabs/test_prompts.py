"""What a tab keeps of its prompts, which ideas it offers, and how an answer is shown."""

import asyncio
import json
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.engine import Engine
from engine.presets import Presets
from engine.prompts.enhancer import Enhancer, ollama_base
from engine.prompts.ideas import load_ideas
from engine.prompts.openai_server import Endpoint, EnhancerError
from engine.store import StoreError
from engine.text import Text
from tests.support.handlers import handler
from ui import wording
from ui.page import build_page
from ui.tabs import improve, prompts
from ui.tabs.prompts import History

IDEAS = frozenset({"idea one", "idea two"})
HOSTILE = "<img src=x onerror=alert(1)>"


# ---- nothing typed is lost -------------------------------------------------------------------


def test_what_was_typed_comes_back_and_ideas_are_nobodys() -> None:
    history = History().replaced("mine", IDEAS).replaced("idea one", IDEAS)
    assert history.kept == ("mine",)
    text, history = history.back("idea two", IDEAS)
    assert (text, history.kept) == ("mine", ())
    assert History().replaced(" \n", IDEAS) == History()
    assert History().back("here", IDEAS) == ("here", History())


def test_an_edited_idea_is_the_users_and_comes_round_again() -> None:
    history = History().replaced("mine", IDEAS)
    text, history = history.back("idea one, but red", IDEAS)
    assert (text, history.kept) == ("mine", ("idea one, but red",))
    text, history = history.back("mine", IDEAS)
    assert (text, history.kept) == ("idea one, but red", ("mine",))


def test_a_suggestion_is_nobodys_until_it_is_edited() -> None:
    history = History().replaced("mine", IDEAS).gave("suggested")
    assert history.back("suggested", IDEAS)[1].kept == ()
    assert history.back("suggested, edited", IDEAS)[1].kept == ("suggested, edited",)


@given(
    st.lists(st.tuples(st.sampled_from(["type", "idea", "back"]), st.integers(0, 5)), max_size=19)
)
def test_every_text_that_was_typed_can_be_had_again(steps: list[tuple[str, int]]) -> None:
    history, current, typed = History(), "", set()
    for what, number in steps:
        if what == "type":
            # Typing over a text is the user's own doing: that one is given up.
            typed.discard(current)
            current = f"typed {number}"
            typed.add(current)
        elif what == "idea":
            history, current = history.replaced(current, IDEAS), "idea one"
        else:
            current, history = history.back(current, IDEAS)
    assert typed <= {current, *history.kept}


# ---- ideas -----------------------------------------------------------------------------------


def test_the_ideas_follow_the_model(presets: Presets) -> None:
    ideas = load_ideas()
    themes, texts = prompts.idea_choices(ideas, presets.models["wan2.1-t2v-14b-fp8"], "animals")
    assert themes["value"] == "animals"
    assert len(themes["choices"]) == 6
    assert texts["choices"][0] == (prompts.PICK, "")
    assert texts["choices"][1][0] == "Fox in fresh snow"
    assert texts["choices"][1][1].startswith("A red fox")
    themes, texts = prompts.idea_choices(ideas, presets.models["wan-tiny"], "animals")
    assert themes["value"] == "over the ground"
    assert themes["visible"]
    themes, texts = prompts.idea_choices(ideas, presets.models["scripted"], "animals")
    assert not themes["visible"]
    assert not texts["visible"]


# ---- calls -----------------------------------------------------------------------------------


def test_a_call_ends_the_one_before_it_in_its_tab() -> None:
    async def forever() -> str:
        await asyncio.sleep(1000)
        return ""

    async def soon() -> str:
        return "soon"

    async def both() -> None:
        calls = improve.Calls()
        first = asyncio.create_task(calls.run("tab", forever()))
        other = asyncio.create_task(calls.run("other", forever()))
        await asyncio.sleep(0)
        assert await calls.run("tab", soon()) == "soon"
        assert await first is None
        calls.cancel("tab")  # nothing to cancel is no error
        calls.cancel("other")
        assert await other is None
        assert calls.running == {}

    asyncio.run(both())


def test_so_many_calls_at_once_and_no_more() -> None:
    async def forever() -> str:
        await asyncio.sleep(1000)
        return ""

    async def many() -> None:
        calls = improve.Calls()
        tasks = [
            asyncio.create_task(calls.run(str(n), forever())) for n in range(improve.CALLS_AT_ONCE)
        ]
        await asyncio.sleep(0)
        with pytest.raises(EnhancerError, match="right now"):
            await calls.run("one more", forever())
        tasks[0].cancel()  # as when the server ends
        await asyncio.wait([tasks[0]])
        assert len(calls.running) == improve.CALLS_AT_ONCE - 1
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert calls.running == {}

    asyncio.run(many())


# ---- what is shown ---------------------------------------------------------------------------


def test_whatever_a_server_says_is_escaped(presets: Presets) -> None:
    endpoint = Endpoint(f"http://{HOSTILE}", HOSTILE)
    shown = [
        improve.status_html(endpoint),
        improve.waiting_html(endpoint),
        improve.found_html((HOSTILE,)),
        improve.problem_html(EnhancerError(HOSTILE, HOSTILE)),
        improve.versions_html(HOSTILE, HOSTILE, presets.models["wan-tiny"]),
    ]
    assert not [text for text in shown if "<img" in text]


def test_where_the_prompt_goes_is_said() -> None:
    assert "No language model is set" in improve.status_html(None)
    assert "on this computer" in improve.status_html(Endpoint("http://127.0.0.1:1/v1", "m"))
    assert "sent there." in improve.status_html(Endpoint("https://a.example/v1", "m"))
    assert "unencrypted" in improve.status_html(Endpoint("http://a.example/v1", "m"))


def test_looking_for_ollama_replaces_nothing_that_is_set(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_: Enhancer) -> tuple[str, ...]:
        return ("llama3.2", "qwen3:8b")

    monkeypatch.setattr(Enhancer, "look", found)
    enhancer = Enhancer(engine.settings, engine.home.database)
    look = handler(build_page(engine), "llm-look")

    set_here = enhancer.set("https://a.example/v1", "mine", "sk-secret")
    said, status, *_, base, model, key, _, _ = asyncio.run(look())
    assert "Press Save to use this one instead" in said
    assert "a.example" in status
    assert (base, model.value, key.placeholder) == (ollama_base(), "llama3.2", "")
    assert enhancer.endpoint == set_here, "with its key"

    enhancer.set(ollama_base(), "qwen3:8b")
    assert "Press Save" not in asyncio.run(look())[0]
    assert enhancer.endpoint == Endpoint(ollama_base(), "qwen3:8b")
    enhancer.turn_off()
    assert "Press Save" not in asyncio.run(look())[0]
    assert enhancer.endpoint == Endpoint(ollama_base(), "llama3.2")


def test_a_database_that_cant_be_read_ends_the_wait_for_an_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(*_: object) -> str:
        raise StoreError("It is locked.", "Wait.")

    page = build_page(engine)
    (ask,) = [fn.fn for fn in page.fns.values() if getattr(fn.fn, "__name__", "") == "ask"]
    monkeypatch.setattr(Enhancer, "improve", locked)
    said, again, cancel, *_ = asyncio.run(ask("a ball", "wan-tiny", Mock(session_hash="tab")))
    assert "It is locked. Wait." in said
    assert (again.visible, cancel.visible) == (True, False)


def test_words_that_the_tiny_model_lacks_are_said(presets: Presets) -> None:
    tiny, big = presets.models["wan-tiny"], presets.models["wan2.1-t2v-14b-fp8"]
    assert "doesn't know: wizard" in improve.versions_html("x", "a wizard", tiny).replace(
        "&#x27;", "'"
    )
    assert "know" not in improve.versions_html("x", "a red ball", tiny)
    assert "know" not in improve.versions_html("x", "a wizard", big)


def test_neither_key_nor_address_is_in_the_pages_configuration(engine: Engine) -> None:
    enhancer = Enhancer(engine.settings, engine.home.database)
    enhancer.set("https://secret.example/v1", "m", "sk-secret")
    config = json.dumps(build_page(engine).get_config_file(), default=str)
    assert "sk-secret" not in config
    assert "secret.example" not in config
    values = json.dumps(improve.looked(enhancer, None), default=lambda part: part.get_config())
    assert "sk-secret" not in values
    assert "secret.example" in values


def test_what_is_shown_is_said_in_the_readers_language(presets: Presets) -> None:
    wording.speak("zh")
    try:
        assert "<b translate='no'>m</b>（127.0.0.1:1，在本机上）" in improve.status_html(
            Endpoint("http://127.0.0.1:1/v1", "m")
        )
        refused = EnhancerError(Text("prompts.nothing_answers", host="<b>"), Text("prompts.wait"))
        assert "<p>&lt;b&gt; 没有应答。请稍等。</p>" in improve.problem_html(refused)
        hint = prompts.vocabulary_hint("a wizard", presets.models["wan-tiny"])
        assert "不认识 “wizard”" in hint
        assert "；颜色：<span translate='no'>" in hint
    finally:
        wording.speak("en")
