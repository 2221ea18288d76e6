"""The families of models, and the pipelines that drive them.

Importing this imports no pipeline: torch comes with the chosen one. A new family is a folder here,
a ``Family`` below and a preset.
"""

from collections.abc import Mapping
from typing import cast

from engine.home import Home
from engine.install.installed import SETUP, engine_here, lightx2v_here
from engine.pipelines.base import Family, Pipeline
from engine.pipelines.wan_tiny import vocabulary
from engine.presets import FamilyName, ModelPreset
from engine.process.imports import import_large
from engine.text import Text
from engine.weights.at_use import check_at_use

FAMILIES: Mapping[FamilyName, Family] = {
    family.name: family
    for family in (
        Family(
            name="wan-tiny",
            pipeline=("engine.pipelines.wan_tiny.pipeline", "WanTiny"),
            here=lambda: engine_here(),
            vocabulary=vocabulary,
        ),
        Family(
            name="wan2.1",
            pipeline=("engine.pipelines.lightx2v.pipeline", "LightX2V"),
            here=lambda: lightx2v_here(),
            upstream=True,
        ),
        Family(
            name="wan2.2",
            pipeline=("engine.pipelines.lightx2v.pipeline", "LightX2V"),
            here=lambda: lightx2v_here(),
        ),
        Family(
            name="smooth",
            pipeline=("engine.pipelines.smooth.pipeline", "Smooth"),
            here=lambda: True,
        ),
        Family(
            name="rife",
            pipeline=("engine.pipelines.rife.pipeline", "RifeWorker"),
            here=lambda: lightx2v_here(),
        ),
        Family(
            name="seedvr",
            pipeline=("engine.pipelines.seedvr.pipeline", "SeedVrWorker"),
            here=lambda: lightx2v_here(),
        ),
        Family(  # for tests: it does what its prompt says
            name="scripted",
            pipeline=("engine.pipelines.scripted", "Scripted"),
            here=lambda: True,
        ),
    )
}


def family_of(preset: ModelPreset) -> Family:
    return FAMILIES[preset.family]


def is_here(preset: ModelPreset) -> bool:
    """Whether this installation has what drives ``preset``."""
    return family_of(preset).here()


def why_not_here(preset: ModelPreset) -> tuple[Text, Text]:
    """A sentence and its remedy for a ``preset`` whose engine isn't here."""
    if not engine_here():
        return (
            Text("pipelines.not_installed_yet", model=preset.name),
            Text("pipelines.page_installs_it", command=SETUP),
        )
    return (
        Text("pipelines.lightx2v_not_installed", model=preset.name),
        Text("pipelines.setup_says_whether", command=SETUP),
    )


def open_pipeline(preset: ModelPreset) -> Pipeline:
    """The pipeline that drives ``preset``, not loaded yet.

    Raises:
        WeightsError: its files aren't what they were when they were hashed last.
    """
    if preset.weights:
        check_at_use(Home.find().weights / preset.weights_of, preset)
    module, name = family_of(preset).pipeline
    return cast(Pipeline, getattr(import_large(module), name)(preset))
