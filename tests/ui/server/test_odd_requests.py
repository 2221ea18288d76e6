"""Requests that no client sends, at both doors: each is answered, and none by a 500."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.middleware import Middleware

from engine.engine import Engine
from tests.support.odd_requests import (
    OWNERS_GETS,
    OWNERS_POSTS,
    VISITORS_GETS,
    VISITORS_POSTS,
    Door,
)
from tests.support.visitors import Doors
from ui.server.gate import Gate, names_for
from ui.server.gradio_errors import Malformed
from ui.server.logout import add_logout_route
from ui.server.texts import add_texts_route

pytestmark = [pytest.mark.starts, pytest.mark.reliability("requests that no client sends")]
EACH = 61  # of all; another prime would try others. All of them: tests/tools/odd_requests.py


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with page() as address:
        yield address


@contextmanager
def page() -> Iterator[str]:
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as blocks:
        box = gr.Textbox()
        box.change(lambda text: text, box, box, api_name="generate", queue=False)
    middleware = [Middleware(Gate, names=names_for("127.0.0.1", [])), Middleware(Malformed)]
    app, address, _ = blocks.launch(
        auth=[("me", "secret"), ("you", "other")],
        prevent_thread_lock=True,
        quiet=True,
        app_kwargs={"middleware": middleware},
    )
    add_texts_route(app)
    add_logout_route(app)
    yield address
    blocks.close(verbose=False)


def entered(url: str, name: str = "me", word: str = "secret") -> httpx.Client:
    client = httpx.Client(base_url=url, trust_env=False, timeout=20)
    assert client.post("login", data={"username": name, "password": word}).status_code == 200
    return client


def is_inside(client: httpx.Client) -> bool:
    return client.get("config").status_code == 200


def wrong(door: Door) -> list[str]:
    some = [one for at, one in enumerate(door.requests()) if at % EACH == 0]
    assert len(some) > 100
    return [f"{status} {told}" for told, raw in some if (status := door.status(told, raw)) >= 500]


def test_the_owners_page_answers_odd_requests() -> None:
    with page() as url:  # of its own: wrong logins are among them, which slow the next one down
        host = url.removeprefix("http://").rstrip("/")
        cookie = "; ".join(f"{one.name}={one.value}" for one in entered(url).cookies.jar)
        port = int(host.rpartition(":")[2])
        door = Door(port, host, f"http://{host}", cookie, OWNERS_GETS, OWNERS_POSTS)
        assert wrong(door) == []


def test_the_visitors_page_answers_odd_requests(engine: Engine) -> None:
    doors = Doors(engine)
    doors.open()
    cookie = str(doors.visitor().headers["Cookie"])
    host = "abc123.share.test"
    found = wrong(Door(doors.port, host, f"https://{host}", cookie, VISITORS_GETS, VISITORS_POSTS))
    doors.sharing.close()
    assert found == []


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Gradio-Server"])
@pytest.mark.parametrize("value", ["evil.example", "x:y", "[::1", "http://x:y", "\x80"])
def test_no_header_makes_the_page_give_another_address(url: str, name: str, value: str) -> None:
    client = entered(url)
    for path in ("", "config"):
        answer = client.get(path, headers={name.encode(): value.encode("latin-1")})
        assert answer.status_code == 200
        assert "evil.example" not in answer.text


def test_a_link_ends_no_session_and_a_button_does(url: str) -> None:
    mine, other, yours = entered(url), entered(url), entered(url, "you", "other")
    for headers in ({}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}):
        for path in ("logout", "logout?all_session=true", "logout/"):
            mine.get(path, headers=headers, follow_redirects=True)
            mine.head(path, headers=headers)
    elsewhere = {"Origin": "http://evil.example"}
    assert mine.post("logout", data={"which": "all"}, headers=elsewhere).status_code == 403
    assert all(map(is_inside, (mine, other, yours)))
    assert mine.post("logout", data={"which": "this"}).status_code == 303
    assert (is_inside(mine), is_inside(other)) == (False, True)
    again = entered(url)
    again.post("logout", data={"which": "all"})
    assert (is_inside(other), is_inside(yours)) == (False, True)
    assert again.get("logout").status_code == 303, "nothing to end"


def test_a_page_elsewhere_cant_navigate_to_what_gradio_does_by_a_get(url: str) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    client = entered(url)
    assert client.get("", headers=link).status_code == 200
    for path in ("heartbeat/abc", "queue/data?session_hash=abc", "startup-events", "info"):
        assert client.get(f"gradio_api/{path}", headers=link).status_code == 403
