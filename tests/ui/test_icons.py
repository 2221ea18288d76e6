"""The icons: one source, the same picture in markup, in scripts and on Gradio's buttons."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from ui import icons

PATH = re.compile(r"[MmLlHhVvAaZz0-9 .\-]+")


@pytest.mark.parametrize("name", icons.paths())
def test_an_icon_is_sound_markup_within_its_field(name: str) -> None:
    svg = ElementTree.fromstring(icons.icon(name))
    (path,) = svg
    assert svg.get("viewBox") == "0 0 24 24"
    assert PATH.fullmatch(path.get("d", "")), "a value could end the attribute that it stands in"
    assert svg.get("aria-hidden") == "true"


def test_an_icon_with_a_label_has_a_name_that_cannot_be_markup() -> None:
    svg = ElementTree.fromstring(icons.icon("trash", 'Delete "a" <b>'))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == 'Delete "a" <b>'
    assert svg.get("aria-hidden") is None


def test_only_a_filled_icon_is_filled() -> None:
    assert ElementTree.fromstring(icons.icon("star")).get("fill") == "none"
    assert ElementTree.fromstring(icons.icon("star-filled")).get("fill") == "currentColor"


def test_scripts_and_buttons_get_the_same_paths() -> None:
    script, css = icons.script(), unquote(icons.css())
    for name, path in icons.paths().items():
        assert f'"{name}":"{path}"' in script
        assert f".with-icon-{name} " in css
        assert f'd="{path}"' in css


def test_an_icon_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        icons.icon("unicorn")
