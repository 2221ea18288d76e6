"""The guard: whether a size may run on this machine now. Page, commands and queue all ask here.

It joins what verdict.py judges by: the measurements in the store, the presets' rules and the
memory as it is this moment.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from engine.guard.budget import Device, biggest, device_for, margin
from engine.guard.climb import climb
from engine.guard.duration import Duration, TimedRun, duration, from_other_cards
from engine.guard.predict import RECENT, Rules, by_size, fitted
from engine.guard.verdict import Verdict, Word, judge
from engine.guard.verdicts import Verdicts
from engine.home import PROJECT
from engine.machine.facts import package_version, this_machine, vram_limit
from engine.machine.memory import MemorySample
from engine.measurements import Measurement, MeasurementRow, Measurements, Outcome
from engine.plan.choice import Plan, PlanError, Value, values
from engine.plan.host_memory import resident_need
from engine.plan.kernel_options import FUSED, NORMS
from engine.plan.plans import Plans
from engine.presets import ModelPreset, Presets, Shape
from engine.request import Kind, Size
from engine.store import Store
from engine.text import NOTHING, Memory, Text, joined, of_preset
from engine.units import GIB

VERSIONED = ("torch", "diffusers", "lightx2v")
# A step's peak stands in the feed-forward part: on an H200 it was 6.27 GiB at 480p with PyTorch's
# attention and with comfy-kitchen's, whose own buffers are the largest of these (0.8 GiB). Not with
# a product of ours: it takes so much less there that an attention's buffers may stand out.
ATTENTIONS_BELOW_THE_PEAK = ("torch_sdpa", "sage_attn1", "kitchen_int8")


class Guard(Verdicts):
    """See the module's docstring.

    Args:
        look: samples the memory.
        worker: our child's pid.
        held: the device memory that the child says it holds, where its driver might not.
    """

    def __init__(
        self,
        store: Store,
        presets: Presets,
        look: Callable[[], MemorySample],
        worker: Callable[[], int | None],
        plans: Plans,
        held: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(presets)
        self._measurements = Measurements(store)
        self._look, self._worker, self._plans, self._held = look, worker, plans, held

    # ---- verdicts --------------------------------------------------------------------------

    def verdicts(self, model: str, sizes: Iterable[Size]) -> dict[Size, Verdict]:
        """One look at the memory and the history, many sizes."""
        preset = self._presets.models[model]
        sample = self._look()
        device = device_for(preset, sample, self._worker(), self._held())
        if device is None:
            reason = sample.problem or Text("guard.needs_gpu", model=preset.name)
            remedy = Text("guard.runs_anywhere", model=self._presets.default.name)
            missing = Verdict(Word.IMPOSSIBLE, reason, "none", None, 0, remedy)
            return dict.fromkeys(sizes, missing)
        try:
            self._plans.plan(model)
        except PlanError as error:
            sentence, remedy = error.sentence, error.remedy
            no_plan = Verdict(Word.IMPOSSIBLE, sentence, "none", None, device.budget, remedy)
            return dict.fromkeys(sizes, no_plan)
        history = [row.measurement for row in self.rows(model)]
        rules = self.rules(model)
        found = {size: judge(size, history, rules, device) for size in sizes}
        if preset.runs_on == "cpu" and any(v.word is Word.BUSY for v in found.values()):
            named = Device(device.name, device.total, device.others, device.reserve, biggest())
            found = {size: judge(size, history, rules, named) for size in found}
        return found

    # ---- measurements ----------------------------------------------------------------------

    def rows(self, model: str) -> list[MeasurementRow]:
        """What was measured with the present fingerprint, oldest first: the newest few of each
        size and outcome, because older ones count for nothing and there may be thousands."""
        return self._measurements.newest(model, self._same_peaks(model), RECENT)

    def of_job(self, job: int) -> list[MeasurementRow]:
        return self._measurements.of_job(job)

    def last_seconds(self, model: str, size: Size) -> Mapping[str, float]:
        """Seconds by stage of the newest clip of this size; empty if there is none."""
        return self._measurements.last_seconds(model, size)

    def durations(self, model: str, sizes: Iterable[Size]) -> dict[Size, Duration | None]:
        """How long a clip of each will take here."""
        preset, gpu = self._presets.models[model], self._look().gpu
        # Another attention has the same peaks, not the same seconds; better than nothing.
        exact = self._measurements.newest(model, [self.fingerprint(model)], RECENT)
        runs = [
            TimedRun(row.measurement.size, row.seconds, row.kind == "probe")
            for row in exact or self.rows(model)
            if row.measurement.ran
        ]
        known = None
        if gpu is not None and preset.runs_on == "nvidia":
            known = from_other_cards(preset, gpu, self._presets.references)
        return {size: duration(size, preset, runs, known) for size in sizes}

    def record(
        self,
        job: int,
        kind: Kind,
        model: str,
        size: Size,
        outcome: Outcome,
        peaks: Mapping[str, int],
        seconds: Mapping[str, float],
        plan: Plan | None = None,
    ) -> None:
        """Keep a run. ``plan`` is the one that ran; the user may have changed it since."""
        self._measurements.add(
            job,
            kind,
            model,
            self.fingerprint(model, plan),
            Measurement(size, outcome, peaks),
            seconds,
            self.budget(model),
        )

    def fingerprint(self, model: str, plan: Plan | None = None) -> str:
        """What a measurement under ``plan`` (the one in force) counts for, as canonical JSON."""
        preset = self._presets.models[model]
        gpu = self._look().gpu if preset.runs_on == "nvidia" else None
        machine = this_machine()
        facts = {
            "model": model,
            "checkpoint": _checkpoint(preset),
            "device": gpu.name if gpu else machine.device,
            "total": min(gpu.total, vram_limit() or gpu.total) if gpu else machine.ram,
            "driver": gpu.driver.split(".")[0] if gpu else None,
            "versions": {name: package_version(name) for name in VERSIONED},
            # Never the reasons: other words for the same run would lock everything again. Nor
            # LoRAs: merged into the weights they move no peak by more than a part of the margin.
            "plan": _with_peaks(self._plans.values(model) if plan is None else values(plan)),
        }
        return json.dumps(facts, sort_keys=True)

    def _same_peaks(self, model: str) -> list[str]:
        """The present fingerprint, and those whose plan takes as much or more: what was measured
        under them counts, too."""
        facts = json.loads(self.fingerprint(model))
        present = facts["plan"]
        matmul = str(present.get("matmul"))
        greedier = {**present, "matmul": FUSED.get(matmul, matmul)}
        plans = [greedier]
        if present.get("attention") in ATTENTIONS_BELOW_THE_PEAK:
            plans = [{**greedier, "attention": other} for other in ATTENTIONS_BELOW_THE_PEAK]
        if present not in plans:
            plans.append(present)
        return [json.dumps({**facts, "plan": plan}, sort_keys=True) for plan in plans]

    def rules(self, model: str) -> Rules:
        preset = self._presets.models[model]
        memory = preset.memory
        peak = round(memory.baseline_peak_gib * GIB)
        plan = self._plans.values(model)
        if plan.get("offload") == "resident":
            peak = resident_need(preset)  # the preset's figure is for weights that wait in RAM
        points = self._presets.reference_points(model, str(plan.get("matmul")))
        return Rules(
            baseline=_size(memory.baseline),
            baseline_peak=peak,
            minimum_total=round(memory.minimum_gib * GIB),
            token_pixels=memory.token_pixels,
            reference=tuple((_size(p).tokens, round(p.peak_gib * GIB)) for p in points),
            impossible_below=round((memory.impossible_below_gib or 0) * GIB),
            impossible_reason=of_preset(memory.impossible_reason),
            fps=preset.fps,
            window_tokens=memory.window_tokens,
        )

    # ---- probes ----------------------------------------------------------------------------

    def budget(self, model: str) -> int:
        """Bytes that the model may take now; 0 where its device isn't there."""
        preset = self._presets.models[model]
        device = device_for(preset, self._look(), self._worker(), self._held())
        return device.budget if device else 0

    def next_probe(self, model: str, target: Size, done: list[Size]) -> tuple[Size | None, Text]:
        """The next size to measure on the way to ``target``.

        Args:
            done: what this climb has measured already.

        Returns:
            The size, or None with the reason why the climb ends here.
        """
        history = [row.measurement for row in self.rows(model)]
        rules = self.rules(model)
        peaks = by_size(history)
        verdict = self.verdict(model, target)
        if verdict.word is Word.IMPOSSIBLE:
            return None, joined(verdict.reason, verdict.remedy)
        if target in done:
            return None, NOTHING
        smallest = min(self.offered(model), key=lambda s: (s.tokens, s.pixels))
        # On a card below the model's minimum the baseline is a guess, and would end the climb.
        known = self.verdict(model, rules.baseline).open
        starts = (rules.baseline, smallest) if known else (smallest,)
        path = [s for s in climb(target, peaks, starts) if s not in done]
        size = path[0] if path else target
        # Only what was measured here may keep a probe from running; it exists to find out.
        expected = fitted(size, peaks, rules) or 0
        if expected + margin(expected) > self.budget(model):
            left = Memory(self.budget(model))
            return None, Text(
                "guard.not_tried", size=self.told(model, size), need=Memory(expected), left=left
            )
        return size, NOTHING


def _size(shape: Shape) -> Size:
    return Size(shape.height, shape.width, shape.frames)


def _with_peaks(plan: Mapping[str, Value]) -> dict[str, Value]:
    """``plan`` without what moves no peak: the largest stands in the feed-forward part, whichever
    norms come before it."""
    same = {"modulation": "triton"} if plan.get("modulation") == NORMS else {}
    return {**plan, **same}


@cache
def _checkpoint(preset: ModelPreset) -> str | None:
    """Which architecture the checkpoint has: another one peaks elsewhere under the same name."""
    if preset.checkpoint is None:
        return None
    digest = hashlib.sha256()
    for file in sorted((PROJECT / preset.checkpoint).glob("*/config.json")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
