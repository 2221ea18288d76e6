"""The pipelines by name. Importing this imports none of them: torch comes with the chosen one."""

from importlib import import_module
from typing import cast

from engine.install.installed import SETUP, engine_here, lightx2v_here
from engine.pipelines.base import Pipeline
from engine.presets import ModelPreset
from engine.text import Text

_CLASSES = {
    "wan_tiny": ("engine.pipelines.wan_tiny.pipeline", "WanTiny"),
    "lightx2v": ("engine.pipelines.lightx2v.pipeline", "LightX2V"),
    "scripted": ("engine.pipelines.scripted", "Scripted"),
}


def is_here(preset: ModelPreset) -> bool:
    """Whether this installation has the pipeline that ``preset`` names, and what it drives."""
    if preset.pipeline == "lightx2v":
        return lightx2v_here()
    if preset.pipeline == "wan_tiny":
        return engine_here()
    return preset.pipeline in _CLASSES


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
    """The pipeline that ``preset`` names, not loaded yet."""
    module, name = _CLASSES[preset.pipeline]
    return cast(Pipeline, getattr(import_module(module), name)(preset))
