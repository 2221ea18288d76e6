"""Reads one file of presets/, checked by its schema.

A mistake in it is found at start and told with its file and line.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ExitCode, HeadroomError, first_line
from engine.text import YAML_LOADER

DEEPEST = 100  # lists and mappings within each other; libyaml's loader has crashed on 50,000


class PresetError(HeadroomError):
    """A preset file is missing or doesn't fit its schema."""

    exit_code = ExitCode.SETUP_MISSING


class Strict(BaseModel):
    """Nothing unknown, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


T = TypeVar("T", bound=BaseModel)


def read(file: Path, schema: type[T]) -> T:
    """What ``file`` says, as ``schema``.

    Raises:
        PresetError: names file and line.
    """
    remedy = "Correct the file, or restore it from the project."
    try:
        tree, data = _parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PresetError(f"{file} can't be read: {error.strerror}.", remedy) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise PresetError(f"{file}: line {line}: {problem}.", remedy) from error
    except ValueError as error:  # no UTF-8, a date of no calendar, too deep
        raise PresetError(f"{file} can't be read: {first_line(error)}.", remedy) from error
    try:
        # strict mode would refuse YAML's lists for tuples; JSON's rules take them.
        return schema.model_validate(_tuples(data))
    except ValidationError as error:
        # A misspelt field is also a missing one; the spelling is what to mend.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        line = _line(tree, first["loc"])
        raise PresetError(f"{file}: line {line}: {where}: {first['msg']}.", remedy) from error


def _parse(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of ``text``, which know their lines, and its data.

    Raises:
        yaml.YAMLError: it is no YAML.
        ValueError: it holds no data, or is nested too deep.
    """
    deep = 0
    for event in yaml.parse(text, Loader=YAML_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            deep += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            deep -= 1
        if deep > DEEPEST:
            raise ValueError(f"its lists are nested more than {DEEPEST} deep")
    loader = YAML_LOADER(text)
    try:
        tree = loader.get_single_node()
        return tree, loader.construct_document(tree) if tree is not None else None
    finally:
        loader.dispose()


def _tuples(data: object) -> object:
    if isinstance(data, list):
        return tuple(_tuples(item) for item in data)
    if isinstance(data, dict):
        return {key: _tuples(value) for key, value in data.items()}
    return data


def _line(node: yaml.Node | None, loc: tuple[int | str, ...]) -> int:
    """The line (from 1) of the deepest part of ``loc`` that the file has."""
    line = node.start_mark.line + 1 if node else 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if p[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line
