"""The page's own script: one file, named by its content, first in the head; a load's weight."""

import re
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from engine.engine import Engine
from ui.page import build_page
from ui.server.compression import Compressed
from ui.server.gradio_errors import Malformed
from ui.server.own_files import HeadFirst, OwnFiles
from ui.theme import ASSETS, CSS, theme

MOST = 1.15  # of what a bare page of as many components has


@dataclass
class Loaded:
    client: TestClient
    html: str
    files: OwnFiles
    components: list[dict[str, Any]]


@pytest.fixture
def loaded(engine: Engine) -> Loaded:
    page = build_page(engine)
    files = OwnFiles(page)
    middleware = [
        Middleware(Compressed),
        Middleware(HeadFirst, files=files),
        Middleware(Malformed),
    ]
    client = TestClient(in_process(page, middleware=middleware, css_paths=CSS, theme=theme()))
    files.add_route(client.app)  # type: ignore[arg-type]
    return Loaded(client, client.get("/").text, files, page.config["components"])


def in_process(page: Any, middleware: Any = (), **looks: Any) -> App:
    """The app that ``launch`` would serve."""
    for name, value in looks.items():
        setattr(page, name, value)
    page.theme = looks.get("theme", gr.themes.Default())
    page.css, page.js, page.head = "\n".join(map(read, looks.get("css_paths", ()))), None, None
    page.theme_css, page.theme_hash = page.theme._get_theme_css(), "0"
    page.config = page.get_config_file()
    return App.create_app(page, app_kwargs={"middleware": list(middleware)})


def read(path: Any) -> str:
    return str(path.read_text(encoding="utf-8"))


def test_the_head_begins_with_what_comes_before_anything_is_drawn(loaded: Loaded) -> None:
    head = loaded.html.partition("<head>")[2]
    assert head.lstrip().startswith("<style>")
    first = re.search(r"<script[^>]*>([^<]*)", head)
    assert first is not None
    assert "headroom-theme" in first[1], "the theme is set before a style is drawn"


def test_the_script_runs_before_gradios(loaded: Loaded) -> None:
    """Scripts that are deferred, and modules, run in the order in which they stand there."""
    tags = re.findall(r"<script[^>]* src=[^>]*>", loaded.html)
    ours = f'<script defer src="page/{loaded.files.name}">'
    modules = [tag for tag in tags if 'type="module"' in tag]
    assert modules
    assert not [tag for tag in modules if "async" in tag]
    assert all(tags.index(ours) < tags.index(tag) for tag in modules)


def test_gradios_first_scripts_are_asked_for_at_once(loaded: Loaded) -> None:
    (module,) = re.findall(r'<script type="module"[^>]* src="([^"]+)"', loaded.html)
    early = re.findall(r'<link rel="modulepreload" crossorigin href="([^"]+)"', loaded.html)
    assert early[0] == module
    assert all(loaded.client.get(name).status_code == 200 for name in early)


def test_it_is_kept_for_good_and_nothing_else_is_there(loaded: Loaded) -> None:
    answer = loaded.client.get(f"/page/{loaded.files.name}")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    for other in ("page-0123456789abcdef.js", "", "../texts/zh.json"):
        assert loaded.client.get(f"/page/{other}").status_code == 404


def test_each_script_of_a_component_is_in_the_file_once_and_called(loaded: Loaded) -> None:
    code = loaded.files.script.decode()
    calls = [part["props"].get("js_on_load") for part in loaded.components]
    called = [re.search(r'headroomParts\["(\w+)"\]', call or "") for call in calls]
    names = {found[1] for found in called if found}
    assert names
    assert [code.count(f'"{name}": function') for name in names] == [1] * len(names)
    assert [call for call in calls if call and len(call) > 100] == []
    for script in ("page/live.js", "page/desk.js", "library/library.js", "page/strip.js"):
        assert code.count((ASSETS / script).read_text(encoding="utf-8")) == 1


def test_another_content_has_another_name(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with gr.Blocks() as page:
        gr.HTML("", js_on_load="// one\n" * 50)
    before = OwnFiles(page)
    with gr.Blocks() as changed:
        gr.HTML("", js_on_load="// two\n" * 50)
    assert OwnFiles(changed).name != before.name
    assert OwnFiles(page).name == before.name


def test_a_first_load_weighs_no_more_than_a_bare_page(loaded: Loaded) -> None:
    """The page and what its head names, as they come to a browser; ``bench`` has it all."""
    with gr.Blocks(analytics_enabled=False) as page:
        for part in loaded.components:
            kinds = {"html": "HTML", "textbox": "Textbox", "button": "Button", "radio": "Radio"}
            getattr(gr, kinds.get(part["type"], "Column"))()
    bare = TestClient(in_process(page))
    assert weight(loaded.client) <= MOST * weight(bare)


def weight(client: TestClient) -> int:
    """Bytes of the bodies."""
    with client.stream("GET", "/") as answer:
        total = len(b"".join(answer.iter_raw()))
    named = re.findall(
        r'<(?:script|link)[^>]* (?:src|href)="(\.?/?[^"]+\.(?:js|css))"', html(client)
    )
    assert len(named) >= 2, "Gradio's script and style at least"
    for path in {*named, "theme.css"}:
        with client.stream("GET", "/" + path.removeprefix("./")) as answer:
            assert answer.status_code == 200, path
            total += len(b"".join(answer.iter_raw()))
    return total


def html(client: TestClient) -> str:
    """Without what is only asked for earlier than by a bare page."""
    return re.sub(r'<link rel="modulepreload"[^>]*>', "", client.get("/").text)
