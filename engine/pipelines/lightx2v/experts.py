"""Wan 2.2's two transformers, which take turns: the runner calls them as if they were one.

LightX2V has a struct of its own for them (MultiDistillModelStruct), which keeps whatever each has
on the GPU: two buffers of a block, positions, streams. Here they share all that holds no weights,
and the block buffers, which hold whichever block is next.
"""

import gc
import logging
from collections.abc import Callable
from typing import Any

import torch

log = logging.getLogger("headroom.experts")

# Parts of a transformer that hold no weights: settings, streams, and buffers for one block's.
SHARED = ("pre_infer", "transformer_infer", "post_infer")
BUFFERS = "offload_block_cuda_buffers"


def transformers_of(model: Any) -> list[Any]:
    """The transformers that are loaded: of the model that a runner calls, which may be the only
    one."""
    found: list[Any] = model.model if isinstance(model, Experts) else [model]
    return [one for one in found if one is not None]


class Experts:
    """See the module's docstring.

    Args:
        make: loads the transformer of this number, 0 or 1, ready to compute.
        boundary: the step, from 0, that the second one begins with.
        keep: whether both stay; else one is dropped before the other is made.
        step: hears before each step whose it is, and whose the step after it will be.
    """

    def __init__(
        self,
        make: Callable[[int], Any],
        boundary: int,
        keep: bool,
        step: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self._make, self._boundary, self._keep, self._step = make, boundary, keep, step
        self.model: list[Any] = [None, None]  # where LightX2V's end_run looks
        self.scheduler: Any = None
        self._turn: int | None = None
        if keep:
            self.model[0] = make(0)
            self.model[1] = make(1)
            share(self.model[0], self.model[1])

    @property
    def transformer_infer(self) -> Any:
        """What computes the blocks of both; None while neither is loaded."""
        return next((one.transformer_infer for one in transformers_of(self)), None)

    def set_scheduler(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        for one in transformers_of(self):
            one.set_scheduler(scheduler)

    def infer(self, inputs: Any) -> None:
        """One step, by the one whose turn it is."""
        step, last = int(self.scheduler.step_index), int(self.scheduler.infer_steps) - 1
        index = self._turn_at(step)
        if index != self._turn:
            self._change(index)
        self._step(index, self._turn_at(step + 1) if step < last else self._turn_at(0))
        expert = self.model[index]
        try:
            expert.infer(inputs)
        except BaseException:
            self._turn = None
            put_away(expert)
            raise

    def _turn_at(self, step: int) -> int:
        return int(step >= self._boundary)

    def _change(self, index: int) -> None:
        self._turn = None
        if not self._keep:
            self._drop(1 - index)
        if self.model[index] is None:
            self.model[index] = self._make(index)
            self.model[index].set_scheduler(self.scheduler)
        manager = getattr(self.model[index].transformer_infer, "offload_manager", None)
        if manager is not None:
            # The buffer still holds the other one's first block, read ahead for a step that it
            # doesn't have.
            manager.need_init_first_buffer = True
        self._turn = index

    def _drop(self, index: int) -> None:
        expert, self.model[index] = self.model[index], None
        if expert is None:
            return
        if hasattr(expert.transformer_infer, "offload_manager"):
            del expert.transformer_infer.offload_manager  # it waits for what it still reads
        self.scheduler.transformer_infer = None
        del expert
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def share(first: Any, second: Any) -> None:
    """Have ``second`` compute with what ``first`` has for it; its own is dropped.

    Only where blocks wait elsewhere for their turn. Else there are no buffers, and what is compiled
    for the one's blocks would be compiled anew at each change.
    """
    buffers = getattr(first.transformer_weights, BUFFERS, None)
    if buffers is None:
        return
    for name in SHARED:
        setattr(second, name, getattr(first, name))
    second.transformer_weights.add_module(BUFFERS, buffers)


def put_away(expert: Any) -> None:
    """Move to RAM what stands around the blocks, 0.5 GB. After an exception LightX2V leaves it on
    the GPU, where the next clip needs the other one's."""
    if not expert.config.get("cpu_offload"):
        return
    try:
        expert.pre_weight.to_cpu()
        expert.transformer_weights.non_block_weights_to_cpu()
    except (
        RuntimeError
    ) as error:  # a GPU that answers nothing any more: what came first is the news
        log.warning("what stands around the blocks stays where it is: %s", error)
