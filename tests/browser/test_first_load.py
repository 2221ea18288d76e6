"""The first load: nothing moves by itself, and what comes is compressed and kept."""

import gzip
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.browser import MARKS, open_page
from tests.support.layout_shift import first_load
from tests.support.served import Served, serving_as_it_comes

pytestmark = MARKS

MOST_SHIFT = 0.02  # a fifth of what https://web.dev/cls calls good


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving_as_it_comes(tmp_path_factory.mktemp("first-load")) as running:
        yield running


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_nothing_moves_by_itself(chromium: Any, served: Served, width: int, height: int) -> None:
    found = first_load(chromium, served, width, height)
    assert found.score <= MOST_SHIFT, str(found)


def test_the_page_comes_compressed_and_its_script_once(chromium: Any, served: Served) -> None:
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(served.url)
    tab.wait_for_selector("#generate")
    weigh = """
    ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind))
      .map((one) => [
        new URL(one.name).pathname, one.transferSize, one.encodedBodySize, one.decodedBodySize,
      ])
      .filter(([path]) => !path.startsWith("/gradio_api/"))
      .filter(([path]) => /\\/$|\\/page\\/|\\/theme\\.css|\\/assets\\/.*\\.(js|css)$/.test(path))
    """
    first = tab.evaluate(weigh)
    large = [one for one in first if one[3] > 2000]
    assert {path.split("/")[1] for path, *_ in large} == {"", "page", "theme.css", "assets"}
    assert [one for one in large if one[2] >= one[3]] == []
    open_page(tab, served)
    again = {path: transferred for path, transferred, *_ in tab.evaluate(weigh)}
    own = [transferred for path, transferred in again.items() if path.startswith("/page/")]
    assert own == [0], "it came from the browser's own copy"
    context.close()


def test_streams_clips_and_pictures_come_as_they_are(served: Served) -> None:
    wants = {"Accept-Encoding": "gzip, br"}
    with httpx.stream("GET", f"{served.url}live", headers=wants, trust_env=False) as answer:
        assert "content-encoding" not in answer.headers
        assert next(answer.iter_lines()).startswith(("data:", ":", "event:", "retry:"))
    about_somebody = httpx.get(f"{served.url}library", headers=wants, trust_env=False)
    assert "content-encoding" not in about_somebody.headers


def test_a_program_that_reads_gzip_only_gets_gzip(served: Served) -> None:
    with httpx.stream(
        "GET", served.url, headers={"Accept-Encoding": "gzip"}, trust_env=False
    ) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert b"window.gradio_config" in gzip.decompress(packed)


SHOWN = "getComputedStyle(document.querySelector('.gradio-container > .main')).opacity === '1'"


def test_parts_are_shown_together_once_they_are_mounted(chromium: Any, served: Served) -> None:
    context = chromium.new_context()
    context.add_init_script(
        """
        window.headroomSeen = [];
        (function look() {
          const main = document.querySelector(".gradio-container > .main");
          const shown = main && getComputedStyle(main).opacity === "1";
          const parts = document.querySelectorAll("#generate, #from-clip").length;
          if (shown) window.headroomSeen.push(parts);
          requestAnimationFrame(look);
        })();
        """
    )
    tab = context.new_page()
    tab.goto(served.url)
    tab.wait_for_function("headroomSeen.length > 2")
    assert set(tab.evaluate("headroomSeen")) == {2}
    context.close()


def test_a_part_that_never_comes_hides_no_other(chromium: Any, served: Served) -> None:
    context = chromium.new_context()
    context.add_init_script(
        """new MutationObserver(() => document.querySelector("#generate")?.remove())
          .observe(document, { childList: true, subtree: true });"""
    )
    tab = context.new_page()
    tab.goto(served.url)
    tab.wait_for_selector("#prompt textarea")
    tab.wait_for_function(SHOWN)
    assert tab.locator("#generate").count() == 0
    context.close()


def test_who_waits_for_the_page_can_write_already(chromium: Any, served: Served) -> None:
    """Where something on it is never still it is shown a little later; the form works before."""
    context = chromium.new_context()
    context.add_init_script(
        "setInterval(() => document.body?.append(document.createComment('again')), 20)"
    )
    tab = context.new_page()
    tab.goto(served.url)
    tab.wait_for_selector("#prompt textarea:focus")
    tab.keyboard.type("a red ball")
    tab.wait_for_function(SHOWN)
    assert tab.input_value("#prompt textarea") == "a red ball"
    context.close()
