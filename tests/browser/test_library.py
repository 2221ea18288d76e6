"""The library in a real Chromium: find, look, compare, delete and take back, make again, drop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import wait_until
from tests.support.browser import MARKS, choose_scripted, generate, settled, watched
from tests.support.clipfiles import by_hand, receipt, write
from tests.support.served import Served, serving

pytestmark = MARKS
HOSTILE = "<img src=x onerror=document.title='hacked'>"
CARDS = "#library .lib-card"
RENEW = "document.dispatchEvent(new CustomEvent('headroom-library', {detail: null}))"
ROWS = "document.querySelectorAll('#library .lib-row').length"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with five clips that came by hand, and one file that isn't ours."""
    folder = tmp_path_factory.mktemp("library")
    prompts = ("a red ball", "a blue cube", "grüner Stern", "last", HOSTILE)
    by_hand(folder / "home" / "clips", *prompts)
    with serving(folder) as running:
        yield running
        maps = Path(f"/proc/{running.pid}/maps")
        loaded = maps.read_text() if maps.exists() else ""
    assert "Traceback" not in running.log()
    assert "libavcodec" not in loaded, "30 MB of PyAV in the page's process, after all of this"


@pytest.fixture
def library(same_page: Any) -> Iterator[Any]:
    """With nothing open, selected or sought, before and after."""
    same_page.get_by_role("tab", name="Library").click()
    same_page.wait_for_selector(CARDS)
    yield same_page
    same_page.unroute_all()
    for _ in range(2):  # what is open, then what is selected
        same_page.keyboard.press("Escape")
    same_page.wait_for_selector("dialog", state="detached")
    same_page.get_by_role("tab", name="Library").click()
    for box in ("trash", "favourites"):
        same_page.uncheck(f"#library [name={box}]")
    for choice in ("size", "model"):
        same_page.select_option(f"#library [name={choice}]", index=0)
    search(same_page, "")
    same_page.wait_for_selector(CARDS)


def prompts(tab: Any) -> list[str]:
    return list(tab.locator(f"{CARDS} .lib-prompt").all_inner_texts())


def wait_for_cards(tab: Any, count: int) -> None:
    tab.wait_for_function(
        "([cards, n]) => document.querySelectorAll(cards).length === n", arg=[CARDS, count]
    )


def search(tab: Any, words: str) -> None:
    tab.fill("#library [name=words]", words)


def test_clips_are_found_by_words_and_filters(library: Any) -> None:
    wait_for_cards(library, 5)  # the folder is looked at once the list is there
    assert prompts(library) == [HOSTILE, "last", "grüner Stern", "a blue cube", "a red ball"]
    assert library.inner_text("#library .lib-count") == "5 clips"
    library.wait_for_selector("#library .lib-refused >> text=1 file in the clips folder")
    library.click("#library .lib-refused summary")
    library.wait_for_selector("text=holiday.mp4 has no Headroom receipt")
    search(library, "STERN grün")
    wait_for_cards(library, 1)
    assert library.inner_text("#library .lib-count") == "1 found"
    search(library, "%")
    library.wait_for_selector("text=No clips match.")
    search(library, "")
    wait_for_cards(library, 5)
    library.select_option("#library [name=size]", label="48 × 32")
    library.select_option("#library [name=model]", label="Scripted")
    wait_for_cards(library, 5)
    assert library.title() == "Headroom", "a prompt is text"
    library.wait_for_function(
        "[...document.querySelectorAll('#library img')].every(i => i.naturalWidth > 16)"
    )


def test_a_favourite_stays_one(library: Any, served: Served) -> None:
    star = library.get_by_role("button", name="Favourite: a blue cube").locator("visible=true")
    star.focus()
    library.keyboard.press("Enter")
    library.wait_for_selector("#library [aria-label='Favourite: a blue cube'][aria-pressed=true]")
    library.check("#library [name=favourites]")
    wait_for_cards(library, 1)
    library.reload()
    library.get_by_role("tab", name="Library").click()
    library.check("#library [name=favourites]")
    wait_for_cards(library, 1)
    assert prompts(library) == ["a blue cube"]


def test_an_answer_from_before_a_change_is_not_shown(library: Any) -> None:
    settled(library)
    held: list[tuple[Any, Any]] = []

    def hold_the_first(route: Any) -> None:
        route.continue_() if held else held.append((route, route.fetch()))

    library.route("**/library?*", hold_the_first)
    library.evaluate(RENEW)
    wait_until(lambda: library.wait_for_timeout(50) or held, "the list from before")
    library.click("#library [aria-label='Delete: last']")
    library.wait_for_selector("#library .lib-told >> text=It stays in the trash for 7 days.")
    route, before = held[0]
    route.fulfill(response=before)
    settled(library)
    wait_for_cards(library, 4)
    library.click("#library .lib-told >> text=Undo")
    wait_for_cards(library, 5)


