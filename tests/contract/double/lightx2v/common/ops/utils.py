"""A weight's tensors in their three places: on the disk, pinned on the host, on the device."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from lightx2v_platform.base.global_var import AI_DEVICE
from safetensors import safe_open

DTYPE = torch.bfloat16
State = dict[str, torch.Tensor]
Attribute = tuple[str, str, bool]  # name in the file, attribute, whether it is kept transposed


def create_pin_tensor(
    tensor: torch.Tensor, transpose: bool = False, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """torch's allocator rounds it up to a power of two, on CUDA."""
    pinned = torch.empty(tensor.shape, pin_memory=True, dtype=dtype or tensor.dtype).copy_(tensor)
    return pinned.t() if transpose else pinned


def _of_block(name: str, index: int) -> str:
    return re.sub(r"\.\d+", f".{index}", name, count=1)


class Stored:
    """Tensors ``x`` that lie as ``pin_x`` on the host, or in ``x_cuda_buffer`` for any block."""

    as_stored = False  # whether lazy loading keeps the file's type, scales in float32 and all

    def __init__(
        self,
        attributes: list[Attribute],
        create_cuda_buffer: bool = False,
        create_cpu_buffer: bool = False,
        lazy_load: bool = False,
        lazy_load_file: str | None = None,
    ) -> None:
        self.base_attrs = attributes
        self.create_cuda_buffer, self.create_cpu_buffer = create_cuda_buffer, create_cpu_buffer
        self.lazy_load, self.lazy_load_file = lazy_load, lazy_load_file

    def pin(self, tensor: torch.Tensor, transpose: bool) -> torch.Tensor:
        return create_pin_tensor(tensor, transpose=transpose)

    def load(self, weights: State) -> None:
        for name, attribute, transpose in self.base_attrs:
            if self.lazy_load and not self.create_cuda_buffer and not self.create_cpu_buffer:
                continue
            source = self.source(name, weights)
            if self.create_cuda_buffer:
                source = (source.t() if transpose else source).to(AI_DEVICE, copy=True)
                setattr(self, f"{attribute}_cuda_buffer", source)
                continue
            weights.pop(name, None)
            if source.device.type == "cpu":
                setattr(self, f"pin_{attribute}", self.pin(source, transpose))
            else:
                setattr(self, attribute, source.t() if transpose else source)

    def source(self, name: str, weights: State) -> torch.Tensor:
        return self._read(name) if self.lazy_load else weights[name]

    def _read(self, name: str) -> torch.Tensor:
        path = Path(str(self.lazy_load_file))
        if path.is_dir():
            path = path / f"block_{name.split('.')[1]}.safetensors"
        opened: Any = safe_open(path, framework="pt", device="cpu")
        with opened as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor if self.as_stored else tensor.to(DTYPE)

    def state_dict(self) -> State:
        return {name: getattr(self, f"pin_{held}") for name, held, _ in self.base_attrs}

    def load_state_dict(self, state: State, block_index: int) -> None:
        for name, attribute, _ in self.base_attrs:
            buffer: torch.Tensor = getattr(self, f"{attribute}_cuda_buffer")
            setattr(self, attribute, buffer.copy_(state[_of_block(name, block_index)]))

    def load_state_dict_from_disk(self, block_index: int) -> None:
        self.base_attrs = [(_of_block(n, block_index), a, t) for n, a, t in self.base_attrs]
        for name, attribute, transpose in self.base_attrs:
            tensor = self._read(name)
            getattr(self, f"pin_{attribute}").copy_(tensor.t() if transpose else tensor)

    def to_cuda(self) -> None:
        for _, attribute, _ in self.base_attrs:
            held = getattr(self, f"pin_{attribute}", None)
            if held is not None:
                setattr(self, attribute, held.to(AI_DEVICE))

    def to_cpu(self) -> None:
        for _, attribute, _ in self.base_attrs:
            if getattr(self, f"pin_{attribute}", None) is not None:
                vars(self).pop(attribute, None)


class WeightModule:
    """Weights below one name; what is asked of it is asked of each."""

    def add_module(self, name: str, module: object) -> None:
        setattr(self, name, module)

    @property
    def _modules(self) -> dict[str, Any]:
        """Upstream keeps this one, and lists as modules whose names are numbers."""
        found: dict[str, Any] = {}
        for name, part in vars(self).items():
            for index, one in enumerate(part if isinstance(part, list) else [part]):
                if isinstance(one, WeightModule | Stored):
                    found[f"{name}.{index}"] = one
        return found

    @property
    def _parameters(self) -> dict[str, Any]:
        return {}

    def parts(self) -> Iterator[Stored]:
        for part in vars(self).values():
            for one in part if isinstance(part, list) else [part]:
                if isinstance(one, WeightModule):
                    yield from one.parts()
                elif isinstance(one, Stored):
                    yield one

    def each(self, do: Callable[[Stored], None]) -> None:
        for part in self.parts():
            do(part)

    def load(self, weights: State) -> None:
        self.each(lambda part: part.load(weights))

    def to_cuda(self) -> None:
        self.each(lambda part: part.to_cuda())

    def to_cpu(self) -> None:
        self.each(lambda part: part.to_cpu())

    def state_dict(self) -> State:
        return {name: held for part in self.parts() for name, held in part.state_dict().items()}

    def load_state_dict(self, state: State, block_index: int) -> None:
        self.each(lambda part: part.load_state_dict(state, block_index))

    def load_state_dict_from_disk(self, block_index: int) -> None:
        self.each(lambda part: part.load_state_dict_from_disk(block_index))
