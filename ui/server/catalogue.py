"""Chinese for English that stands as it is: what the page is built with, and what presets say."""

from functools import cache
from pathlib import Path

import yaml

from engine.text import YAML_LOADER, TextsError

FOLDER = Path(__file__).parents[1] / "texts/zh"


@cache
def catalogue() -> dict[str, str]:
    """English that the page is built with -> Chinese, from all files.

    Raises:
        TextsError: a text stands twice, or something isn't a text.
    """
    found: dict[str, str] = {}
    for file in sorted(FOLDER.glob("*.yaml")):
        for english, chinese in (_load(file) or {}).items():
            if not isinstance(english, str) or not isinstance(chinese, str):
                raise TextsError(f"{file.name}: {english!r} or its translation is no text.")
            if english in found:
                raise TextsError(f"{file.name}: {english!r} stands twice.")
            found[english] = chinese
    return found


def _load(file: Path) -> dict[object, object] | None:
    pairs = yaml.compose(file.read_text(encoding="utf-8"), Loader=YAML_LOADER)
    if pairs is None:
        return None
    if not isinstance(pairs, yaml.MappingNode):
        raise TextsError(f"{file.name} is no list of texts.")
    keys = [key.value for key, _ in pairs.value]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise TextsError(f"{file.name}: {twice[0]!r} stands twice.")
    return {key.value: value.value for key, value in pairs.value}
