"""All machines that joined: meets them, feeds their lanes, sees them go; and tells other processes
on the same folder of them."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

from engine import VERSION
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.joined.feeder import Feeder
from engine.joined.link import Link, call
from engine.joined.machine import Machine, lost
from engine.joined.posted import post
from engine.joined.station import machine_id
from engine.joined.wire import PROTOCOL, Declined
from engine.known_machines import KnownMachines, MachineError
from engine.text import Text, joined, to_row
from engine.worker.maker import Maker

log = logging.getLogger("headroom.machines")

CLOSE_SECONDS = 2.0


@dataclass(frozen=True)
class Gone:
    """A machine that isn't here any more, and why."""

    title: str
    why: Text


class Machines:
    """See the module's docstring. Any thread may ask; ``met`` is called as stations are found."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.known = KnownMachines(engine.jobs.store)
        self.head = machine_id(engine)
        self._changing = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._feeders: dict[str, list[Feeder]] = {}
        self._losses: dict[int, int] = {}
        self._meeting: set[str] = set()
        self._closed = False
        self.gone: dict[str, Gone] = {}
        self.refused: dict[str, Text] = {}  # by host: why it may not work here

    @property
    def all(self) -> tuple[Machine, ...]:
        return tuple(self._machines.values())

    def met(self, link: Link) -> Machine:
        """A station was found: from now on its lanes get jobs.

        Raises:
            Declined: it is of another version, and hears why.
            Unheard: it doesn't answer.
        """
        hello = call(link, "hello")
        self._check(link, hello)
        with self._changing:
            id = self._own_id(str(hello["id"]))
            taken = {lane.name for lane in self._engine.lanes}
            known = self.known.meet(id, str(hello["name"]), taken)
            machine = Machine(
                self._engine,
                link,
                {**hello, "id": id},
                known.name,
                known.title,
                self._lost,
                self._post,
                self._engine.faults.tell,
            )
            self._meeting.add(id)
        try:
            machine.start()  # asks it, while others may come and go
        finally:
            with self._changing:
                self._meeting.discard(id)
        with self._changing:
            if self._closed:
                machine.close()
                raise lost(machine)
            self._machines[id] = machine
            self.gone.pop(id, None)
            self.refused.pop(machine.host, None)
            feeders = [
                Feeder(self._engine, machine, lane, self.head, self._losses)
                for lane in machine.lanes
            ]
            self._feeders[id] = feeders
            self._tell_engine()
            for feeder in feeders:
                feeder.start()
        if machine.gone.is_set():  # meanwhile
            self._lost(machine, lost(machine).sentence)
        log.info("%s has joined with %d lanes", machine.name, len(machine.lanes))
        return machine

    def _check(self, link: Link, hello: Mapping[str, Any]) -> None:
        if hello.get("protocol") == PROTOCOL and hello.get("version") == VERSION:
            return
        host, theirs = str(hello.get("name"))[:60], str(hello.get("version"))[:20]
        why = Text("joined.other_version", machine=host, theirs=theirs, ours=VERSION)
        remedy = Text("joined.update_it")
        self.refused[host] = joined(why, remedy)
        link.ask("dismiss", to_row(why), to_row(remedy))
        raise Declined(why, remedy)

    def _own_id(self, id: str) -> str:
        """``id``, or one beside it where a copy of a machine's disk has the same."""
        taken = self._machines.keys() | self._meeting
        others = (f"{id}-{n}" for n in count(2))
        return next(one for one in chain([id], others) if one not in taken)

    def _lost(self, machine: Machine, why: Text) -> None:
        with self._changing:
            if self._machines.get(machine.id) is not machine:
                return
            del self._machines[machine.id]
            self._feeders.pop(machine.id, None)
            self.gone[machine.id] = Gone(machine.called, why)
            self._tell_engine()
        self._engine.nudge()

    def lost(self, link: Link, why: Text) -> None:
        """Whoever carries the calls knows that the station at ``link`` is gone."""
        for machine in self.all:
            if machine.link is link:
                self._lost(machine, why)
                machine.close()

    def called(self, link: Link) -> str:
        """What people call the machine at ``link``."""
        names = (m.called for m in self.all if m.link is link)
        return next(names, "?")

    def _tell_engine(self) -> None:
        away: list[Maker] = [lane for machine in self.all for lane in machine.lanes]
        self._engine.set_away(away)
        self._post()

    def _post(self) -> None:
        post(self._engine.home, [lane for machine in self.all for lane in machine.lanes])

    # ---- for the page ----------------------------------------------------------------------

    def machine(self, id: str) -> Machine:
        """Raises MachineError: it isn't here (any more)."""
        found = self._machines.get(id)
        if found is None:
            raise MachineError(Text("joined.no_such_machine", id=str(id)[:40]))
        return found

    def rename(self, id: str, title: str) -> None:
        """Raises MachineError: there is no such machine, or the title is too long."""
        known = self.known.rename(id, title)
        if machine := self._machines.get(id):
            machine.call_it(known.title)
            self._tell_engine()

    def take_out(self, id: str) -> None:
        """Send it away: what it makes goes back into the queue. It may join again.

        Raises:
            MachineError: it isn't here.
        """
        machine = self.machine(id)
        why = Text("joined.taken_out")
        try:
            machine.ask("dismiss", to_row(why), "")
        except HeadroomError as error:
            log.warning("%s couldn't be told that it was taken out: %s", machine.name, error)
        self._lost(machine, why)
        machine.close()

    def fetch(self, id: str, model: str, on: bool) -> None:
        """Fetch the weights of ``model`` there, or pause that.

        Raises:
            MachineError: it isn't here.
            Declined, Unheard: it can't, or doesn't answer.
        """
        self.machine(id).ask("fetch", model, on)

    def close(self) -> None:
        """What is being made there waits again; the stations give it up by themselves, or have it
        ready if this program is back soon."""
        with self._changing:
            self._closed = True
            machines, feeders = self.all, [f for fs in self._feeders.values() for f in fs]
            for machine in machines:
                machine.close()
            self._machines, self._feeders = {}, {}
            self._tell_engine()
        until = time.monotonic() + CLOSE_SECONDS
        for feeder in feeders:
            feeder.join(max(0.1, until - time.monotonic()))
