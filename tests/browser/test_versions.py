"""A clip made smoother on the stage, its versions beside it; another program's video dropped."""

from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.library.video import look_at
from tests.support.browser import MARKS
from tests.support.served import Served
from tests.support.videos import moving, write

pytestmark = MARKS


def generate(page: Any, prompt: str) -> None:
    page.fill("#prompt textarea", prompt)
    page.click("#generate")
    page.wait_for_selector("#stage .stage[data-mode=clip] .acts #smooth")
    page.wait_for_selector(f"#stage .caption .prompt:has-text('{prompt}')")


def test_a_clip_is_made_smoother_and_held_against_itself(page: Any) -> None:
    generate(page, "a red ball moves left")
    rates = page.locator("#stage .rates")
    assert rates.locator("option").all_inner_texts() == [f"{n} fps" for n in (24, 30, 32, 48, 60)]
    rates.select_option("24")
    page.click("#smooth")
    page.wait_for_selector("#stage .told:has-text('Queued: the clip at 24 fps.')")
    versions = page.locator("#stage .versions")
    versions.wait_for()
    assert versions.locator(".lib-button").all_inner_texts() == ["16 fps", "24 fps"]
    assert versions.locator("[aria-pressed=true]").inner_text() == "24 fps"
    assert page.locator("#stage .facts").inner_text().endswith(" · Smooth")
    assert page.locator("#go-on").count() == 0, "its rate is no other clip's"

    # What can be done follows the clip, also while a button of it has the focus.
    page.focus("#smooth")
    show = "window.dispatchEvent(new CustomEvent('headroom-show', { detail: { clip: found } }))"
    page.evaluate(f"((found) => {show})(window.headroomClips[1])")
    page.wait_for_selector("#go-on")
    assert page.evaluate("document.activeElement.id") == "smooth"
    page.wait_for_selector("#stage .versions [aria-pressed=true]:has-text('16 fps')")
    assert page.locator("#stage .rates").input_value() == "24", "as it was chosen last"
    versions.locator(".lib-icon").click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_text("Wipe", exact=True).click()
    assert dialog.locator(".lib-pair.wipe video").count() == 2
    dialog.locator(".lib-likeness:has-text('different frame rates')").wait_for()
    page.keyboard.press("Escape")

    # Deleted, the other one stays; undone, both are there again.
    versions.get_by_text("24 fps", exact=True).click()
    page.wait_for_selector("#stage .versions [aria-pressed=true]:has-text('24 fps')")
    page.locator("#stage .acts [aria-label=Delete]").click()
    page.wait_for_selector("#stage .caption .facts:not(:has-text('Smooth'))")
    versions.wait_for(state="hidden")
    page.locator("#stage .told button").click()
    versions.wait_for()


def test_a_clip_is_made_larger_and_its_versions_keep_what_they_have(page: Any) -> None:
    generate(page, "a red ball rolls")
    sizes = page.locator("#stage .sizes")
    size = sizes.locator("option").first.inner_text()
    sizes.select_option(index=0)
    page.click("#enlarge")
    page.wait_for_selector(f"#stage .told:has-text('Queued: the clip at {size}.')")
    versions = page.locator("#stage .versions")
    page.wait_for_selector(f"#stage .versions [aria-pressed=true]:has-text('{size} · 16 fps')")
    assert versions.locator(".lib-button").count() == 2
    assert page.locator("#stage .facts").inner_text().endswith(" · Enlarge")
    assert page.evaluate("document.querySelector('.film video').videoWidth") == int(size.split()[0])
    page.locator("#stage .rates").select_option("32")
    page.click("#smooth")
    page.wait_for_selector(f"#stage .versions [aria-pressed=true]:has-text('{size} · 32 fps')")


