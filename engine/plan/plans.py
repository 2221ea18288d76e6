"""The plan in force for each model: automatic, or learnt here, or chosen by the user."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.machine.facts import Machine
from engine.measurements import Measurements
from engine.plan.choice import Choice, Options, Plan, PlanError, Value, values
from engine.plan.kernel_rows import NONE, KernelTimes
from engine.plan.lightx2v import FIXED
from engine.plan.make import checked, make_plan, options
from engine.presets import ModelPreset, Presets, Role
from engine.request import Size
from engine.store import Store, now
from engine.text import Text, from_row, to_row


class Plans:
    """See the module's docstring; any thread may ask.

    Args:
        machine: looks at the machine as it is.
        times: what the kernel test found there for a model; None where there was no test.
        extras: which optional parts of a model are here.
        lent: RAM that copies of a model's weights in other lanes take.
    """

    def __init__(
        self,
        store: Store,
        presets: Presets,
        machine: Callable[[], Machine],
        times: Callable[[ModelPreset], KernelTimes | None] = lambda _: None,
        extras: Callable[[ModelPreset], frozenset[Role]] = lambda _: frozenset(),
        lent: Callable[[ModelPreset], int] = lambda _: 0,
    ) -> None:
        self._store, self._presets, self._machine = store, presets, machine
        self._times, self._extras, self._lent = times, extras, lent
        self._measurements = Measurements(store)

    def plan(self, model: str) -> Plan:
        """The plan in force.

        Raises:
            PlanError: this machine can't run the model, or not as the user chose.
        """
        machine, preset = self._machine_for(model), self._presets.models[model]
        return make_plan(
            machine,
            preset,
            self.overrides(model),
            self._learned(model, machine),
            self._resident_measured(model, machine),
            self.times(model),
            self._extras_of(preset),
        )

    def values(self, model: str) -> dict[str, Value]:
        """The plan's values alone; empty where no plan can be made."""
        try:
            return values(self.plan(model))
        except PlanError:
            return {}

    def options(self, model: str) -> Options:
        """What can be chosen; empty where there is nothing to choose, or no device to do it on."""
        machine, preset = self._machine_for(model), self._presets.models[model]
        if preset.runs_on == "nvidia" and machine.gpu is None:
            return {}
        return options(machine, preset, self.times(model), self._extras_of(preset))

    def _machine_for(self, model: str) -> Machine:
        """As it is for ``model``."""
        return replace(self._machine(), ram_lent=self._lent(self._presets.models[model]))

    def times(self, model: str) -> KernelTimes:
        """What the kernel test found for ``model``; empty where there was none."""
        return self._times(self._presets.models[model]) or NONE

    def _extras_of(self, preset: ModelPreset) -> frozenset[Role]:
        """Only a draft's plan asks: plans are made too often to look at the disk for nothing."""
        return self._extras(preset) if preset.draft_of is not None else frozenset()

    # ---- the user's choices ----------------------------------------------------------------

    def overrides(self, model: str) -> dict[str, Value]:
        rows = self._store.rows(
            "select name, value from choices where model = ? and source = 'user'", (model,)
        )
        return {row["name"]: json.loads(row["value"]) for row in rows}

    def override(self, model: str, name: str, value: Value) -> None:
        """Use ``value`` from now on; numbers may come as text.

        Raises:
            OverrideError: it doesn't exist, or can't work on this machine.
            PlanError: this machine can't run the model at all.
        """
        machine, preset = self._machine_for(model), self._presets.models[model]
        extras = self._extras_of(preset)
        known = options(machine, preset, self.times(model), extras)
        option = checked(known, preset, name, value)
        make_plan(machine, preset, {name: option.value}, extras=extras)
        self._keep(model, name, Choice(option.value, ""), "user", "")

    def reset(self, model: str, name: str | None = None) -> None:
        """Back to the automatic choice.

        Args:
            name: forget what the user chose there; where the user chose nothing, what the engine
                learnt. None forgets all of both.
        """
        with self._store.transaction() as db:
            if name is None:
                db.execute("delete from choices where model = ?", (model,))
                return
            key = (model, name)
            sql = "delete from choices where model = ? and name = ? and source = "
            if db.execute(sql + "'user'", key).rowcount == 0:
                db.execute(sql + "'engine'", key)

    # ---- the engine's ----------------------------------------------------------------------

    def learn(self, model: str, name: str, choice: Choice) -> None:
        """Keep what this machine taught, for as long as it stays as it is."""
        self._keep(model, name, choice, "engine", self._machine().facts())

    def forget_kernels(self) -> None:
        """The kernel test knows better now than what was learnt before it."""
        with self._store.transaction() as db:
            db.execute(
                "delete from choices where source = 'engine' and facts = ?"
                " and name in ('attention', 'matmul')",
                (self._machine().facts(),),
            )

    def may_learn(self, model: str, name: str, value: Value) -> bool:
        """Whether settling it would change the plan: it works here, and the user left it open."""
        offered = self.options(model).get(name, ())
        works = any(option.works and option.value == value for option in offered)
        return works and name not in self.overrides(model)

    def adopt_replacements(self, model: str, sent: Plan, runs: Plan) -> list[Text]:
        """Settle what the worker had to replace while it loaded.

        A choice of the user's that was replaced can't work here, so it is dropped.

        Returns:
            A sentence for each choice of the user's that was.
        """
        told = []
        overrides, known = self.overrides(model), self.options(model)
        for name, choice in runs.items() if known else ():
            same = name in sent and choice.value == sent[name].value
            if same or name in FIXED:
                continue
            self.learn(model, name, choice)
            if name in overrides:
                self.reset(model, name)
                told.append(
                    Text(
                        "plan.undone",
                        name=name,
                        value=overrides[name],
                        instead=choice.text,
                        why=choice.reason,
                    )
                )
        return told

    def _learned(self, model: str, machine: Machine) -> Mapping[str, Choice]:
        rows = self._store.rows(
            "select name, value, reason from choices"
            " where model = ? and source = 'engine' and facts = ?",
            (model, machine.facts()),
        )
        return {
            row["name"]: Choice(json.loads(row["value"]), from_row(row["reason"])) for row in rows
        }

    def _keep(self, model: str, name: str, choice: Choice, source: str, facts: str) -> None:
        with self._store.transaction() as db:
            db.execute(
                "insert or replace into choices (model, name, value, reason, source, facts,"
                " created) values (?, ?, ?, ?, ?, ?, ?)",
                (
                    model,
                    name,
                    json.dumps(choice.value),
                    to_row(choice.reason),
                    source,
                    facts,
                    now(),
                ),
            )

    def _resident_measured(self, model: str, machine: Machine) -> bool:
        """Whether the baseline ran here with the whole model on the GPU."""
        gpu = machine.gpu
        if gpu is None:
            return False
        shape = self._presets.models[model].memory.baseline
        baseline = Size(shape.height, shape.width, shape.frames)
        here = {"device": gpu.name, "total": gpu.total, "driver": gpu.driver.split(".")[0]}
        for told in self._measurements.fingerprints(model, baseline):
            ran = told.get("plan", {}).get("offload")
            if ran == "resident" and all(told.get(name) == fact for name, fact in here.items()):
                return True
        return False
