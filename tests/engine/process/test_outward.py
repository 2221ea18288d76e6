"""A proxy or certificates that can't be used are one sentence, whoever fetches."""

import asyncio
import re
from pathlib import Path

import pytest

from engine.errors import HeadroomError
from engine.process.outward import fault
from engine.process.variables import NO_MIRROR, PROXIES, wrong_way
from engine.prompts.openai_server import Endpoint, ask
from engine.weights.hub import explain
from ui.share.tunnel import open_tunnel

NAMES = [
    *PROXIES,
    *map(str.lower, PROXIES),
    "NO_PROXY",
    "no_proxy",
    "HF_ENDPOINT",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
]
# What is set, and the clause that tells it.
WRONG = [
    ({"ALL_PROXY": "socks5://me:s3cret@h:1"}, "ALL_PROXY names a socks5 proxy"),
    ({"all_proxy": "socks5h://h:1"}, "all_proxy names a socks5h proxy"),
    ({"HTTPS_PROXY": "socks4://me:s3cret@h:1"}, "HTTPS_PROXY names a socks4 proxy"),
    ({"HTTPS_PROXY": "http://[::1"}, "HTTPS_PROXY isn't a proxy address"),
    ({"http_proxy": "http://me:s3cret:h"}, "http_proxy isn't a proxy address"),
    ({"HTTPS_PROXY": "http://\udcff:80"}, "HTTPS_PROXY isn't a proxy address"),
    ({"HTTPS_PROXY": "::::"}, "HTTPS_PROXY isn't a proxy address"),
    ({"SSL_CERT_FILE": "/no/such/file"}, "SSL_CERT_FILE names certificates that can't be read"),
    ({"SSL_CERT_FILE": __file__}, "SSL_CERT_FILE names certificates that can't be read"),
    ({"SSLKEYLOGFILE": "/no/such/file"}, "SSLKEYLOGFILE names a file that can't be written"),
]
# Of these a client is made; the first request ends.
NO_HOST = ["http://a..b:80", f"http://{'a' * 80}:80", "http://.:80"]
RIGHT: list[dict[str, str]] = [
    {},
    {"HTTPS_PROXY": "http://me:pass@proxy:8080", "ALL_PROXY": "https://[2001:db8::1]:3128"},
    {"http_proxy": "proxy:8080", "HTTPS_PROXY": " "},
    {"NO_PROXY": "*", "SSL_CERT_FILE": ""},
]


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def client_error(package: str) -> Exception:
    """What making an HTTP client of ``package`` ends in with this environment."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kinds are what is tried
        __import__(package).Client()
    assert isinstance(caught.value, Exception)
    return caught.value


@pytest.mark.parametrize("environment", RIGHT)
def test_a_usable_way_is_none_of_them(environment: dict[str, str]) -> None:
    assert wrong_way(environment) is None


@pytest.mark.parametrize(("environment", "clause"), WRONG)
@pytest.mark.parametrize("package", ["httpx", "httpx2"])
def test_what_a_client_raises_becomes_a_clause_with_no_password(
    package: str, environment: dict[str, str], clause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(wrong_way(environment)).startswith(clause)
    if package == "httpx2" and "SSLKEYLOGFILE" in environment:
        return  # it keeps the first TLS context that it made
    error = client_error(package)
    told = fault(error)
    assert str(told).startswith(clause)
    refused = explain(error, "wan.safetensors")
    assert clause in str(refused)
    assert "unset it" in str(refused.remedy)
    assert "s3cret" not in str(refused)


def test_another_error_is_none_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(ValueError("no JSON")) is None, "nothing wrong is set"
    monkeypatch.setenv("ALL_PROXY", "socks5://h:1")
    assert fault(TimeoutError()) is None


@pytest.mark.parametrize(("environment", "clause"), WRONG)
def test_a_language_model_and_a_share_link_say_the_same(
    environment: dict[str, str], clause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradio import networking

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(networking, "GRADIO_API_SERVER", "http://127.0.0.1:9/")
    elsewhere = Endpoint("http://llm.example/v1", "m")
    with pytest.raises(HeadroomError, match=re.escape(clause)):
        asyncio.run(ask(elsewhere, "GET", "/models"))
    with pytest.raises(HeadroomError, match=re.escape(clause)) as caught:
        open_tunnel(1, "t", tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("proxy", NO_HOST)
def test_a_proxy_whose_host_cant_be_one_is_named_by_who_fetches(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx2

    monkeypatch.setenv("HTTP_PROXY", proxy)
    clause = "HTTP_PROXY isn't a proxy address"
    with pytest.raises(Exception) as caught:  # noqa: PT011 - its kind is the client's own
        httpx2.get("http://hub.example")
    assert isinstance(caught.value, Exception)
    assert clause in str(explain(caught.value, "wan.safetensors"))
    with pytest.raises(HeadroomError, match=clause):
        asyncio.run(ask(Endpoint("http://llm.example/v1", "m"), "GET", "/models"))


@pytest.mark.parametrize("mirror", ["http://h:99999", "http://a..b", "hub.example", NO_MIRROR])
def test_a_mirror_that_cant_be_one_is_named(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    monkeypatch.setenv("HF_ENDPOINT", mirror)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - as above
        httpx2.get(f"{mirror}/api/models/x")
    assert isinstance(caught.value, Exception)
    told = explain(caught.value, "wan.safetensors")
    assert "HF_ENDPOINT isn't a hub address" in str(told)
    assert not told.again


def test_an_address_that_no_variable_named_is_a_sentence() -> None:
    told = str(explain(UnicodeError("label empty or too long"), "wan.safetensors"))
    assert "an address along the way is invalid" in told
