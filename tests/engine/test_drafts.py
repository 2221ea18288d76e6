"""Drafts: another model's files, run in a faster and rougher way, and never by itself."""

import shutil
from pathlib import Path

import gradio as gr
import pytest

from engine.default_model import candidates, default_model, with_files
from engine.doctor.doctor import examine
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.home import PROJECT, Home
from engine.jobs import Jobs
from engine.kernels.tasks import own_model, tasks
from engine.plan.choice import OverrideError, PlanError
from engine.plan.kernel_options import SPARSE
from engine.plan.kernel_rows import KernelRow, KernelTimes
from engine.plan.make import make_plan, options
from engine.plan.plans import Plans
from engine.preset_file import PresetError
from engine.presets import ModelPreset, Presets, Role, load_presets
from engine.text import NOTHING
from engine.weights.checkpoint import get_it
from engine.weights.state import extras_here
from tests.support.machines import LINUX, with_packages
from tests.support.samples import seen
from ui.tabs.choices import model_choices
from ui.tabs.first_run import first_run
from ui.tabs.setup import build_setup

EXACT, DRAFT = "wan2.1-t2v-14b-fp8", "wan2.1-t2v-14b-fp8-draft"
MACHINE = with_packages(LINUX, triton="3.6.0", **{"comfy-kitchen": "0.2.40"})
OWN = {"id", "name", "summary", "draft_of", "from_picture"}


@pytest.fixture(scope="module")
def presets() -> Presets:
    return load_presets()


@pytest.fixture
def engine(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """On a card that runs the 14B, without its weights."""
    made = Engine(Home.find(), load_presets(), jobs)
    monkeypatch.setattr(made.plans, "_machine", lambda: MACHINE)
    monkeypatch.setattr(made.guard, "_look", seen)
    monkeypatch.setattr(made, "look", seen)
    return made


def drafts(presets: Presets) -> list[ModelPreset]:
    return [preset for preset in presets.models.values() if preset.draft_of is not None]


# ---- what a draft is -----------------------------------------------------------------------


def test_a_draft_is_its_model_but_for_what_it_says_itself(presets: Presets) -> None:
    assert {draft.precision for draft in drafts(presets)} == {"fp8", "int8", "bf16"}
    for draft in drafts(presets):
        base = presets.models[draft.weights_of]
        assert draft.model_dump(exclude=OWN) == base.model_dump(exclude=OWN)
        assert base.draft_of is None
        assert presets.sizes_for(draft.id) == presets.sizes_for(base.id) != ()
        assert presets.frames_for(draft.id) == presets.frames_for(base.id)
        points = presets.reference_points(draft.id, "fp8-triton")
        assert points == presets.reference_points(base.id, "fp8-triton")
        assert "draft" in draft.name, "people and receipts read it there"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"draft_of: " + EXACT: "draft_of: nobody"}, "has no model 'nobody'"),
        ({"id: " + DRAFT: "id: " + EXACT}, "is taken"),
        ({"name: ": "steps: 2\nname: "}, "steps: Extra inputs"),
    ],
)
def test_a_draft_of_nothing_is_told_with_its_file(
    tmp_path: Path, wrong: dict[str, str], told: str
) -> None:
    folder = shutil.copytree(PROJECT / "presets", tmp_path / "presets")
    file = folder / "drafts" / f"{DRAFT}.yaml"
    text = file.read_text(encoding="utf-8")
    for old, new in wrong.items():
        assert old in text
        text = text.replace(old, new, 1)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(PresetError, match=told) as refused:
        load_presets(folder)
    assert file.name in str(refused.value)


# ---- one copy of the files -----------------------------------------------------------------


def test_its_files_are_its_models(engine: Engine) -> None:
    downloads = engine.downloads
    assert downloads.folder(DRAFT) == downloads.folder(EXACT)
    assert DRAFT not in [preset.id for preset in downloads.models]
    assert get_it(engine.presets.models[DRAFT]) == get_it(engine.presets.models[EXACT])
    with pytest.raises(HeadroomError) as missing:
        engine.check_ready(DRAFT)
    assert DRAFT not in str(missing.value), "what is to be fetched is the model"


def test_whoever_speaks_of_files_speaks_of_its_model(engine: Engine) -> None:
    own = {candidate.preset.id for candidate in with_files(engine)}
    assert own == {p.id for p in engine.presets.with_files}
    assert not own & {draft.id for draft in drafts(engine.presets)}
    told = [str(line.subject) for line in examine(engine)]
    assert any("14B (FP8)" in subject for subject in told)
    assert not [subject for subject in told if "draft" in subject]
    with gr.Blocks():
        parts = build_setup(engine)
    assert DRAFT not in {**parts.cards, **parts.shipped}


