"""The gate in front of the owner's page, on a real Gradio app in a real server."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.middleware import Middleware

from ui.server.gate import LOOPBACK, Gate, names_for, own_names
from ui.server.own_names import OwnNames


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        box = gr.Textbox()
        box.change(lambda text: text, box, box, api_name="echo", queue=False)
    _, address, _ = page.launch(
        auth=("me", "secret"),
        prevent_thread_lock=True,
        quiet=True,
        app_kwargs={"middleware": [Middleware(Gate, names=names_for("127.0.0.1", []))]},
    )
    yield address
    page.close(verbose=False)


def answer(url: str, method: str, path: str, **headers: str) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(
        method,
        f"{url}{path}",
        headers=given,
        json={"data": ["x"]} if method == "POST" else None,
        trust_env=False,
        timeout=20,
    )


@pytest.mark.starts
@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "", "0.0.0.0"]
)
def test_other_names_are_refused(url: str, host: str) -> None:
    for path in ("", "config", "live", "gradio_api/info"):
        refused = answer(url, "GET", path, Host=host)
        assert refused.status_code == 400
        assert "doesn't answer under this name" in refused.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:7860", "[::1]:7860"])
def test_this_computers_names_are_answered(url: str, host: str) -> None:
    assert answer(url, "GET", "", Host=host).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:1", "file://"]
)
def test_other_sites_cant_ask_for_anything(url: str, origin: str) -> None:
    refused = answer(url, "POST", "gradio_api/run/echo", Origin=origin)
    assert (refused.status_code, refused.json()["error"][:4]) == (403, "Only")


def test_fetch_metadata_is_believed(url: str) -> None:
    cross = {"Sec_Fetch_Site": "cross-site"}
    assert answer(url, "GET", "config", **cross, Sec_Fetch_Mode="no-cors").status_code == 403
    assert answer(url, "GET", "", **cross, Sec_Fetch_Mode="navigate").status_code == 200
    assert answer(url, "POST", "login", **cross, Sec_Fetch_Mode="navigate").status_code == 403
    same = answer(url, "GET", "config", Sec_Fetch_Site="same-origin")
    assert same.status_code == 401, "which is Gradio's own login"


def test_programs_need_no_origin(url: str) -> None:
    assert answer(url, "POST", "gradio_api/run/echo").status_code == 401


@pytest.mark.parametrize(
    "path", ["proxy=https://x.hf.space/a", "gradio_api/proxy=https://x.hf.space/a", "monitoring"]
)
def test_what_nothing_here_needs_is_closed(url: str, path: str) -> None:
    assert answer(url, "GET", path).status_code == 404


def test_wrong_logins_slow_down(url: str) -> None:
    def login(password: str) -> httpx.Response:
        form = {"username": "me", "password": password}
        return httpx.post(f"{url}login", data=form, trust_env=False)

    assert login("wrong").status_code == 400
    waits = login("secret")
    assert waits.status_code == 429
    assert "Try again in" in waits.json()["error"]


def test_which_names_a_page_answers_to() -> None:
    assert names_for("127.0.0.1", ["192.168.1.4"]) == LOOPBACK
    everywhere = names_for("0.0.0.0", ["192.168.1.4"])
    assert everywhere >= LOOPBACK | {"192.168.1.4"}
    assert "evil.example" not in everywhere
    both = names_for("::", ["192.168.1.4", "2001:db8::4"])
    assert both >= LOOPBACK | {"192.168.1.4", "[2001:db8::4]"}
    assert names_for("::1", ["192.168.1.4"]) == LOOPBACK
    assert "[2001:db8::1]" in names_for("2001:db8::1", [])
    assert "box" in names_for("Box", [])


def test_an_address_that_comes_later_is_answered() -> None:
    now, own, asked = [0.0], ["192.168.1.4"], [0]

    def addresses() -> list[str]:
        asked[0] += 1
        return own

    names = OwnNames(names_for("::", own), addresses, lambda: now[0])
    assert "192.168.1.4" in names
    assert all(name not in names for name in ("evil.example", "", "10", "[::1", "10.0.0.9.x"))
    assert asked == [0], "a name is never asked for"
    assert "10.0.0.9" not in names
    own += ["10.0.0.9", "2001:db8::4"]
    assert "10.0.0.9" not in names, "it was asked just now"
    assert asked == [1]
    now[0] += 5
    assert "[2001:db8::4]" in names
    assert "10.0.0.9" in names
    assert asked == [2]


def test_only_who_listens_everywhere_answers_to_what_comes_later() -> None:
    assert isinstance(own_names("0.0.0.0"), OwnNames)
    assert isinstance(own_names("::"), OwnNames)
    assert own_names("192.168.1.4") == names_for("192.168.1.4", [])
