"""Reads presets/prompts.yaml: prompts to begin with, by theme, for what each family of models can
follow, with and without a picture.

A mistake in the file is found at start and told with its line, as in the other presets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from engine.home import PROJECT
from engine.preset_file import Strict, read
from engine.presets import FamilyName, ModelPreset, Task
from engine.request import PROMPT_LIMIT

TITLE_LIMIT = 40  # characters: a line of the page's list


class Idea(Strict):
    """A prompt, and a title for it where it is too long for a list."""

    title: Annotated[str, Field(max_length=TITLE_LIMIT)] = ""
    text: Annotated[str, Field(min_length=1, max_length=PROMPT_LIMIT)]

    @property
    def name(self) -> str:
        return self.title or self.text

    @field_validator("title", "text")
    @classmethod
    def _one_clean_line(cls, text: str) -> str:
        if text != text.strip() or not text.isprintable():
            raise ValueError("has to be one line without control characters or outer spaces")
        return text


class Theme(Strict):
    name: Annotated[str, Field(min_length=1, max_length=TITLE_LIMIT)]
    prompts: Annotated[tuple[Idea, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> "Theme":
        _refuse_twice([idea.name for idea in self.prompts])
        return self


class IdeaList(Strict):
    """All themes for the models of one family and task."""

    family: FamilyName
    task: Task = "t2v"
    themes: Annotated[tuple[Theme, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> "IdeaList":
        _refuse_twice([theme.name for theme in self.themes])
        return self


class IdeasFile(Strict):
    lists: tuple[IdeaList, ...]

    @model_validator(mode="after")
    def _a_list_a_family_and_task(self) -> "IdeasFile":
        _refuse_twice([f"{one.family}, {one.task}" for one in self.lists])
        return self


def _refuse_twice(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is there more than once")


@dataclass(frozen=True)
class Ideas:
    """Themes by family and task. A model that begins with a picture gets its family's others where
    it has none of its own, and a model whose family has none gets none."""

    lists: Mapping[tuple[FamilyName, Task], tuple[Theme, ...]]

    def themes(self, preset: ModelPreset) -> tuple[Theme, ...]:
        others = self.lists.get((preset.family, "t2v"), ())
        return self.lists.get((preset.family, preset.task), others)

    def theme(self, preset: ModelPreset, name: str) -> Theme | None:
        """The theme of this name, else the model's first."""
        themes = self.themes(preset)
        return next((theme for theme in themes if theme.name == name), next(iter(themes), None))

    @property
    def texts(self) -> frozenset[str]:
        """Every prompt in the file: what nobody typed."""
        themes = (theme for themes in self.lists.values() for theme in themes)
        return frozenset(idea.text for theme in themes for idea in theme.prompts)


@cache
def load_ideas(folder: Path = PROJECT / "presets") -> Ideas:
    """The prompts in ``folder``, read once.

    Raises:
        PresetError: names file and line.
    """
    file = read(folder / "prompts.yaml", IdeasFile)
    return Ideas({(one.family, one.task): one.themes for one in file.lists})
