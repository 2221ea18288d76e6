"""Pictures in a real Chromium: chosen, dropped and pasted, cut, animated, gone on from."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from engine.library.mp4 import read_frames, read_receipt
from tests.support.browser import MARKS, choose_scripted, generate
from tests.support.served import Served

pytestmark = MARKS
FIRST = "#pictures [data-slot=image]"
LAST = "#pictures [data-slot=last_image]"
# As a file that comes from outside; ``where`` is an event of a drag or of the clipboard.
BRING = """
([kind, files]) => {
  const data = new DataTransfer();
  for (const [name, type, bytes] of files) {
    data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  }
  const about = { bubbles: true, cancelable: true };
  const event = kind === "paste" ? new ClipboardEvent("paste", { ...about, clipboardData: data })
    : new DragEvent(kind, { ...about, dataTransfer: data, clientX: 600, clientY: 300 });
  document.body.dispatchEvent(event);
}
"""


def png(size: tuple[int, int], seed: int = 1) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def bring(tab: Any, kind: str, *files: tuple[str, str, bytes]) -> None:
    tab.evaluate(BRING, [kind, [[name, mime, list(data)] for name, mime, data in files]])


def held(tab: Any) -> dict[str, Any]:
    return dict(json.loads(tab.evaluate("window.headroomHeld || '{}'")))


def shows(tab: Any, slot: str) -> None:
    tab.wait_for_function(
        "slot => document.querySelector(slot + ' img').naturalWidth > 0", arg=slot
    )


def newest(served: Served) -> dict[str, Any]:
    answer = httpx.get(f"{served.url}library?limit=1", trust_env=False)
    return dict(answer.json()["clips"][0])


def made(tab: Any, served: Served, before: int) -> dict[str, Any]:
    """The clip that comes after number ``before``, once the stage shows it."""
    tab.wait_for_function(
        "before => (window.headroomClips?.[0]?.id ?? 0) > before",
        arg=before,
    )
    tab.wait_for_selector(".stage[data-mode=clip] video")
    return newest(served)


def test_a_picture_becomes_a_clip_that_is_gone_on_from(page: Any, served: Served) -> None:
    choose_scripted(page)
    page.set_input_files(
        f"{FIRST} input[type=file]",
        {"name": "holiday.png", "mimeType": "image/png", "buffer": png((384, 96))},
    )
    page.wait_for_selector("#pictures-told >> text=begins with a picture")
    shows(page, FIRST)
    assert page.input_value("#model input") == "Scripted I2V"
    assert page.get_attribute("#truth [data-model]", "data-model") == "scripted-i2v"
    # The size follows its shape, so there is nothing to cut.
    truth = page.locator("#truth [data-model]")
    assert int(truth.get_attribute("data-wide")) > 2 * int(truth.get_attribute("data-high"))
    assert page.is_hidden("#pictures .fit")
    page.click("#size >> text=48 × 32")
    page.wait_for_selector("#pictures .fit")
    box = page.locator(f"{FIRST} figure").bounding_box()
    assert abs(box["width"] / box["height"] - 1.5) < 0.05, "what is seen is what the size leaves"
    page.click("#pictures [data-fit=pad]")
    page.wait_for_selector("#pictures .pictures[data-fit=pad]")
    assert held(page)["fit"] == "pad"
    generate(page, "it moves")
    first = made(page, served, 0)
    assert (first["width"], first["height"]) == (48, 32)

    # Its last picture begins the next; both become one file.
    page.click("#go-on")
    page.wait_for_selector("#pictures-told >> text=both become one file")
    generate(page, "and on it goes")
    both = made(page, served, first["id"])
    home = Path(served.log_file).parent / "home"
    files = {clip.name: clip for clip in (home / "clips").glob("*.mp4")}
    (joined,) = [clip for name, clip in files.items() if "and-on-it-goes" in name]
    assert len(read_frames(joined)) == 5 + 5 - 1
    assert [part["request"]["prompt"] for part in read_receipt(joined)["parts"]] == [
        "it moves",
        "and on it goes",
    ]

    # Any of its pictures can begin a clip of its own.
    page.click("#animate")
    page.wait_for_function("() => !JSON.parse(window.headroomHeld).after")
    assert set(held(page)) >= {"image"}
    page.click(f"{FIRST} .remove")
    page.wait_for_selector("#pictures-told >> text=words alone")
    assert held(page) == {}
    assert page.input_value("#model input") == "Scripted"

    # So does one of the library.
    page.get_by_role("tab", name="Library").click()
    page.locator("#library-tab .lib-picture").first.click()
    page.click("dialog >> text=Animate this")
    page.wait_for_selector("#pictures-told >> text=begins with a picture")
    shows(page, FIRST)
    page.click(f"{FIRST} .remove")
    page.wait_for_selector("#pictures-told >> text=words alone")

    # The file brings prompt, size, seed and picture back.
    (alone,) = [clip for name, clip in files.items() if "it-moves" in name]
    bring(page, "drop", ("it-moves.mp4", "video/mp4", alone.read_bytes()))
    page.wait_for_selector("#brought >> text=it moves")
    shows(page, FIRST)
    assert held(page)["fit"] == "pad"
    assert both["id"] > first["id"]


def test_pictures_are_dropped_and_pasted_and_odd_ones_told(page: Any, served: Served) -> None:
    choose_scripted(page)
    bring(page, "paste", ("image.png", "image/png", png((64, 64), 2)))
    shows(page, FIRST)
    one = held(page)["image"]
    # Two at once are the first and the last.
    bring(
        page,
        "drop",
        ("a.png", "image/png", png((64, 48), 3)),
        ("b.png", "image/png", png((64, 48), 4)),
    )
    shows(page, LAST)
    assert held(page)["image"] != one
    for name, data, words in (
        ("zero.png", b"", "zero.png is empty"),
        ("text.png", b"hello", "text.png isn't a picture"),
        ("long.png", png((1, 10_000)), "each side needs at least 32"),
    ):
        bring(page, "drop", (name, "image/png", data))
        page.wait_for_selector(f"#pictures .told >> text={words}")
    assert set(held(page)) == {"image", "last_image"}, "what was held stays"
    page.click(f"{FIRST} .remove")
    page.wait_for_selector("#generate >> text=Choose a picture")
    with page.expect_file_chooser():
        page.click("#generate")
