"""Reading the weights, tensor by tensor, after a look at what the files hold."""

from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import first_line
from engine.pipelines.base import PipelineError
from engine.text import Text
from engine.weights.safetensors_header import TensorHeader, WrongWeights, read_header

Shapes = Mapping[str, tuple[int, ...]]


class Weights(MutableMapping[str, torch.Tensor]):
    """The tensors of ``file``, each read when it is asked for and converted to ``dtype``: 6.8 GB
    needn't be in RAM twice."""

    def __init__(self, file: Path, dtype: torch.dtype, device: torch.device) -> None:
        """Raises PipelineError: it can't be read."""
        self._dtype, self._device = dtype, device
        opened: Any = safe_open  # its own types aren't told
        try:
            self._open = opened(file, framework="pt")
        except (OSError, SafetensorError) as error:
            raise wrong(file, Text("pipelines.cant_read", why=first_line(error))) from error
        self._names: tuple[str, ...] = tuple(self._open.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._open.get_tensor(name)
        return tensor.to(self._device, self._dtype)

    def __setitem__(self, name: str, tensor: torch.Tensor) -> None:
        raise TypeError(f"{name} is the file's")

    def __delitem__(self, name: str) -> None:
        """LightX2V gives up what it has read; nothing is held here."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def check(file: Path, wanted: Shapes) -> None:
    """Look at the header of ``file`` alone.

    Raises:
        PipelineError: it lacks one of ``wanted``, has it in another shape, or isn't safetensors.
    """
    try:
        header: Mapping[str, TensorHeader] = read_header(file)
    except WrongWeights as error:
        raise PipelineError(error.sentence, error.remedy) from error
    for name, shape in wanted.items():
        if name not in header:
            raise wrong(file, Text("weights.lacks_key", key=name))
        if header[name].shape != shape:
            has, promised = str(list(header[name].shape)), str(list(shape))
            raise wrong(file, Text("weights.other_shape", key=name, shape=has, promised=promised))


def wrong(file: Path, what: Text) -> PipelineError:
    sentence = Text("weights.wrong", file=file, what=what, model="seedvr2-3b")
    return PipelineError(sentence, Text("weights.get_it", model="seedvr2-3b"))
