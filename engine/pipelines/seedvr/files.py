"""Reading the weights, tensor by tensor, after a look at what the files hold."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from engine.errors import first_line
from engine.pipelines.base import PipelineError
from engine.pipelines.weight_files import Shapes, check_shapes, wrong
from engine.text import Text
from engine.weights.safetensors_header import WrongWeights, read_header

MODEL = "seedvr2-3b"


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
            why = Text("pipelines.cant_read", why=first_line(error))
            raise wrong(file, why, MODEL) from error
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
        header = read_header(file)
    except WrongWeights as error:
        raise PipelineError(error.sentence, error.remedy) from error
    check_shapes(file, {name: tensor.shape for name, tensor in header.items()}, wanted, MODEL)