def test_work_on_its_files_is_work_on_its_models(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("engine.weights.downloads._Run.start", lambda _, m, what: asked.append(m))
    engine.downloads.start(DRAFT)
    assert asked == [EXACT]


# ---- never by itself -----------------------------------------------------------------------


def test_nobody_is_recommended_a_draft(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = candidates(engine)
    assert {c.preset.id for c in listed} == {p.id for p in engine.presets.makers}
    assert not [c for c in listed if c.recommended and c.preset.draft_of is not None]
    places = [c.preset.id for c in listed]
    assert places.index(EXACT) < places.index(DRAFT)
    assert first_run(engine).model == EXACT
    monkeypatch.setattr(engine, "check_ready", lambda _: None)
    monkeypatch.setattr("engine.default_model._why_not", lambda *_: NOTHING)
    assert default_model(engine).preset.id == EXACT


def test_a_draft_can_be_chosen_where_its_engine_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ui.tabs.choices.is_here", lambda _: True)
    assert DRAFT in [value for _, value in model_choices(engine)]


# ---- how it runs ---------------------------------------------------------------------------


def test_a_draft_takes_sparse_attention_and_nothing_else_does(presets: Presets) -> None:
    for preset in presets.makers:
        if preset.runs_on != "nvidia":
            continue
        known = [option.value for option in options(MACHINE, preset)["attention"]]
        if preset.draft_of is None:
            assert not set(known) & set(SPARSE)
            continue
        assert known == list(SPARSE)
        plan = make_plan(MACHINE, preset)
        exact = make_plan(MACHINE, presets.models[preset.draft_of])
        assert plan["attention"].value == "sol_attn_1"
        assert "draft" in str(plan["attention"].reason)
        others = set(plan) - {"attention"}
        assert {name: plan[name].value for name in others} == {
            name: exact[name].value for name in others
        }


def test_a_draft_decodes_by_the_tiny_vae_where_that_is_and_nothing_else_does(
    presets: Presets,
) -> None:
    here: frozenset[Role] = frozenset({"tiny_vae"})
    for preset in presets.makers:
        if preset.runs_on != "nvidia":
            continue
        assert preset.weight_file("tiny_vae") is not None
        decoders = [option.value for option in options(MACHINE, preset, extras=here)["decode"]]
        if preset.draft_of is None:
            assert "tiny" not in decoders
            continue
        assert decoders == ["tiny", "whole", "tiled"]
        assert make_plan(MACHINE, preset, extras=here)["decode"].value == "tiny"
        without = make_plan(MACHINE, preset)["decode"]
        assert without.value == "whole"
        assert "tiny VAE isn't here; the Models tab fetches it" in str(without.reason)
        with pytest.raises(OverrideError, match="isn't here"):
            make_plan(MACHINE, preset, {"decode": "tiny"})


def test_the_plan_looks_whether_it_is_there(engine: Engine) -> None:
    file = engine.presets.models[DRAFT].weight_file("tiny_vae")
    assert file is not None
    model = engine.presets.models[DRAFT]
    extras = extras_here(engine.home.weights / EXACT, model)
    assert extras == frozenset()
    place = engine.home.weights / EXACT / file.sources[0].path
    place.parent.mkdir(parents=True)
    place.touch()
    assert extras_here(engine.home.weights / EXACT, model) == {"tiny_vae"}
    plans = Plans(
        engine.jobs.store,
        engine.presets,
        lambda: MACHINE,
        extras=lambda preset: extras_here(engine.home.weights / preset.weights_of, preset),
    )
    assert (plans.values(DRAFT)["decode"], plans.values(EXACT)["decode"]) == ("tiny", "whole")
    plans.override(DRAFT, "decode", "tiny")
    place.unlink()
    with pytest.raises(OverrideError, match="tiny VAE isn't here"):
        plans.plan(DRAFT)


def test_without_its_package_a_draft_says_what_is_missing(presets: Presets) -> None:
    with pytest.raises(PlanError, match="comfy-kitchen isn't installed"):
        make_plan(with_packages(LINUX, triton="3.6.0"), presets.models[DRAFT])


def test_the_kernel_test_times_it_and_no_exact_plan_takes_it(presets: Presets) -> None:
    exact = presets.models[EXACT]
    every = tasks(MACHINE, own_model(MACHINE, presets))
    assert set(SPARSE) < {task.kernel for task in every if task.what == "attention"}
    fast = KernelTimes(
        tuple(
            KernelRow("attention", kernel, "32760×40×128", 32_760, ms, 0.9999)
            for kernel, ms in (("torch_sdpa", 40.0), ("sol_attn_1", 13.0), ("sol_attn_0", 36.0))
        )
    )
    assert make_plan(MACHINE, exact, times=fast)["attention"].value == "torch_sdpa"
    assert make_plan(MACHINE, presets.models[DRAFT], times=fast)["attention"].value == "sol_attn_1"
