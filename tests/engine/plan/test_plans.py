"""Plans in the database: what the user chose, what the engine learnt, and for how long."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.guard.guard import Guard
from engine.guard.verdict import Word
from engine.jobs import Jobs
from engine.machine.facts import Machine
from engine.machine.memory import HostSample, MemorySample, State
from engine.plan.choice import Choice, OverrideError, PlanError, values
from engine.plan.plans import Plans
from engine.presets import Presets
from engine.request import ClipRequest, Size
from engine.text import NOTHING, Text
from tests.support.machines import GIB, LINUX, RTX_4060_TI, with_gpu, with_packages
from tests.support.samples import sample_of

MODEL = "wan2.1-t2v-14b-fp8"
BASELINE = Size(480, 832, 81)
TILED = Choice("tiled", "VRAM ran out while decoding 720×1280×81.", "engine")


class Bench:
    """Plans and guard on a machine that the test changes."""

    def __init__(self, jobs: Jobs, presets: Presets) -> None:
        self.machine: Machine = LINUX
        self.jobs, self.presets = jobs, presets
        self.plans = Plans(jobs.store, presets, lambda: self.machine)
        self.guard = Guard(jobs.store, presets, self.look, lambda: None, self.plans)

    def look(self) -> MemorySample:
        host = HostSample(self.machine.ram, self.machine.ram, None, 0, 0, None, None)
        gpu = self.machine.gpu
        state: State = "ok" if gpu else "none"
        return MemorySample(0.0, host, sample_of(gpu) if gpu else None, state, "")

    def value(self, name: str) -> object:
        return self.plans.plan(MODEL)[name].value

    def record(self, size: Size = BASELINE, outcome: str = "ok", peak: int = 11 * GIB) -> None:
        request = {"prompt": "x", "model": MODEL}
        job = self.jobs.add(ClipRequest.check(request, self.presets)).id
        peaks = {"denoise": peak} if outcome == "ok" else {}
        self.guard.record(job, "probe", MODEL, size, outcome, peaks, {})  # type: ignore[arg-type]


@pytest.fixture
def bench(jobs: Jobs, presets: Presets) -> Bench:
    return Bench(jobs, presets)


def test_an_override_outlives_the_program_and_is_taken_back(bench: Bench) -> None:
    bench.plans.override(MODEL, "decode", "tiled")
    bench.plans.override(MODEL, "rope_chunk", "2048")
    again = Bench(bench.jobs, bench.presets)
    assert (again.value("decode"), again.value("rope_chunk")) == ("tiled", 2048)
    again.plans.reset(MODEL, "decode")
    assert (bench.value("decode"), bench.value("rope_chunk")) == ("whole", 2048)
    bench.plans.reset(MODEL)
    assert bench.plans.overrides(MODEL) == {}


def test_a_refused_override_changes_nothing(bench: Bench) -> None:
    before = values(bench.plans.plan(MODEL))
    with pytest.raises(OverrideError, match="SageAttention 2 isn't installed"):
        bench.plans.override(MODEL, "attention", "sage_attn2")
    assert values(bench.plans.plan(MODEL)) == before
    bench.machine = replace(LINUX, gpu=None)
    with pytest.raises(PlanError, match="needs an NVIDIA GPU"):
        bench.plans.override(MODEL, "decode", "tiled")


def test_an_override_whose_ground_is_gone_is_told_by_the_verdict(bench: Bench) -> None:
    bench.machine = with_packages(LINUX, triton="3.6.0")
    bench.plans.override(MODEL, "matmul", "fp8-triton")
    assert bench.guard.verdict(MODEL, BASELINE).open
    bench.machine = LINUX
    verdict = bench.guard.verdict(MODEL, BASELINE)
    assert verdict.word is Word.IMPOSSIBLE
    assert "matmul can't be fp8-triton here" in str(verdict.reason)
    assert "Leave it on automatic" in str(verdict.remedy)


OTHERS: list[Callable[[Machine], Machine]] = [
    lambda m: with_packages(m, torch="2.12.0"),
    lambda m: with_packages(m, sageattention="2.2.0"),
    lambda m: replace(m, gpu=replace(RTX_4060_TI, uuid="GPU-other")),
    lambda m: replace(m, gpu=replace(RTX_4060_TI, driver="590.01")),
    lambda m: replace(m, gpu=replace(RTX_4060_TI, total=12 * GIB + 1)),
]


@pytest.mark.parametrize("other", OTHERS)
def test_what_was_learnt_counts_only_where_it_was(
    bench: Bench, other: Callable[[Machine], Machine]
) -> None:
    bench.plans.learn(MODEL, "decode", TILED)
    assert bench.plans.plan(MODEL)["decode"] == TILED
    bench.machine = other(LINUX)
    assert bench.value("decode") == "whole"
    bench.machine = replace(LINUX, gpu=replace(RTX_4060_TI, driver="581.99"))
    assert bench.value("decode") == "tiled", "a minor driver version is the same driver"


def test_a_reason_outlives_its_row_and_words_of_before_stay_words(bench: Bench) -> None:
    reason = Text("plan.ran_out", memory="VRAM", doing=Text("plan.doing_decode"))
    bench.plans.learn(MODEL, "decode", Choice("tiled", reason))
    assert bench.plans.plan(MODEL)["decode"].reason == reason
    bench.plans.learn(MODEL, "decode", TILED)
    (row,) = bench.jobs.store.rows("select reason from choices")
    assert row["reason"] == "VRAM ran out while decoding 720×1280×81."


def test_automatic_forgets_the_users_choice_first_and_the_engines_next(bench: Bench) -> None:
    bench.plans.learn(MODEL, "decode", TILED)
    bench.plans.override(MODEL, "decode", "whole")
    assert bench.value("decode") == "whole"
    bench.plans.reset(MODEL, "decode")
    assert bench.plans.plan(MODEL)["decode"] == TILED
    bench.plans.reset(MODEL, "decode")
    assert bench.value("decode") == "whole"


def test_the_engine_settles_nothing_that_the_user_chose_or_that_cant_work(bench: Bench) -> None:
    assert bench.plans.may_learn(MODEL, "decode", "tiled")
    assert not bench.plans.may_learn(MODEL, "offload", "block"), "too little RAM"
    bench.plans.override(MODEL, "decode", "whole")
    assert not bench.plans.may_learn(MODEL, "decode", "tiled")


def test_what_the_worker_replaced_is_kept_and_the_users_choice_undone(bench: Bench) -> None:
    bench.machine = with_packages(LINUX, triton="3.6.0", sageattention="2.2.0")
    bench.plans.override(MODEL, "attention", "sage_attn2")
    sent = bench.plans.plan(MODEL)
    fell_back = Choice("torch_sdpa", "Its output differed from SDPA's.", "engine")
    told = bench.plans.adopt_replacements(MODEL, sent, {**sent, "attention": fell_back})
    assert [str(sentence) for sentence in told] == [
        "Your choice attention=sage_attn2 was replaced by torch_sdpa: "
        "Its output differed from SDPA's."
    ]
    assert bench.plans.plan(MODEL)["attention"] == fell_back
    assert bench.plans.adopt_replacements(MODEL, sent, sent) == []


def test_a_choice_that_only_the_worker_makes_joins_the_plan(bench: Bench) -> None:
    sent = bench.plans.plan(MODEL)
    runs = {**sent, "kernel_of_tomorrow": Choice("b", "It is there."), "device": Choice("x", "?")}
    assert bench.plans.adopt_replacements(MODEL, sent, runs) == []
    after = bench.plans.plan(MODEL)
    assert after["kernel_of_tomorrow"].value == "b"
    assert after["device"].value == "RTX 4060 Ti"
    ran = {**runs, "device": sent["device"]}
    assert bench.guard.fingerprint(MODEL) == bench.guard.fingerprint(MODEL, ran)


# ---- plans and the guard -------------------------------------------------------------------


def test_the_fingerprint_has_values_and_no_words(bench: Bench) -> None:
    before = bench.guard.fingerprint(MODEL)
    assert "block-exact" in before
    assert "page-locked" not in before
    bench.plans.learn(MODEL, "decode", Choice("whole", "Other words."))
    assert bench.guard.fingerprint(MODEL) == before
    bench.plans.override(MODEL, "decode", "tiled")
    assert bench.guard.fingerprint(MODEL) != before


def test_a_run_counts_for_the_plan_that_ran(bench: Bench) -> None:
    ran = bench.plans.plan(MODEL)
    bench.plans.override(MODEL, "decode", "tiled")  # while it ran
    request = ClipRequest.check({"prompt": "x", "model": MODEL}, bench.presets)
    job = bench.jobs.add(request).id
    bench.guard.record(job, "clip", MODEL, BASELINE, "ok", {"decode": GIB}, {}, ran)
    assert bench.guard.rows(MODEL) == []
    bench.plans.reset(MODEL)
    assert len(bench.guard.rows(MODEL)) == 1


def test_no_plan_is_a_verdict_and_no_crash(bench: Bench) -> None:
    bench.machine = with_gpu(LINUX, "RTX 3090", (8, 6), 24)
    verdict = bench.guard.verdict(MODEL, BASELINE)
    assert (verdict.word, str(verdict.remedy)) == (Word.IMPOSSIBLE, "Choose the INT8 model.")
    assert '"plan": {}' in bench.guard.fingerprint(MODEL)
    assert bench.guard.nearest(MODEL, BASELINE) is None


@pytest.mark.parametrize(("total", "first"), [(16, BASELINE), (8, Size(624, 624, 17))])
def test_a_climb_begins_where_something_is_known(bench: Bench, total: int, first: Size) -> None:
    """An out-of-memory at the baseline would end it on a small card, where less may well fit."""
    bench.machine = with_gpu(LINUX, "a card", (8, 9), total)
    assert bench.guard.verdict(MODEL, BASELINE).open is (first == BASELINE)
    assert bench.guard.next_probe(MODEL, Size(720, 1280, 81), []) == (first, NOTHING)


def test_resident_is_measured_before_it_is_automatic(bench: Bench) -> None:
    bench.machine = with_gpu(LINUX, "a card just large enough", (12, 0), 25)
    bench.machine = with_packages(bench.machine, triton="3.6.0")
    bench.record()
    assert bench.value("offload") == "block-exact", "that run was offloaded"
    bench.plans.override(MODEL, "offload", "resident")
    verdict = bench.guard.verdict(MODEL, BASELINE)
    assert verdict.word is Word.LOCKED, "the preset's figure is for offloaded weights"
    bench.record(Size(256, 256, 17))
    bench.record(BASELINE, peak=20 * GIB)
    bench.plans.reset(MODEL)
    assert bench.value("offload") == "resident"
    bench.machine = replace(bench.machine, gpu=replace(RTX_4060_TI, total=25 * GIB))
    assert bench.value("offload") == "block-exact", "another card"


def test_a_small_run_doesnt_make_resident_automatic(bench: Bench) -> None:
    bench.machine = with_gpu(LINUX, "RTX 5090", (12, 0), 31.8)
    bench.plans.override(MODEL, "offload", "resident")
    bench.record(Size(256, 256, 17))
    bench.record(BASELINE, "out_of_memory")
    bench.plans.reset(MODEL)
    assert bench.value("offload") == "block-exact"


def test_a_model_too_large_for_the_card_says_the_presets_reason(
    bench: Bench, presets: Presets
) -> None:
    preset = presets.models[MODEL]
    memory = preset.memory.model_copy(
        update={"impossible_below_gib": 46.0, "impossible_reason": "BF16 ran out on 48 GB."}
    )
    models = {**presets.models, MODEL: preset.model_copy(update={"memory": memory})}
    large = Bench(bench.jobs, replace(presets, models=models))
    verdict = large.guard.verdict(MODEL, Size(256, 256, 17))
    assert verdict.word is Word.IMPOSSIBLE
    assert str(verdict.reason).startswith("BF16 ran out on 48 GB. RTX 4060 Ti has 16.0 GB")
    large.machine = with_gpu(LINUX, "A6000", (8, 9), 47.5)
    assert large.guard.verdict(MODEL, Size(256, 256, 17)).open
