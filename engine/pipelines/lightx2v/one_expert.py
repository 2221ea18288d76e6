"""RAM for one of two transformers: each block's weights lie where the other's lay.

While the last step before a change computes, every block that has been copied to the GPU for the
last time is overwritten with the other transformer's, read from its file by a few threads; at the
clip's end it goes back in the same way. Whatever isn't there when it is needed is waited for.
LoRAs are merged into what has been read, before anybody computes with it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from engine.errors import first_line
from engine.pipelines.base import PipelineError
from engine.pipelines.lightx2v.pinning import PinnedArena
from engine.pipelines.lightx2v.proof import file_of_block, matrices_of
from engine.text import Text
from engine.weights.safetensors_header import PREFIX, TensorHeader, read_header

log = logging.getLogger("headroom.experts")

READERS = 4  # threads: a drive answers several at once
_Whose = tuple[int, int]  # the transformer's number, and the version of what is merged
EIGHT_BITS = (torch.float8_e4m3fn, torch.int8)  # the blocks' matrices; all else is small and stays


class Merges(Protocol):
    """What becomes of a transformer's blocks once they were read."""

    @property
    def version(self) -> int:
        """Blocks of an earlier one have to be read again."""

    def arrived(self, block: int) -> int:
        """``block`` is as its file has it; returns the version that it has now."""