def test_another_programs_video_is_dropped_and_made_smoother(
    page: Any, served: Served, tmp_path: Path
) -> None:
    """A phone's: turned, in HEVC, with times as it found light, and sound."""
    times = [Fraction(at, 30) for at in (0, 2, 4, 5, 7, 9, 12, 14)]
    phones: dict[str, Any] = {"codec": "libx265", "turned": 90, "sound": "aac"}
    file = write(tmp_path / "Holiday.mp4", moving(8, 64, 96), times, **phones)
    with file.open("ab") as more:  # larger than what other addresses take
        more.write((2 * 2**20).to_bytes(4, "big") + b"free" + bytes(2 * 2**20 - 8))
    page.set_input_files("#from-clip input[type=file]", str(file))
    told = page.locator("#from-clip .from-clip-told")
    told.get_by_text("Smooth it to 60 fps").click()
    page.wait_for_selector(".from-clip-told:has-text('Queued: the clip at 60 fps.')")
    page.wait_for_selector("#stage .facts:has-text('60 fps')")
    assert page.locator("#stage .caption .prompt").inner_text() == "Holiday"
    assert page.locator("#stage .rates").count() == 0, "more there is not"
    (made,) = (Path(served.log_file).parent / "home/clips").glob("*-holiday-*.mp4")
    seen = look_at(made)
    assert (seen.width, seen.height, seen.has_sound) == (64, 96, True)
    assert seen.times == tuple(Fraction(at, 60) for at in range(len(seen.times)))
    assert abs(seen.end - look_at(file).end) < Fraction(1, 1000)
    page.set_input_files("#from-clip input[type=file]", str(file))
    told.get_by_text("Enlarge it to 1080p").click()
    page.wait_for_selector(".from-clip-told:has-text('Queued: the clip at 1080 × ')")
    page.wait_for_selector("#stage .facts:has-text('1080 × ')")


def test_the_library_has_a_clips_versions_in_its_dialog(page: Any) -> None:
    generate(page, "a green cube turns")
    page.locator("#stage .rates").select_option("30")
    page.click("#smooth")
    page.locator("#stage .versions [aria-pressed=true]:has-text('30 fps')").wait_for()
    page.click("role=tab[name=Library]")
    # One card, with the newest of them; once that is deleted, the other is in sight.
    stack = page.locator("#library .lib-card:has-text('a green cube turns')")
    page.wait_for_selector("#library .lib-card.stacked:has-text('a green cube turns')")
    assert stack.locator(".lib-stack").inner_text() == "2 versions"
    assert "30 fps" in stack.locator(".lib-facts").inner_text()
    stack.hover()
    stack.locator("[aria-label^=Delete]").click()
    page.wait_for_selector("#library .lib-card:not(.stacked):has-text('a green cube turns')")
    assert "30 fps" not in stack.locator(".lib-facts").inner_text()
    page.locator(".lib-told").get_by_text("Undo").click()
    page.wait_for_selector("#library .lib-card.stacked:has-text('a green cube turns')")
    assert stack.count() == 1
    stack.locator(".lib-picture").click()
    versions = page.locator("dialog[open] .lib-versions")
    versions.get_by_text("16 fps", exact=True).click()
    page.locator("dialog[open] .lib-versions [aria-pressed=true]:has-text('16 fps')").wait_for()
    assert page.locator("dialog[open]").count() == 1
    versions.get_by_text("Compare the versions").click()
    assert page.locator("dialog[open] .lib-pair video").count() == 2


def test_several_clips_of_the_library_are_made_smoother(page: Any) -> None:
    generate(page, "a blue star bounces")
    page.click("role=tab[name=Library]")
    boxes = page.locator("#library .lib-select")
    boxes.first.wait_for()
    count = boxes.count()
    for at in range(count):
        boxes.nth(at).check(force=True)
    rates = page.evaluate("() => fetch('library?stacked=true').then((a) => a.json())")["clips"]
    smoother = sum(1 for clip in rates if clip["rates"])
    page.locator(".lib-choice").get_by_text("Smooth", exact=True).click()
    page.wait_for_selector(f".lib-told:has-text('Queued to be made smoother: {smoother}.')")
    # What was made meanwhile lies on top, and is selected in place of what it was made of.
    page.wait_for_selector("#library .lib-card.stacked:has-text('a blue star bounces')")
    assert page.locator("#library .lib-select:checked").count() == count
    larger = sum(1 for clip in rates if clip["larger"])
    page.locator(".lib-choice").get_by_text("Enlarge", exact=True).click()
    page.wait_for_selector(f".lib-told:has-text('Queued to be made larger: {larger}.')")
