"""What a family that promises no architecture asks of its files as it loads them."""

from collections.abc import Mapping
from pathlib import Path

from engine.home import Home
from engine.pipelines.base import PipelineError
from engine.presets import ModelPreset
from engine.text import Text
from engine.weights.checkpoint import Parts, find_parts

Shapes = Mapping[str, tuple[int, ...]]


def parts_of(preset: ModelPreset) -> Parts:
    """Raises WeightsMissing: some aren't there."""
    return find_parts(Home.find().weights / preset.weights_of, preset)


def check_shapes(file: Path, found: Shapes, wanted: Shapes, model: str) -> None:
    """Whether ``found``, of ``file``, has all that is ``wanted`` in its shape.

    Raises:
        PipelineError: as ``wrong``.
    """
    for name, shape in wanted.items():
        if name not in found:
            raise wrong(file, Text("weights.lacks_key", key=name), model)
        if found[name] != shape:
            has, promised = str(list(found[name])), str(list(shape))
            what = Text("weights.other_shape", key=name, shape=has, promised=promised)
            raise wrong(file, what, model)


def wrong(file: Path, what: Text, model: str) -> PipelineError:
    """``file`` isn't what ``model`` is loaded from."""
    sentence = Text("weights.wrong", file=file, what=what, model=model)
    return PipelineError(sentence, Text("weights.get_it", model=model))