def test_deleted_is_undone_and_restored(library: Any) -> None:
    library.click("#library [aria-label='Delete: last']")
    library.wait_for_selector("#library .lib-told >> text=It stays in the trash for 7 days.")
    wait_for_cards(library, 4)
    library.click("#library .lib-told >> text=Undo")
    wait_for_cards(library, 5)
    focused = "document.activeElement.getAttribute('aria-label')"
    library.wait_for_function(f"{focused} === 'Open: last'")
    library.click("#library [aria-label='Delete: last']")
    wait_for_cards(library, 4)
    library.check("#library [name=trash]")
    wait_for_cards(library, 1)
    assert "7 days left" in library.inner_text(CARDS)
    library.click("#library [aria-label='Restore: last']")
    library.wait_for_selector("text=The trash is empty.")
    assert library.evaluate("document.activeElement.name") == "trash"
    library.uncheck("#library [name=trash]")
    wait_for_cards(library, 5)


def test_a_clip_plays_and_shows_its_receipt(library: Any) -> None:
    library.click("#library [aria-label='Open: grüner Stern']")
    library.wait_for_function(
        "(() => { const v = document.querySelector('dialog video');"
        " return v && v.readyState >= 2 && v.currentTime > 0; })()"
    )
    library.click("dialog summary")
    library.wait_for_selector("dialog .receipt >> text=That many cores.")
    assert "Plan: threads" in library.inner_text("dialog .receipt")
    with library.expect_download() as download:
        library.click("dialog >> text=Download")
    assert download.value.suggested_filename == "2.mp4"
    library.keyboard.press("Escape")
    library.wait_for_selector("dialog", state="detached")


def test_two_clips_play_in_step_with_their_differences(library: Any) -> None:
    for prompt in ("a red ball", "a blue cube"):
        library.check(f"#library [aria-label='Select: {prompt}']")
    library.click("#library .lib-choice >> text=Compare")
    library.wait_for_selector("dialog .lib-differences td")
    told = library.inner_text("dialog .lib-differences")
    assert "a red ball" in told
    assert "101" in told
    assert "Device" not in told, "what is the same isn't told"
    library.wait_for_selector("dialog .lib-likeness >> text=All 5 pictures are the same.")
    films = "[...document.querySelectorAll('dialog video')]"
    library.wait_for_function(f"{films}.length === 2 && {films}.every(v => v.currentTime > 0.1)")
    library.click("dialog >> text=Pause")
    library.wait_for_function(f"{films}.every(v => v.paused)")
    apart = library.evaluate(f"Math.abs({films}[0].currentTime - {films}[1].currentTime)")
    assert apart < 0.13, "a picture of 8 a second apart, at most"
    library.click("dialog [aria-label=Close]")


def test_settings_come_back_and_the_same_is_made_again(library: Any) -> None:
    library.click("#library [aria-label='Open: a red ball']")
    library.click("dialog >> text=Use settings")
    library.wait_for_selector("#brought >> text=Settings restored")
    assert library.input_value("#prompt textarea") == "a red ball"
    assert library.input_value("#seed input") == "100"
    library.wait_for_selector("#size >> text=48 × 32")
    count = library.locator("#strip li.made").count()
    library.click("#generate")
    library.wait_for_selector("[data-live=outcome][data-kind=good]")
    library.wait_for_function(
        "n => document.querySelectorAll('#strip li.made').length > n", arg=count
    )
    library.click("#strip li.made button >> nth=0")
    library.click("#same-again")
    library.wait_for_selector("#stage .told >> text=Queued with the same seed.")
    library.wait_for_function(
        "n => document.querySelectorAll('#strip li.made').length > n",
        arg=count + 1,
    )
    library.click("#strip >> text=All clips")
    wait_for_cards(library, 7)
    assert prompts(library)[:2] == ["a red ball", "a red ball"]


def test_what_is_below_a_clip_stays_where_it_is_when_its_file_comes(library: Any) -> None:
    search(library, "blue")
    wait_for_cards(library, 1)
    held: list[Any] = []
    library.route(
        "**/clip/*?v=*", lambda route: held.append(route) if not go else route.continue_()
    )
    go: list[bool] = []
    library.click("#library [aria-label='Open: a blue cube']")
    library.wait_for_selector("dialog >> text=New seed")
    before = library.locator("dialog .lib-acts").bounding_box()
    wait_until(lambda: held, "the clip's request")
    go.append(True)
    for route in held:
        route.continue_()
    library.wait_for_function("document.querySelector('dialog video').videoWidth > 0")
    assert library.locator("dialog .lib-acts").bounding_box() == before
    library.keyboard.press("Escape")


