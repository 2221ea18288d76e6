"""One set of icons for the page and its scripts, drawn for it: each is one path on 24 × 24 units.

``ui/assets/icons.json`` has the paths; an icon whose name ends with ``-filled`` is filled, the
others are lines. They take the colour of the text around them and grow with it.

Markup of ours uses ``icon``, scripts ``headroomIcon(name)``, and a button of Gradio's, whose label
is text only, the class ``with-icon-NAME`` (``elem_classes``).
"""

import html
import json
from functools import cache
from urllib.parse import quote

from ui.theme import ASSETS

_SVG = (
    '<svg {more} viewBox="0 0 24 24" width="1.25em" height="1.25em" '
    'fill="{fill}" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" '
    'stroke-linejoin="round" focusable="false"><path d="{path}"/></svg>'
)


@cache
def paths() -> dict[str, str]:
    """An icon's name -> its path, in SVG's own notation."""
    found: dict[str, str] = json.loads((ASSETS / "icons.json").read_text(encoding="utf-8"))
    return found


def icon(name: str, label: str = "") -> str:
    """An icon as inline SVG.

    Args:
        label: what a screen reader says; without it the icon is decoration, and what it stands in
            has a name of its own.

    Raises:
        KeyError: there is no such icon.
    """
    spoken = 'aria-hidden="true"'
    if label:
        spoken = f'role="img" aria-label="{html.escape(label)}"'
    return _drawn(name, f'class="icon icon-{name}" {spoken}')


def _drawn(name: str, more: str) -> str:
    fill = "currentColor" if name.endswith("-filled") else "none"
    return _SVG.format(more=more, fill=fill, path=paths()[name])


@cache
def script() -> str:
    """``window.headroomIcon(name, label)``, the same icons as SVG elements."""
    code = (ASSETS / "icons.js").read_text(encoding="utf-8")
    return f"window.headroomIcons = {json.dumps(paths(), separators=(',', ':'))};\n{code}"


@cache
def css() -> str:
    """What draws an icon before the label of a button with the class ``with-icon-NAME``, in the
    label's colour: the picture is a mask, as one in a file of its own has no colour around it."""
    rules = (ASSETS / "icons.css").read_text(encoding="utf-8")
    for name in paths():
        drawn = quote(_drawn(name, 'xmlns="http://www.w3.org/2000/svg"'), safe=" =:/,.-")
        rules += f'.with-icon-{name} {{ --icon: url("data:image/svg+xml,{drawn}"); }}\n'
    return rules
