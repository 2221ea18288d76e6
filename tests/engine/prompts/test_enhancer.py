"""The enhancer against a real server on a local port, with everything that goes wrong there."""

import asyncio
import gzip
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator

import pytest

from engine.home import Home
from engine.presets import Presets
from engine.prompts.enhancer import KEY, Enhancer, ollama_base
from engine.prompts.openai_server import (
    Endpoint,
    EnhancerError,
    ask,
    checked_base,
    refusal,
)
from engine.request import PROMPT_LIMIT
from engine.settings import Settings
from engine.store import Store
from engine.text import Text, joined
from tests.support.llm import Llm, running, said

pytestmark = pytest.mark.starts

SECRET = "sk-very-secret-0123456789"
PROMPT = "a ball"
ANSWER = "a red ball rolls left over green grass"


@pytest.fixture
def llm() -> Iterator[Llm]:
    with running() as made:
        yield made


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store(Home.find().database)
    yield made
    made.close()


@pytest.fixture
def enhancer(store: Store) -> Enhancer:
    return Enhancer(Settings(store), Home.find().database)


def improve(enhancer: Enhancer, presets: Presets, model: str = "wan-tiny") -> str:
    return asyncio.run(enhancer.improve(PROMPT, presets.models[model]))


def refused(enhancer: Enhancer, presets: Presets) -> str:
    with pytest.raises(EnhancerError) as caught:
        improve(enhancer, presets)
    assert caught.value.remedy
    assert str(caught.value.sentence).endswith(".")
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
    return str(caught.value)


# ---- asking ----------------------------------------------------------------------------------


def test_a_prompt_is_improved_with_the_models_own_instruction(
    llm: Llm, enhancer: Enhancer, presets: Presets
) -> None:
    enhancer.set(llm.base, "llama3.2", SECRET)
    assert improve(enhancer, presets) == ANSWER
    assert improve(enhancer, presets, "wan2.1-t2v-14b-fp8") == ANSWER
    tiny, big = llm.asked
    assert tiny.path == "/v1/chat/completions"
    assert tiny.headers["Authorization"] == f"Bearer {SECRET}"
    assert set(tiny.body) == {"model", "messages", "stream"}, "what every server takes"
    assert tiny.body["model"] == "llama3.2"
    assert [m["role"] for m in tiny.body["messages"]] == ["system", "user"]
    assert tiny.body["messages"][1]["content"] == PROMPT
    assert "turquoise" in tiny.body["messages"][0]["content"]
    assert "80 to 100 words" in big.body["messages"][0]["content"]


@pytest.mark.parametrize(
    "content",
    [
        f'<think>\nA ball?\n</think>\n\n```\n"{ANSWER}"\n```',
        [{"type": "text", "text": f"**{ANSWER}**"}, {"type": "refusal", "refusal": ""}],
    ],
)
def test_what_surrounds_the_prompt_is_taken_off(
    llm: Llm, enhancer: Enhancer, presets: Presets, content: object
) -> None:
    llm.body = said(content)
    enhancer.set(llm.base, "m")
    assert improve(enhancer, presets) == ANSWER


def test_a_prompt_that_is_too_long_or_shows_nothing_is_refused_and_not_cut(
    llm: Llm, enhancer: Enhancer, presets: Presets
) -> None:
    llm.body = said("A ball.")
    enhancer.set(llm.base, "m")
    wrong = {"x" * 2001: "2001 characters", "\u200b": "no prompt", "\0": "U+0000"}
    for prompt, told in wrong.items():
        with pytest.raises(EnhancerError, match=re.escape(told)):
            asyncio.run(enhancer.improve(prompt, presets.default))
    assert llm.asked == []