def test_a_refusal_is_told_beside_the_button(library: Any, served: Served) -> None:
    search(library, "blue")
    wait_for_cards(library, 1)
    library.route("**/again", lambda route: route.fulfill(json={"refused": "It is locked."}))
    library.click("#library [aria-label='Open: a blue cube']")
    library.click("dialog >> text=New seed")
    library.wait_for_selector("dialog .lib-told >> text=It is locked.")
    library.keyboard.press("Escape")


DROP = """
async ([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type: "video/mp4" }));
  const about = { dataTransfer: data, bubbles: true, cancelable: true };
  document.body.dispatchEvent(new DragEvent("dragenter", about));
  const seen = !document.querySelector(".drop-veil").hidden;
  document.body.dispatchEvent(new DragEvent("drop", about));
  return seen && document.querySelector(".drop-veil").hidden;
}
"""


def test_a_dropped_clip_brings_its_settings_back(page: Any, tmp_path: Path) -> None:
    """With a size that nobody offers, and from a tab that isn't the form's."""
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector(CARDS)
    brought = write(tmp_path / "mine.mp4", receipt("dropped", 4_000_000_000, height=96, frames=13))
    assert page.evaluate(DROP, [brought.name, list(brought.read_bytes())])
    page.wait_for_selector("#brought >> text=“dropped”")
    assert page.is_visible("#generate")
    assert page.input_value("#prompt textarea") == "dropped"
    assert page.input_value("#seed input") == "4000000000"
    assert page.is_checked("#size label:has-text('48 × 96') input")
    assert page.is_checked("#frames input[value='13']")
    page.wait_for_selector("#truth .truth.open")
    page.wait_for_selector("#brought >> text=“dropped”")
    page.fill("#prompt textarea", "another")
    page.wait_for_selector("#brought >> text=“dropped”", state="detached")
    page.click("#generate")
    page.wait_for_selector("[data-live=outcome][data-kind=good]")


def test_what_is_no_clip_of_ours_is_a_sentence(page: Any, tmp_path: Path) -> None:
    choose_scripted(page)
    page.fill("#prompt textarea", "mine, untouched")
    foreign = write(tmp_path / "foreign <b>.mp4", None)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(foreign.read_bytes()[:200])
    odd = write(tmp_path / "odd.mp4", receipt(HOSTILE, model=HOSTILE, height=10**4))
    text = tmp_path / "notes.txt"
    text.write_text("no video")
    for path, told in (
        (foreign, "foreign <b>.mp4 has no Headroom receipt"),
        (damaged, "damaged.mp4 can't be read as a video"),
        (odd, "there is no model"),
        (text, "notes.txt isn't an MP4"),
    ):
        page.set_input_files("#from-clip input", path)
        page.wait_for_function(
            "told => document.querySelector('.from-clip-told.bad')?.textContent.includes(told)",
            arg=told,
        )
    assert page.input_value("#prompt textarea") == "mine, untouched"
    assert page.title() == "Headroom"


def test_nothing_is_cut_off_on_a_phone(chromium: Any, served: Served) -> None:
    with watched(chromium, served, viewport={"width": 390, "height": 844}) as tab:
        tab.get_by_role("tab", name="Library").click()
        tab.wait_for_selector(CARDS)
        tab.locator(".lib-select").first.check()
        tab.wait_for_selector("#library .lib-choice")
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            settled(tab)
            box = tab.locator("#library .lib-choice").bounding_box()
            assert box["y"] + box["height"] <= 844, "the bar stays in sight"
        tab.locator("#library .lib-picture").first.click()
        tab.wait_for_selector("dialog video")
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            settled(tab)
            for wide in ("document.documentElement", "document.querySelector('dialog')"):
                assert tab.evaluate(f"{wide}.scrollWidth - {wide}.clientWidth") <= 0


def show_a_thousand(page: Any) -> None:
    card = {
        "version": "1",
        "prompt": "one of many",
        "model": "Scripted",
        "size": "48 × 32",
        "length": "0.6 s",
        "fps": 8,
        "rates": [24, 30, 32, 48, 60],
        "larger": [],
        "is_version": False,
        "width": 48,
        "height": 32,
        "seed": 1,
        "favourite": False,
        "days": None,
        "created": "2026-01-01T00:00:00.000+00:00",
    }

    def answer(route: Any) -> None:
        query = dict(part.split("=") for part in route.request.url.partition("?")[2].split("&"))
        start = int(query.get("after") or 0)
        clips = [{**card, "id": 10_000 + start + n} for n in range(60)]
        rest = str(start + 60) if start < 940 else ""
        more = {"models": [], "sizes": [], "folder": False}
        route.fulfill(json={"clips": clips, "count": 1000, "next": rest, **more})

    page.route("**/library?**", answer)
    page.route("**/clip/1*?v=1", lambda route: route.fulfill(body=b"", content_type="video/mp4"))
    page.route("**/thumb/**", lambda route: route.fulfill(body="", content_type="image/svg+xml"))
    page.get_by_role("tab", name="Library").click()
    page.wait_for_function("document.querySelectorAll('#library .lib-card').length >= 40")