class OneExpert:
    """Where the matrices of both lie; ``Experts`` calls ``step`` before each step.

    Args:
        arena: gives the memory.
        transformers: the file or folder of each.
        merges: what each one's blocks go through.
    """

    def __init__(
        self, arena: PinnedArena, transformers: Sequence[Path], merges: Sequence[Merges]
    ) -> None:
        self._arena, self._transformers, self._merges = arena, transformers, merges
        self._placed: list[torch.Tensor] = []
        self._shared = 0
        self._blocks: list[dict[str, torch.Tensor]] = []
        self._holds: list[_Whose | None] = []  # whose each block is; None while it is read
        self._coming: dict[int, tuple[_Whose, Future[None]]] = {}
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="expert")
        self._turn = self._following = 0

    # ---- loading ---------------------------------------------------------------------------

    @contextmanager
    def loading(self, index: int) -> Iterator[None]:
        """Within it LightX2V loads a transformer: the first takes memory, the second the same."""
        from lightx2v.common.ops import utils

        def place(
            tensor: torch.Tensor, transpose: bool = False, dtype: torch.dtype | None = None
        ) -> torch.Tensor:
            if tensor.dtype not in EIGHT_BITS:
                return self._arena.place(tensor, transpose, dtype)
            placed = self._take(tensor) if index == 0 else self._take_again(tensor)
            return placed.t() if transpose else placed

        before = utils.create_pin_tensor
        utils.create_pin_tensor = place
        try:
            yield
        finally:
            utils.create_pin_tensor = before

    def _take(self, tensor: torch.Tensor) -> torch.Tensor:
        self._placed.append(self._arena.place(tensor))
        return self._placed[-1]

    def _take_again(self, tensor: torch.Tensor) -> torch.Tensor:
        placed = self._placed[self._shared]
        self._shared += 1
        if (placed.shape, placed.dtype) != (tensor.shape, tensor.dtype):
            raise PipelineError(Text("pipelines.experts_differ"))
        return placed

    def attach(self, first: Any, second: Any) -> None:
        """Watch over the blocks of both, which share all that computes.

        Raises:
            PipelineError: their matrices don't lie in the same places.
        """
        by_address = {place.data_ptr(): place for place in self._placed}
        theirs = (one.transformer_weights.blocks for one in (first, second))
        blocks = zip(*theirs, strict=True)
        for index, (one, other) in enumerate(blocks):
            held = {}
            for (part, matrix), (_, its) in zip(matrices_of(one), matrices_of(other), strict=True):
                address = matrix.pin_weight.data_ptr()
                if address != its.pin_weight.data_ptr() or address not in by_address:
                    raise PipelineError(Text("pipelines.experts_differ"))
                held[f"blocks.{index}.{part}.weight"] = by_address[address]
            self._blocks.append(held)
            self._holds.append((0, 0))
        self._readers = [_TensorFiles(where, len(self._blocks)) for where in self._transformers]
        infer = first.transformer_infer
        infer.run_block = self._after_its_copy(infer.run_block)
        manager = infer.offload_manager
        manager.init_first_buffer = self._before_copies(manager.init_first_buffer)
        manager.prefetch_weights = self._before_copy(manager.prefetch_weights)

    # ---- computing -------------------------------------------------------------------------

    def step(self, index: int, following: int) -> None:
        """A step of ``index`` begins, and the one after it, maybe the next clip's first, will be
        ``following``'s."""
        self._turn, self._following = index, following
        for block in range(len(self._blocks)):
            self._want(block, index)

    def _before_copies(self, whole: Callable[..., None]) -> Callable[..., None]:
        def first_buffer(blocks: Any, *more: Any) -> None:
            self._wait_for(0)
            whole(blocks, *more)

        return first_buffer

    def _before_copy(self, whole: Callable[..., None]) -> Callable[..., None]:
        def prefetch(block: int, blocks: Any, *more: Any) -> None:
            # After the last block LightX2V copies the first, for a step that is the other's.
            if block == 0 and self._following != self._turn:
                return
            self._wait_for(block)
            whole(block, blocks, *more)

        return prefetch

    def _after_its_copy(self, whole: Callable[..., Any]) -> Callable[..., Any]:
        def run_block(block: int, *rest: Any) -> Any:
            if self._following != self._turn:  # the GPU has it: swap_blocks waited for the copy
                self._want(block, self._following)
            return whole(block, *rest)

        return run_block

    def _want(self, block: int, index: int) -> None:
        """Have this block of the transformer ``index`` read, unless it is here or on its way."""
        whose = index, self._merges[index].version
        if block in self._coming:
            wanted, coming = self._coming[block]
            if wanted == whose:
                return
            if not coming.cancel():
                with suppress(Exception):  # it is read again below
                    coming.result()
            del self._coming[block]
        if self._holds[block] != whose:
            self._coming[block] = whose, self._pool.submit(self._read, block, index)

    def _wait_for(self, block: int) -> None:
        """
        Raises:
            PipelineError: it could not be read.
            AdapterError: a LoRA that belongs into it couldn't be.
        """
        self._want(block, self._turn)
        if block not in self._coming:
            return
        _, coming = self._coming.pop(block)
        try:
            coming.result()
        except (OSError, EOFError) as error:
            file = self._transformers[self._turn]
            raise PipelineError(
                Text("pipelines.expert_unread", file=file, reason=first_line(error)),
                Text("pipelines.look_at_the_drive"),
            ) from error

    def _read(self, block: int, index: int) -> None:
        self._holds[block] = None
        for name, place in self._blocks[block].items():
            self._readers[index].read(block, name, place)
        self._holds[block] = index, self._merges[index].arrived(block)


class _TensorFiles:
    """A transformer's files, and where each tensor lies in them."""

    def __init__(self, transformer: Path, blocks: int) -> None:
        self._transformer = transformer
        headers = {file_of_block(transformer, block) for block in range(blocks)}
        self._headers: dict[Path, tuple[int, Mapping[str, TensorHeader]]] = {}
        for file in headers:
            with file.open("rb") as opened:
                length = int.from_bytes(opened.read(PREFIX), "little")
            self._headers[file] = PREFIX + length, read_header(file)

    def read(self, block: int, name: str, place: torch.Tensor) -> None:
        """Fill ``place`` with the bytes of a block's tensor.

        Raises:
            OSError, EOFError: they can't be read.
        """
        file = file_of_block(self._transformer, block)
        begin, header = self._headers[file]
        tensor = header[name]
        its_bytes: Any = place.view(torch.uint8).flatten().numpy()
        view = memoryview(its_bytes)
        if len(view) != tensor.end - tensor.start:
            raise EOFError(name)  # another file than the one that was loaded
        with file.open("rb", buffering=0) as opened:
            opened.seek(begin + tensor.start)
            while view:
                count = opened.readinto(view)
                if not count:
                    raise EOFError(name)
                view = view[count:]
