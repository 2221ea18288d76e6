"""The supervisor and the plan in force: restarts, second tries, what the worker replaces."""

import json
import os
import signal
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.context import SpawnProcess
from typing import Any, cast

import pytest

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs, State
from engine.machine.nvml import Holder
from engine.plan.choice import Choice, Plan, PlanError
from engine.presets import ModelPreset, Presets
from engine.request import Size
from engine.text import plain
from engine.worker.messages import Heartbeat
from engine.worker.process import WorkerProcess, worker_environment
from tests.conftest import Ask, Gate, finish, wait_until
from tests.support.samples import seen
from tests.support.scripted_memory import GIB, ScriptedMeter

pytestmark = pytest.mark.starts


@pytest.fixture
def planned(engine: Engine) -> Engine:
    engine.start(warm="scripted-fp8")
    return engine


def plan_of(engine: Engine, job: int) -> dict[str, object]:
    clip = engine.library.of_job(job)
    assert clip is not None
    return {name: choice["value"] for name, choice in clip.receipt["plan"].items()}


def test_a_changed_plan_restarts_the_worker_by_itself(planned: Engine, ask: Ask) -> None:
    first = finish(planned, planned.submit(ask(model="scripted-fp8")))
    assert plan_of(planned, first.id)["rope_chunk"] == 8192
    pid = planned.status().worker_pid
    planned.plans.override("scripted-fp8", "rope_chunk", "2048")
    second = finish(planned, planned.submit(ask(model="scripted-fp8")))
    assert plan_of(planned, second.id)["rope_chunk"] == 2048
    assert planned.status().worker_pid != pid
    pid = planned.status().worker_pid
    third = finish(planned, planned.submit(ask(model="scripted-fp8")))
    assert third.state is State.DONE
    assert planned.status().worker_pid == pid, "nothing changed, so nothing is restarted"


def test_out_of_memory_is_tried_once_more_a_notch_smaller(planned: Engine, ask: Ask) -> None:
    size = {"height": 128, "width": 128, "frames": 17, "model": "scripted-fp8"}
    script = "fail=oom at=decode until=decode:tiled step_seconds=0.2"
    job = planned.submit(ask(script, **size))
    done = finish(planned, job)
    assert (done.state, done.attempts) == (State.DONE, 2)
    assert "RAM ran out while decoding 128 × 128, 2.1 s." in str(done.note)
    assert "Retrying once with decoding in tiles (decode: tiled)" in str(done.note)
    assert plan_of(planned, job.id)["decode"] == "tiled"
    assert "Retrying once" in str(planned.status().notice)
    settled = planned.plans.plan("scripted-fp8")["decode"]
    assert str(settled.reason) == "RAM ran out while decoding 128 × 128, 2.1 s."
    outcomes = [row.measurement.outcome for row in planned.guard.of_job(job.id)]
    assert outcomes == ["out_of_memory", "ok"]
    assert len(planned.guard.rows("scripted-fp8")) == 1, "each counts for its own plan"


def test_a_second_try_may_run_where_nothing_was_measured(planned: Engine, ask: Ask) -> None:
    size = Size(160, 160, 17)
    big = ask(
        "fail=oom at=decode until=decode:tiled",
        height=160,
        width=160,
        frames=17,
        model="scripted-fp8",
    )
    before = finish(planned, planned.jobs.add(ask("of before", model="scripted")))
    planned.lane.guard.record(before.id, "probe", "scripted-fp8", size, "ok", {"decode": 2**20}, {})
    assert planned.guard.verdict("scripted-fp8", size).open
    done = finish(planned, planned.jobs.add(big))
    assert (done.state, done.attempts) == (State.DONE, 2)
    with_tiles = planned.guard.verdict("scripted-fp8", size)
    assert with_tiles.basis == "measured", "the second try measured it"


def test_out_of_memory_twice_fails_with_an_open_size_and_the_record(
    planned: Engine, ask: Ask
) -> None:
    job = planned.submit(ask("fail=oom at=decode memory=RAM", model="scripted-fp8"))
    failed = finish(planned, job)
    assert (failed.state, failed.attempts) == (State.FAILED, 2)
    assert "RAM ran out while decoding 48 × 32, 0.6 s." in str(failed.note)
    assert "The nearest size that is open: " in str(failed.remedy)
    name = f"out-of-memory-{job.id}.json"
    assert f"logs/{name}" in str(failed.remedy)
    kept = json.loads((planned.home.logs / name).read_text(encoding="utf-8"))
    assert (kept["stage"], kept["memory"]) == ("decode", "RAM")
    assert kept["plan"]["decode"]["value"] == "tiled", "of the second try"
    assert kept["samples"][-1]["at"] == 0
    assert kept["samples"][-1]["host"]["total"] > 0
    assert finish(planned, planned.submit(ask(model="scripted-fp8", height=16))).state is State.DONE


def test_the_users_own_choice_is_not_taken_from_them(planned: Engine, ask: Ask) -> None:
    planned.plans.override("scripted-fp8", "decode", "whole")
    job = planned.submit(ask("fail=oom at=decode", model="scripted-fp8"))
    failed = finish(planned, job)
    assert (failed.state, failed.attempts) == (State.FAILED, 1)
    assert planned.plans.overrides("scripted-fp8") == {"decode": "whole"}