def test_a_long_answer_is_cut(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    llm.body = said("A ball rolls. " * 500)
    enhancer.set(llm.base, "m")
    assert len(improve(enhancer, presets)) <= PROMPT_LIMIT


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            401,
            b'{"error": {"message": "Incorrect key ' + SECRET.encode() + b'"}}',
            "rejects the key",
        ),
        (403, b"", "rejects the key"),
        (404, b'{"error": {"message": "model \'m\' not found"}}', "ollama pull m"),
        (404, b"404 page not found", "isn't a language model's address"),
        (429, b"{}", "asks you to wait 7 s"),
        (500, b'{"error": "needs 5.6 GiB\\n' + SECRET.encode() + b'"}', "needs 5.6 GiB …"),
        (400, b'{"error": {"message": "no such\\u0007 field"}}', "no such field"),
        (204, b"", "rejects the request (204)"),
        (200, b"<html>log in to the network</html>", "not like a language model"),
        (200, b"\xff\xfe", "not like a language model"),
        (200, b"[" * 100_000, "not like a language model"),
        (200, b"{}", "not like a language model"),
        (200, b'{"choices": [{"message": {"content": 5}}]}', "not like a language model"),
        (200, b'{"choices": [{"message": {"content": [5]}}]}', "not like a language model"),
        (200, b'{"error": {"message": "overloaded"}}', "Its answer: overloaded."),
        (200, gzip.compress(said(ANSWER)), "not like a language model"),
        (200, said(""), "empty answer"),
        (200, said(None), "empty answer"),
        (200, said("<think>for ever"), "empty answer"),
    ],
)
def test_each_fault_is_a_sentence_with_a_remedy(
    llm: Llm, enhancer: Enhancer, presets: Presets, status: int, body: bytes, words: str
) -> None:
    llm.status, llm.body, llm.headers = status, body, {"Retry-After": "7"}
    enhancer.set(llm.base, "m", SECRET)
    assert words in refused(enhancer, presets)