def test_pages_come_and_go_as_they_are_scrolled_to(page: Any) -> None:
    """A thousand clips, of which the document never holds more than a few pages."""
    show_a_thousand(page)
    columns = page.locator("#library .lib-row").first.locator("> *").count()
    most = 0
    for _ in range(60):
        page.mouse.wheel(0, 3000)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        most = max(most, page.locator(CARDS).count())
        if page.evaluate(ROWS) * columns >= 1000:
            break
    assert page.evaluate(ROWS) == -(-1020 // columns), "all pages came"
    assert most <= 60 * 9, "those far away went again"
    # Again and again: a turn of the wheel that is still on its way would scroll down once more.
    page.wait_for_function(
        "window.scrollTo(0, 0), document.querySelector('#library .lib-row').children.length > 0"
    )


def test_an_answer_is_in_sight_far_down_and_the_focus_goes_to_the_next_clip(page: Any) -> None:
    show_a_thousand(page)
    page.route("**/clip/*/trash", lambda route: route.fulfill(json={}))
    gone = page.locator("#library [data-id='10040']")
    gone.scroll_into_view_if_needed()
    gone.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#library .lib-told >> text=It stays in the trash for 7 days.")
    page.wait_for_function("document.activeElement.closest('.lib-card')?.dataset.id === '10041'")
    assert page.evaluate("document.activeElement.className") == "lib-picture"
    assert page.evaluate("window.scrollY") > 500
    undo = page.locator("#library .lib-told >> text=Undo").bounding_box()
    assert 0 <= undo["y"] < undo["y"] + undo["height"] <= 768, "Undo is in sight"
    assert (
        page.evaluate("box => document.elementFromPoint(box.x + 5, box.y + 5).textContent", undo)
        == "Undo"
    )


def test_an_unable_program_says_why_in_its_own_words(page: Any) -> None:
    """Without a fault in the browser's log: those statuses are answered on purpose here."""
    patch = """([path, status, body]) => {
      const real = window.fetch;
      window.fetch = (url, ...more) => String(url).includes(path)
        ? Promise.resolve(new Response(body, { status })) : real(url, ...more);
    }"""
    full = '{"detail": "The disk is full. Make room."}'
    page.evaluate(patch, ["library?", 503, full])
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector("#library .lib-told >> text=The disk is full. Make room.")
    page.evaluate(patch, ["library?", 500, "oh"])
    search(page, "x")
    page.wait_for_selector("#library .lib-told >> text=its log says more")
    page.get_by_role("tab", name="Create").click()
    page.fill("#prompt textarea", "mine, untouched")
    for status, body, said in ((503, full, "The disk is full."), (500, "{}", "its log says more")):
        page.evaluate(patch, ["receipt?", status, body])
        file = {"name": "a.mp4", "mimeType": "video/mp4", "buffer": b"...."}
        page.set_input_files("#from-clip input", file)
        page.wait_for_selector(f".from-clip-told.bad >> text={said}")
    assert page.input_value("#prompt textarea") == "mine, untouched"


def test_the_button_for_a_clip_is_reached_by_keyboard(page: Any) -> None:
    page.wait_for_selector("#truth .truth")  # the prompt has taken the focus by then
    with page.expect_file_chooser():
        page.press("#from-clip input", "Enter")
    ring = "getComputedStyle(document.querySelector('#from-clip label')).outlineStyle"
    assert page.evaluate(ring) == "solid"


def test_a_new_clip_appears_while_the_library_is_open(page: Any, served: Served) -> None:
    choose_scripted(page)
    generate(page, "while you look")
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector(f"{CARDS} >> text=while you look")


def test_an_undo_outlives_the_clip_that_begins(page: Any) -> None:
    page.get_by_role("tab", name="Create").click()
    choose_scripted(page)
    page.wait_for_selector("#strip li.made")
    count = page.locator("#strip li.made").count()
    page.click("#strip li.made button >> nth=0")
    page.click("#stage .acts [aria-label=Delete]")
    page.wait_for_selector("#stage .told >> text=Undo")
    generate(page, "a green hill")
    page.wait_for_function(  # one was taken away, one is made
        "n => document.querySelectorAll('#strip li.made').length === n", arg=count
    )
    page.click("#stage .told >> text=Undo")
    page.wait_for_function(
        "n => document.querySelectorAll('#strip li.made').length === n", arg=count + 1
    )