def test_what_the_worker_replaces_is_settled_and_not_asked_again(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_RUNS", "decode:tiled")
    engine.plans.override("scripted-fp8", "decode", "whole")
    loads: list[object] = []
    start = WorkerProcess.start

    def counted(preset: ModelPreset, plan: Plan, *rest: Any) -> WorkerProcess:
        loads.append(plan["decode"].value)
        return start(preset, plan, *rest)

    monkeypatch.setattr("engine.worker.supervisor.WorkerProcess.start", counted)
    engine.start()
    first = finish(engine, engine.submit(ask(model="scripted-fp8")))
    pid = engine.status().worker_pid
    assert plan_of(engine, first.id)["decode"] == "tiled"
    assert "Your choice decode=whole was replaced by" in str(engine.status().notice)
    assert engine.plans.plan("scripted-fp8")["decode"].reason == plain("The script says so.")
    finish(engine, engine.submit(ask(model="scripted-fp8")))
    assert engine.status().worker_pid == pid
    assert loads == ["whole"], "14 GB aren't read twice to run the same"
    assert len(engine.guard.rows("scripted-fp8")) == 2, "they count for the plan that ran"


def test_loading_that_runs_out_of_memory_goes_down_the_ladder(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_SCRIPTED_LOAD", "oom")
    monkeypatch.setattr(
        "engine.worker.outcomes.next_fallback",
        lambda plan, *rest: (
            ("offload", Choice("lazy", "RAM ran out while loading the model."))
            if plan["offload"].value == "block"
            else None
        ),
    )
    engine.start()
    job = finish(engine, engine.submit(ask(model="scripted-fp8")))
    assert job.state is State.DONE
    assert plan_of(engine, job.id)["offload"] == "lazy"
    assert "Next: the model's blocks read from disk" in str(engine.status().notice)


def test_a_model_that_no_plan_fits_fails_its_probe_and_not_the_program(
    engine: Engine, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = engine.measure(ask(model="scripted-fp8"))
    old = replace(engine.machine(), packages={"torch": "2.5.0"})
    monkeypatch.setattr(engine.plans, "_machine", lambda: old)
    with pytest.raises(PlanError, match=r"needs PyTorch 2\.7"):
        engine.measure(ask(model="scripted-fp8"))
    engine.start()
    failed = finish(engine, job)
    assert "needs PyTorch 2.7" in str(failed.note)
    assert finish(engine, engine.submit(ask())).state is State.DONE


def test_the_worker_gets_the_gpu_that_is_measured(presets: Presets) -> None:
    sample = seen()
    big, tiny = presets.models["wan2.1-t2v-14b-fp8"], presets.models["wan-tiny"]
    on_linux = worker_environment(big, sample, "linux")
    assert on_linux == {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": "GPU-4060",
        "PROFILING_DEBUG_LEVEL": "0",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    on_windows = worker_environment(big, sample, "win32")
    assert set(on_linux) - set(on_windows) == {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}
    on_the_cpu = worker_environment(tiny, sample)
    assert not any("CUDA" in name for name in on_the_cpu)
    assert on_the_cpu["OMP_WAIT_POLICY"] == "passive"


@pytest.mark.parametrize("starving", [True, False])
def test_the_out_of_memory_killer_is_recognised_by_the_ram_before_it(
    presets: Presets, jobs: Jobs, ask: Ask, gate: Gate, starving: bool
) -> None:
    meter = ScriptedMeter()
    engine = Engine(Home.find(), presets, jobs, meter)
    engine.recorder.start()
    engine.start(warm="scripted-fp8")
    job = engine.submit(ask(str(gate), model="scripted-fp8"))
    wait_until(lambda: engine.status().preview, "denoising")
    pid = engine.status().worker_pid
    assert pid is not None
    meter.others = round(15.7 * GIB) if starving else 2 * GIB
    wait_until(lambda: engine.recorder.latest().host.used == meter.others, "a sample of that")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: engine.status().notice, "a notice")
    gate.open()
    meter.others = 2 * GIB  # the dead process gave its memory back
    done = finish(engine, job)
    engine.close()
    assert (done.state, done.attempts) == (State.DONE, 2)
    assert "killed by signal 9" in str(done.note)
    assert ("RAM ran out while denoising" in str(done.note)) is starving
    plan = engine.library.of_job(job.id)
    assert plan is not None
    assert plan.receipt["plan"]["rope_chunk"]["value"] == (2048 if starving else 8192)


def test_what_the_worker_says_it_holds_reaches_the_guard(
    engine: Engine, presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Pipe()
    preset = presets.models["wan2.1-t2v-14b-fp8"]
    child = WorkerProcess(cast(SpawnProcess, None), ours, preset, {}, {})
    monkeypatch.setattr(engine.lane, "_worker_pid", lambda: 7)
    monkeypatch.setattr(engine.guard, "_worker", lambda: 7)
    silent = seen(8 * GIB, (Holder(7, "python.exe", None),))  # as under WDDM
    monkeypatch.setattr(engine.guard, "_look", lambda: silent)
    before = engine.guard.budget(preset.id)
    theirs.send(Heartbeat(6 * GIB))
    engine.lane.supervisor._receive(child)
    assert engine.guard.budget(preset.id) == before + 6 * GIB
    theirs.close()
    ours.close()


def test_what_was_replaced_is_tried_again_only_for_a_user_who_insists(presets: Presets) -> None:
    ours, _ = Pipe()
    preset = presets.models["wan-tiny"]
    sent = {"attention": Choice("sage_attn1", "Installed.")}
    runs = {"attention": Choice("torch_sdpa", "sage_attn1 is slower here.")}
    child = WorkerProcess(cast(SpawnProcess, None), ours, preset, runs, sent)
    assert child.runs(runs)
    assert child.runs(sent)
    assert not child.runs({"attention": Choice("sage_attn1", "Your choice.", "user")})
    assert not child.runs({"attention": Choice("sage_attn2", "Installed.")})
