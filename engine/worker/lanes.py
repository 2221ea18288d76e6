"""The lanes of this machine: one for each of its GPUs, or one for whatever it has."""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from engine.home import Home
from engine.jobs import Jobs
from engine.machine.cards import Card, Trouble, Usable, card_name, usable
from engine.machine.facts import this_machine
from engine.machine.memory import WANTED, Meter
from engine.machine.nvml import Driver
from engine.plan.choice import PlanError
from engine.plan.host_memory import host_need
from engine.presets import ModelPreset, Presets
from engine.process.loops import Faults
from engine.text import Text
from engine.worker.dispatch import Dispatch
from engine.worker.lane import Lane
from engine.worker.maker import Seat
from engine.worker.queue_lock import QueueLock

log = logging.getLogger("headroom.lanes")

CPU_LANES = "HEADROOM_CPU_LANES"
MOST_CPU_LANES = 16


@dataclass(frozen=True)
class Lanes:
    """``all``: at least one, the one with the most memory first as a rule. ``left_out``: why GPUs
    that are here have none."""

    all: tuple[Lane, ...]
    dispatch: Dispatch
    left_out: tuple[Text, ...] = ()


def lanes_here(
    home: Home,
    presets: Presets,
    jobs: Jobs,
    queue: QueueLock,
    faults: Faults,
    meter: Meter | None = None,
    on_processor: int | None = None,
) -> Lanes:
    """A lane for each GPU that may be used (``cards.usable``). A GPU that comes while the program
    runs gets none, but where there was none at all, or one: that lane finds it.

    Args:
        meter: the only lane's, for whoever scripts the memory.
        on_processor: so many that share the processor, whatever GPUs there are; None leaves that
            to HEADROOM_CPU_LANES.
    """
    found = Usable(()) if meter is not None or on_processor is not None else _cards()
    seats = _seats(found.cards, cpu_lanes() if on_processor is None else on_processor)
    # One card alone, or none, may be another one later: its meter looks for itself.
    fixed = len(found.cards) > 1 or "," in os.environ.get(WANTED, "")
    meters = [Meter(card) for card in found.cards] if fixed else []
    dispatch = Dispatch(jobs)
    lanes: list[Lane] = []
    for number, seat in enumerate(seats):
        own = meters[number] if meters else meter or Meter()
        lent = _lent(tuple(lanes))
        lanes.append(Lane(seat, home, presets, jobs, own, lent, dispatch, queue, faults))
    dispatch.lanes = tuple(lanes)
    return Lanes(tuple(lanes), dispatch, found.left_out)


def _cards() -> Usable:
    """What NVML finds now; nothing where it finds nothing, which the meter tells."""
    try:
        with closing(Driver()) as driver:
            cards = driver.cards()
        found = usable(cards, os.environ.get(WANTED, ""), os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Trouble as trouble:
        log.info("%s", trouble.problem)
        return Usable(())
    for text in found.left_out:
        log.warning("%s", text)
    return found


def _seats(cards: Sequence[Card], on_processor: int) -> list[Seat]:
    if len(cards) > 1:
        return [
            Seat(f"gpu{card.index}", _title(card), number == 0) for number, card in enumerate(cards)
        ]
    if not cards and on_processor > 1:
        cores = max(1, this_machine().cores // on_processor)
        return [
            Seat(f"cpu{number}", Text("lanes.cpu", number=number), cores=cores)
            for number in range(1, on_processor + 1)
        ]
    return [Seat()]


def _title(card: Card) -> Text:
    return Text("lanes.gpu", number=card.index, gpu=card_name(card.name))


def cpu_lanes() -> int:
    """HEADROOM_CPU_LANES: how many lanes share the processor of a machine without a GPU; 1 where
    it is unset, or no number that could be meant."""
    text = os.environ.get(CPU_LANES, "").strip()
    if not text:
        return 1
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= MOST_CPU_LANES:
        log.warning("%s=%r isn't a number from 1 to %d", CPU_LANES, text[:40], MOST_CPU_LANES)
        return 1
    return int(text)


def _lent(before: Sequence[Lane]) -> Callable[[ModelPreset], int]:
    """What the lanes ``before`` one take of the RAM with a model that it would load, too: each
    worker has a copy of its own."""

    def lent(preset: ModelPreset) -> int:
        if preset.architecture is None:
            return 0  # small, or in no other copy
        return sum(_copy(lane, preset) for lane in before)

    return lent


def _copy(lane: Lane, preset: ModelPreset) -> int:
    try:
        offload = lane.plans.plan(preset.id)["offload"].value
    except PlanError:
        return 0  # it never loads it
    return host_need(preset, str(offload))
