"""The guard in the engine: at queueing, at starting, in probes; and its measurements."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.engine import Engine
from engine.guard.budget import device_for, margin
from engine.guard.verdict import Word
from engine.guard.verdicts import NotHere, Refused
from engine.home import Home
from engine.jobs import Jobs, State
from engine.machine.memory import HostSample, MemorySample
from engine.pipelines.ram import memory_ceiling
from engine.presets import Presets
from engine.request import ClipRequest, Size
from engine.text import NOTHING
from tests.conftest import Ask, finish, wait_until
from tests.support.scripted_memory import GIB, ScriptedMeter

pytestmark = pytest.mark.starts

BASELINE, LARGER = Size(128, 128, 17), Size(160, 160, 17)


@pytest.fixture
def meter() -> ScriptedMeter:
    return ScriptedMeter()


@pytest.fixture
def guarded(presets: Presets, jobs: Jobs, meter: ScriptedMeter) -> Iterator[Engine]:
    made = Engine(Home.find(), presets, jobs, meter)
    yield made
    made.close()


def sized(ask: Ask, size: Size, prompt: str = "go") -> ClipRequest:
    return ask(prompt, height=size.height, width=size.width, frames=size.frames)


def test_a_locked_size_is_refused_and_nothing_is_queued(guarded: Engine, ask: Ask) -> None:
    with pytest.raises(Refused, match=r"160 × 160, 2\.1 s: not tested yet") as caught:
        guarded.submit(sized(ask, LARGER))
    assert "Test it" in str(caught.value.remedy)
    assert caught.value.nearest is not None
    assert guarded.guard.verdict("scripted", caught.value.nearest).open
    assert guarded.jobs.waiting() == []


def test_a_finished_clip_is_a_measurement_by_itself(guarded: Engine, ask: Ask) -> None:
    guarded.start()
    job = finish(guarded, guarded.submit(sized(ask, BASELINE)))
    (row,) = guarded.guard.of_job(job.id)
    assert (row.kind, row.measurement.outcome, row.measurement.size) == ("clip", "ok", BASELINE)
    assert set(row.measurement.peaks) == {"encode", "denoise", "decode"}
    assert row.seconds["decode"] >= 0
    assert guarded.guard.verdict("scripted", BASELINE).basis == "measured"


def test_a_failed_run_is_a_measurement_too(guarded: Engine, ask: Ask) -> None:
    guarded.start()
    finish(guarded, guarded.submit(sized(ask, BASELINE, "fail=oom at=decode")))
    assert guarded.guard.verdict("scripted", BASELINE).word is Word.IMPOSSIBLE
    assert guarded.guard.verdict("scripted", Size(112, 112, 17)).open
    with pytest.raises(Refused, match=r"Memory ran out at 128 × 128, 2\.1 s"):
        guarded.submit(sized(ask, BASELINE))


def test_a_probe_climbs_measures_and_opens(guarded: Engine, ask: Ask) -> None:
    guarded.start()
    target = Size(256, 256, 17)
    job = finish(guarded, guarded.measure(sized(ask, target)))
    assert job.state is State.DONE
    assert "Measured 256 × 256, 2.1 s: peak" in str(job.note)
    rows = guarded.guard.of_job(job.id)
    sizes = [row.measurement.size for row in rows]
    assert sizes[0] == BASELINE
    assert sizes[-1] == target
    assert len(sizes) >= 4
    assert all(b.tokens <= 1.5 * a.tokens for a, b in pairwise(sizes))
    assert {row.kind for row in rows} == {"probe"}
    assert guarded.guard.verdict("scripted", target).basis == "measured"
    assert guarded.library.newest() == [], "a probe makes no clip"
    assert finish(guarded, guarded.submit(sized(ask, target))).state is State.DONE


def test_out_of_memory_in_a_probe_is_a_result_and_costs_nothing(guarded: Engine, ask: Ask) -> None:
    guarded.start()
    job = finish(guarded, guarded.measure(sized(ask, LARGER, "fail=oom at=decode")))
    assert job.state is State.DONE
    assert "during the test" in str(job.note)
    assert guarded.guard.verdict("scripted", BASELINE).word is Word.IMPOSSIBLE
    small = sized(ask, Size(64, 64, 9))
    assert finish(guarded, guarded.submit(small)).state is State.DONE
    assert not guarded.status().notice, "nothing of the user's was lost, so nobody is alarmed"


def test_a_probe_that_leaves_too_little_stops_the_climb(
    guarded: Engine, ask: Ask, meter: ScriptedMeter
) -> None:
    guarded.start()
    peak = max(
        row.measurement.peak
        for row in guarded.guard.of_job(finish(guarded, guarded.measure(sized(ask, BASELINE))).id)
    )
    meter.total, meter.others = 16 * GIB, 16 * GIB - 1 * GIB - peak - margin(peak) // 2
    job = finish(guarded, guarded.measure(sized(ask, Size(256, 256, 17))))
    assert guarded.guard.of_job(job.id) == []
    assert "so it wasn't tried" in str(job.note)


def test_a_probe_can_be_cancelled_and_keeps_what_it_has(guarded: Engine, ask: Ask) -> None:
    guarded.start(warm="scripted")
    job = guarded.measure(sized(ask, Size(512, 512, 81), "step_seconds=0.4"))
    wait_until(lambda: len(guarded.guard.of_job(job.id)) >= 2, "two steps of the climb")
    guarded.cancel(job.id)
    assert finish(guarded, job).state is State.CANCELLED
    assert guarded.guard.verdict("scripted", BASELINE).basis == "measured"


def test_others_make_a_queued_job_wait_and_it_starts_when_they_go(
    guarded: Engine, ask: Ask, meter: ScriptedMeter
) -> None:
    job = guarded.submit(sized(ask, BASELINE))
    meter.others = 15 * GIB
    guarded.start(warm="scripted")
    wait_until(lambda: guarded.status().waiting_for, "the reason for waiting")
    assert "Other programs use 15.0 GB" in str(guarded.status().waiting_for)
    assert guarded.jobs.get(job.id).state is State.QUEUED
    with pytest.raises(Refused, match="memory in use"):
        guarded.submit(sized(ask, BASELINE))
    meter.others = 2 * GIB
    assert finish(guarded, job).state is State.DONE
    assert not guarded.status().waiting_for


def test_a_resumed_queue_passes_the_guard_again(guarded: Engine, ask: Ask) -> None:
    job = guarded.submit(sized(ask, BASELINE))
    guarded.lane.guard.record(job.id, "clip", "scripted", Size(64, 64, 9), "out_of_memory", {}, {})
    guarded.start()
    failed = finish(guarded, job)
    assert failed.state is State.FAILED
    assert "Not started: too large. Memory ran out at 64 × 64, 1.1 s" in str(failed.note)


def test_a_new_fingerprint_starts_locked_again(
    guarded: Engine, ask: Ask, meter: ScriptedMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.lane.guard.record(
        guarded.jobs.add(ask()).id, "probe", "scripted", LARGER, "ok", {"decode": GIB}, {}
    )
    assert guarded.guard.verdict("scripted", LARGER).open
    monkeypatch.setattr("engine.guard.guard.package_version", lambda name: "another version")
    assert guarded.guard.verdict("scripted", LARGER).word is Word.LOCKED
    kept = guarded.jobs.store.rows("select count(*) from measurements")[0][0]
    assert kept == 1, "older measurements stay, for comparison"


@pytest.mark.parametrize(
    ("name", "value", "counts"),
    [
        ("attention", "kitchen_int8", True),
        ("attention", "sage_attn1", True),
        ("attention", "sage_attn2", False),  # nobody compared its peak
        ("matmul", "int8-kitchen", False),
        ("matmul", "int8-fused-triton", True),
        ("modulation", "fused", True),
        ("decode", "tiled", False),
    ],
)
def test_another_kernel_loses_nothing_that_was_measured(
    guarded: Engine,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    counts: bool,
) -> None:
    """The kernel test may find a faster one on any day; others have peaks of their own."""
    model, job = "scripted", guarded.submit(sized(ask, BASELINE)).id
    plan = {"attention": "torch_sdpa", "matmul": "int8-triton", "decode": "whole"}
    plan["modulation"] = "triton"
    monkeypatch.setattr(guarded.plans, "values", lambda _: plan)
    guarded.lane.guard.record(job, "clip", model, LARGER, "ok", {"denoise": GIB}, {"denoise": 4.0})
    assert len(guarded.guard.rows(model)) == 1
    plan[name] = value
    assert len(guarded.guard.rows(model)) == counts
    assert (guarded.guard.durations(model, [LARGER])[LARGER] is not None) == counts


@pytest.mark.parametrize("attention", ["torch_sdpa", "sage_attn1"])
def test_what_took_more_counts_whichever_attention_it_had(
    guarded: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch, attention: str
) -> None:
    model, job = "scripted", guarded.submit(sized(ask, BASELINE)).id
    plan = {"attention": attention, "matmul": "fp8-triton"}
    monkeypatch.setattr(guarded.plans, "values", lambda _: plan)
    guarded.lane.guard.record(job, "clip", model, LARGER, "ok", {"denoise": GIB}, {"denoise": 4.0})
    plan |= {"attention": "kitchen_int8", "matmul": "fp8-fused-torch"}
    assert len(guarded.guard.rows(model)) == 1


def test_what_took_less_says_nothing_of_what_takes_more(
    guarded: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, job = "scripted", guarded.submit(sized(ask, BASELINE)).id
    plan = {"attention": "torch_sdpa", "matmul": "fp8-fused-torch"}
    monkeypatch.setattr(guarded.plans, "values", lambda _: plan)
    guarded.lane.guard.record(job, "clip", model, LARGER, "ok", {"denoise": GIB}, {"denoise": 4.0})
    assert len(guarded.guard.rows(model)) == 1
    plan["attention"] = "kitchen_int8"  # its buffers may stand out where products take little
    assert guarded.guard.rows(model) == []
    plan |= {"attention": "torch_sdpa", "matmul": "fp8-triton"}
    assert guarded.guard.rows(model) == []


def test_the_fingerprint_names_what_it_must(guarded: Engine) -> None:
    facts = json.loads(guarded.lane.guard.fingerprint("wan-tiny"))
    assert facts["model"] == "wan-tiny"
    assert facts["checkpoint"]
    assert facts["device"].startswith("CPU: ")
    assert facts["total"] > GIB
    assert facts["versions"]["torch"].startswith("2.13.0")
    assert facts["plan"]["dtype"] == "float32"


def test_a_model_without_its_device_is_impossible_here(guarded: Engine) -> None:
    verdict = guarded.guard.verdict("wan2.1-t2v-14b-fp8", Size(480, 832, 81))
    assert verdict.word is Word.IMPOSSIBLE
    assert "needs an NVIDIA GPU" in str(verdict.reason)
    with pytest.raises(NotHere):
        guarded.guard.check_here("wan2.1-t2v-14b-fp8")


def test_the_ceiling_makes_an_allocation_fail_and_is_lifted_again() -> None:
    import psutil

    now = psutil.Process().memory_info().rss
    with memory_ceiling(now + 100 * 2**20) as limited:
        if not limited:
            pytest.skip("this system has no such limit")
        with pytest.raises(MemoryError):
            np.ones(300 * 2**20, np.uint8)
        assert np.ones(10 * 2**20, np.uint8).any()
    assert np.ones(300 * 2**20, np.uint8).any()


@pytest.mark.model
def test_the_real_model_meets_the_ceiling_cleanly(tmp_path: Path) -> None:
    """A real allocation of torch's fails, in a process of its own, and the next clip is whole."""
    import subprocess
    import sys

    code = """
import psutil
from engine.pipelines.ram import memory_ceiling
from engine.machine.facts import this_machine
from engine.pipelines.base import OutOfMemory
from engine.pipelines.wan_tiny.pipeline import WanTiny
from engine.plan.make import make_plan
from tests.support.wan_tiny import PRESET, Notes, request
pipeline = WanTiny(PRESET)
pipeline.load(make_plan(this_machine(), PRESET))
before = pipeline.generate(request(), 1, Notes())
try:
    with memory_ceiling(psutil.Process().memory_info().rss + 50 * 2**20):
        pipeline.generate(request(height=384, width=384), 1, Notes(), steps=1)
except OutOfMemory as error:
    assert "RAM" in str(error.sentence)
else:
    raise SystemExit("it fitted")
assert (pipeline.generate(request(), 1, Notes()) == before).all()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.model
def test_the_prediction_at_a_third_size_is_within_five_percent(
    engine: Engine, presets: Presets
) -> None:
    """The promise of the product, on the CPU default, with real memory."""

    def request(height: int, width: int, frames: int) -> ClipRequest:
        size = {"height": height, "width": width, "frames": frames}
        return ClipRequest.check({"prompt": "a red ball", "model": "wan-tiny", **size}, presets)

    engine.start()
    target = request(192, 192, 17)
    assert engine.guard.verdict("wan-tiny", target.size).word is Word.LOCKED
    finish(engine, engine.measure(target), 120)
    assert engine.guard.verdict("wan-tiny", target.size).open
    third = request(224, 240, 17)
    verdict = engine.guard.verdict("wan-tiny", third.size)
    assert (verdict.word, verdict.basis) == (Word.OPEN, "predicted")
    job = finish(engine, engine.submit(third), 120)
    (row,) = engine.guard.of_job(job.id)
    assert verdict.peak is not None
    assert abs(verdict.peak / row.measurement.peak - 1) <= 0.05


def test_thousands_of_runs_cost_a_verdict_no_more_than_a_few(guarded: Engine, ask: Ask) -> None:
    job = guarded.jobs.add(ask()).id
    for number in range(60):
        peaks = {"decode": GIB if number < 50 else GIB // 2}
        guarded.lane.guard.record(job, "clip", "scripted", LARGER, "ok", peaks, {"decode": number})
    guarded.lane.guard.record(job, "clip", "scripted", Size(512, 512, 81), "out_of_memory", {}, {})
    rows = guarded.guard.rows("scripted")
    assert len(rows) == 6
    assert {row.runs for row in rows} == {60, 1}
    assert guarded.guard.verdict("scripted", LARGER).peak == GIB // 2, "old runs don't count"
    assert guarded.guard.verdict("scripted", Size(512, 512, 81)).word is Word.IMPOSSIBLE
    assert guarded.guard.last_seconds("scripted", LARGER) == {"decode": 59}
    assert guarded.guard.last_seconds("scripted", Size(64, 64, 1)) == {}


def test_what_changes_clips_has_what_the_loaded_model_leaves(presets: Presets) -> None:
    """It runs beside the model, whose memory would be free for another model alone."""
    host = HostSample(32 * GIB, 2 * GIB, 22 * GIB, 0, 0, None, None)
    sample = MemorySample(0.0, host, None, "none", NOTHING)
    budgets: dict[str, int] = {}
    for model in ("wan-tiny", "smooth"):
        device = device_for(presets.models[model], sample, 1, None)
        assert device is not None
        budgets[model] = device.budget
    assert budgets["wan-tiny"] - budgets["smooth"] == 22 * GIB
    assert budgets["smooth"] < 2 * GIB