def test_a_server_that_wants_a_key_says_so(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    llm.status = 401
    enhancer.set(llm.base, "m")
    assert "needs a key" in refused(enhancer, presets)
    assert "Authorization" not in llm.asked[0].headers


def test_redirects_are_not_followed(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    with running() as other:
        llm.status, llm.headers = 307, {"Location": f"{other.base}/chat/completions"}
        enhancer.set(llm.base, "m", SECRET)
        assert f"redirects to 127.0.0.1:{other.port} (307)" in refused(enhancer, presets)
        assert other.asked == []


def test_a_time_limit_holds_for_silence_and_for_a_trickle(
    llm: Llm, enhancer: Enhancer, presets: Presets
) -> None:
    enhancer.set(llm.base, "m", seconds=1)
    llm.wait = 3
    assert "didn't finish its answer within 1 s" in refused(enhancer, presets)
    llm.wait, llm.drip = 0, 0.1
    assert "didn't finish its answer within 1 s" in refused(enhancer, presets)


def test_an_endless_answer_is_not_held(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    llm.endless = True
    enhancer.set(llm.base, "m")
    assert "more than 1 MB" in refused(enhancer, presets)
    assert llm.gone.wait(10), "the connection is closed"
    assert llm.sent < 50_000_000


def test_a_broken_answer_and_nobody_there(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    enhancer.set(llm.base, "m")
    llm.cut = 10
    assert "closed the connection" in refused(enhancer, presets)
    enhancer.set("http://127.0.0.1:9/v1", "m")
    assert "127.0.0.1:9 doesn't answer. Start it" in refused(enhancer, presets)
    enhancer.set("http://nowhere.invalid/v1", "m")
    assert "nowhere.invalid doesn't answer. Check" in refused(enhancer, presets)
    enhancer.set(f"https://127.0.0.1:{llm.port}/v1", "m")
    refused(enhancer, presets)


def test_a_call_can_be_cancelled(llm: Llm, enhancer: Enhancer, presets: Presets) -> None:
    llm.drip = 0.05
    enhancer.set(llm.base, "m")

    async def begin_and_cancel() -> None:
        task = asyncio.create_task(enhancer.improve(PROMPT, presets.models["wan-tiny"]))
        while not llm.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(begin_and_cancel())
    assert llm.gone.wait(10), "the server is let go as well"


def test_no_proxy_gets_what_is_for_this_computer(
    llm: Llm, enhancer: Enhancer, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        enhancer.set(llm.base, "m")
        assert improve(enhancer, presets) == ANSWER
        assert proxy.asked == []
        enhancer.set("http://llm.invalid/v1", "m")
        assert improve(enhancer, presets) == ANSWER
        assert proxy.asked[0].path == "http://llm.invalid/v1/chat/completions"
        monkeypatch.setenv("HTTP_PROXY", "socks9://x")
        monkeypatch.setenv("http_proxy", "socks9://x")
        assert "is set up wrongly" in refused(enhancer, presets)


# ---- setting ---------------------------------------------------------------------------------


def test_off_until_set_and_off_again(enhancer: Enhancer, presets: Presets, llm: Llm) -> None:
    assert enhancer.endpoint is None
    assert not enhancer.turned_off
    assert "No language model is set" in refused(enhancer, presets)
    enhancer.set(llm.base, "m", SECRET)
    enhancer.turn_off()
    assert enhancer.endpoint is None
    assert enhancer.turned_off
    assert "No language model is set" in refused(enhancer, presets)
    assert llm.asked == []


def test_no_prompt_is_no_question(enhancer: Enhancer, presets: Presets, llm: Llm) -> None:
    enhancer.set(llm.base, "m")
    with pytest.raises(EnhancerError, match="no prompt to improve"):
        asyncio.run(enhancer.improve(" \n", presets.models["wan-tiny"]))
    assert llm.asked == []


def test_settings_survive_a_restart(store: Store, llm: Llm, presets: Presets) -> None:
    database = Home.find().database
    Enhancer(Settings(store), database).set(llm.base, "qwen3:8b", SECRET, 90)
    store.close()
    again = Store(database)
    enhancer = Enhancer(Settings(again), database)
    kept = enhancer.endpoint
    assert kept is not None
    assert (kept.base, kept.model, kept.seconds, kept.has_key) == (llm.base, "qwen3:8b", 90, True)
    assert improve(enhancer, presets) == ANSWER
    assert llm.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    again.close()


def test_the_key_is_for_its_server_alone(
    enhancer: Enhancer, store: Store, llm: Llm, presets: Presets
) -> None:
    enhancer.set(llm.base, "m", SECRET)
    assert enhancer.set(llm.base.replace("/v1", "/v2"), "other").has_key, "left empty, it stays"
    with running() as other:
        assert not enhancer.set(other.base, "m").has_key
        improve(enhancer, presets)
        assert "Authorization" not in other.asked[0].headers
    assert not enhancer.set(llm.base, "m").has_key, "it was forgotten"
    assert Settings(store).get(KEY) is None


def test_the_key_is_shown_nowhere(
    enhancer: Enhancer, store: Store, llm: Llm, presets: Presets, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    enhancer.set(llm.base, "m", SECRET)
    improve(enhancer, presets)
    llm.status = 500
    refused(enhancer, presets)
    assert SECRET not in caplog.text
    assert SECRET not in repr(enhancer.endpoint)
    others = store.rows("select name, value from settings where name <> ?", (KEY,))
    assert SECRET not in json.dumps([tuple(row) for row in others])
    logs = Home.find().logs
    assert not [file for file in logs.rglob("*") if SECRET.encode() in file.read_bytes()]


@pytest.mark.skipif(sys.platform == "win32", reason="the user's folder sees to that")
def test_other_users_cannot_read_the_key(enhancer: Enhancer) -> None:
    database = Home.find().database
    os.chmod(database, 0o644)
    enhancer.set("https://api.example.com/v1", "m", SECRET)
    for file in database.parent.glob(f"{database.name}*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert len(list(database.parent.glob(f"{database.name}*"))) == 3


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" http://127.0.0.1:11434/v1/ ", "http://127.0.0.1:11434/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("http://[::1]:8080/v1/models", "http://[::1]:8080/v1"),
        ("http://llm.local", "http://llm.local"),
    ],
)
def test_addresses_are_kept_as_they_are_used(given: str, kept: str) -> None:
    assert checked_base(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "127.0.0.1:11434",
        "file:///etc/passwd",
        "ftp://example.com/v1",
        "http://",
        "http://a b/v1",
        "http://[::1/v1",
        "http://x:99999/v1",
        "http://user:pass@example.com/v1",
        "http://example.com/v1?key=1",
        "http://example.com/v1#x",
        "http://169.254.169.254/latest",
        "http://[fe80::1]/v1",
        "http://[fe80::1%eth0]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://[::ffff:a9fe:a9fe]/v1",
        "http://[64:ff9b::a9fe:a9fe]/v1",
        "http://0xa9fea9fe/v1",
        "http://2852039166/v1",
        "http://169.254.43518/v1",
        "http://0251.0376.0251.0376/v1",
        "http://169.254.169.254./v1",
        "http://exämple.com/v1",
        "http://example.com/\nv1\x00",
        "http://example.com/" + "x" * 600,
    ],
)
def test_other_addresses_are_refused(enhancer: Enhancer, given: str) -> None:
    with pytest.raises(EnhancerError) as caught:
        enhancer.set(given, "m")
    assert caught.value.remedy
    assert enhancer.endpoint is None


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "  "},
        {"model": "x" * 201},
        {"model": "a\x00b"},
        {"key": "a b"},
        {"key": "schlüssel"},
        {"key": "a\r\nX-Other: b"},
        {"seconds": 0},
        {"seconds": 601},
        {"seconds": float("nan")},
    ],
)
def test_other_fields_are_refused(enhancer: Enhancer, fields: dict[str, object]) -> None:
    with pytest.raises(EnhancerError):
        enhancer.set(**{"base": "http://127.0.0.1:1/v1", "model": "m", **fields})  # type: ignore[arg-type]
    assert enhancer.endpoint is None


# ---- Ollama ----------------------------------------------------------------------------------


def test_what_is_found_is_used_unless_something_was_decided(
    enhancer: Enhancer, llm: Llm, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{llm.port}")
    enhancer.turn_off()
    assert asyncio.run(enhancer.look()) == ("llama3.2", "qwen3:8b"), "what only embeds isn't asked"
    assert enhancer.endpoint is None, "off stays off"
    enhancer.set("http://127.0.0.1:9/v1", "mine")
    asyncio.run(enhancer.look())
    assert enhancer.endpoint is not None
    assert enhancer.endpoint.model == "mine"


def test_the_first_look_turns_it_on(
    enhancer: Enhancer, llm: Llm, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", f"0.0.0.0:{llm.port}")
    llm.models = ()
    assert asyncio.run(enhancer.look()) == ()
    assert enhancer.endpoint is None
    llm.models = ("llama3.2",)
    asyncio.run(enhancer.look())
    assert improve(enhancer, presets) == ANSWER


def test_a_look_is_short_and_stays_here(
    enhancer: Enhancer, llm: Llm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for named in ("", "192.168.1.5:11434", "example.com", "https://example.com", "[::1", ":x"):
        monkeypatch.setenv("OLLAMA_HOST", named)
        assert ollama_base() == "http://127.0.0.1:11434/v1", named
    monkeypatch.setenv("OLLAMA_HOST", "http://localhost:81")
    assert ollama_base() == "http://127.0.0.1:81/v1"
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert asyncio.run(enhancer.look()) is None
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{llm.port}")
    llm.drip = 0.2
    assert asyncio.run(enhancer.look()) is None


def test_a_name_that_stands_for_a_link_local_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As some services' names for any number do, and a cloud's own ``metadata`` names."""
    told: list[str] = []

    async def looked_up(_loop: object, host: str, *_: object, **__: object) -> list[object]:
        return [(2, 1, 6, "", (address, 0)) for address in told]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", looked_up)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    for told[:] in (["169.254.169.254"], ["10.0.0.1", "169.254.169.254"], ["fe80::1%eth0"]):
        with pytest.raises(EnhancerError, match="link-local"):
            asyncio.run(ask(Endpoint("http://meta.test/v1", "m"), "GET", "/models"))
    told[:] = ["127.0.0.1", "fe80::1"]
    with pytest.raises(EnhancerError, match="doesn't answer"):
        asyncio.run(ask(Endpoint("http://meta.test:9/v1", "m"), "GET", "/models"))


def test_a_failure_keeps_what_the_server_said_apart_from_ours() -> None:
    endpoint = Endpoint("https://llm.example/v1", "m", has_key=True)
    error = refusal(endpoint, 500, {}, "needs {5.6} GiB.")
    assert error.sentence == joined(
        Text("prompts.failed", host="llm.example", status=500),
        Text("prompts.it_says", theirs="needs {5.6} GiB"),
    )
    assert str(error.sentence) == "llm.example failed (500). Its answer: needs {5.6} GiB."
    told = refusal(endpoint, 429, {"retry-after": "soon"}, "")
    assert told.sentence == Text("prompts.too_many", host="llm.example")
