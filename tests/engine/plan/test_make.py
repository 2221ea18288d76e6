"""The rules of the plan over scripted machines: what is installed, what fits, what can't be."""

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.machine.facts import Machine, this_machine
from engine.plan.choice import WORDS, Choice, OverrideError, Plan, PlanError, in_words, values
from engine.plan.make import checked, make_plan, options, plan_to_json
from engine.presets import ModelPreset, load_presets
from engine.text import Memory, Text
from tests.support.machines import GIB, LINUX, TORCH, WINDOWS, with_gpu, with_packages

PRESETS = load_presets().models
FP8 = PRESETS["wan2.1-t2v-14b-fp8"]
INT8 = PRESETS["wan2.1-t2v-14b-int8"]
BF16 = PRESETS["wan2.1-t2v-14b-bf16"]
I2V = PRESETS["wan2.2-i2v-a14b-fp8"]
ON_CPU = FP8.model_copy(update={"id": "cpu", "runs_on": "cpu"})
KEYS = {
    "device",
    "precision",
    "attention",
    "matmul",
    "text_encoder",
    "offload",
    "decode",
    "rope_chunk",
    "compile",
    "modulation",
    "fp16_accumulation",
    "sampler",
}


def chosen(plan: Plan, *names: str) -> tuple[object, ...]:
    return tuple(plan[name].value for name in names)


def kernels(machine: Machine, preset: ModelPreset = FP8) -> tuple[object, ...]:
    return chosen(make_plan(machine, preset), "attention", "matmul")


# ---- the machines that people have ---------------------------------------------------------


def test_a_4060_ti_with_32_gb_and_nothing_optional() -> None:
    plan = make_plan(LINUX, FP8)
    assert set(plan) == KEYS
    assert values(plan) == {
        "device": "RTX 4060 Ti",
        "precision": "fp8",
        "attention": "torch_sdpa",
        "matmul": "fp8-torchao",
        "text_encoder": "fp8-torchao",
        "offload": "block-exact",
        "decode": "whole",
        "rope_chunk": 8192,
        "compile": "off",
        "modulation": "torch",
        "fp16_accumulation": "off",
        "sampler": "4 steps (1000, 750, 500, 250), shift 5, no guidance",
    }
    assert "Not block: It needs 31.7 GB of RAM" in str(plan["offload"].reason)
    assert "sageattention (1.0.6) isn't installed" in str(plan["attention"].reason)
    assert "Triton isn't installed" in str(plan["matmul"].reason)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert plan["compile"].reason == Text("plan.compile_off")
    assert str(plan["sampler"].text) == plan["sampler"].value, "its words are those of its value"


@pytest.mark.parametrize(
    ("machine", "attention", "matmul"),
    [
        (
            with_packages(LINUX, triton="3.6.0", sageattention="1.0.6"),
            "sage_attn1",
            "fp8-fused-torch",
        ),
        (with_packages(LINUX, sageattention="1.0.6"), "torch_sdpa", "fp8-torchao"),  # no Triton
        (
            with_packages(LINUX, triton="3.6.0", sageattention="2.2.0"),
            "sage_attn2",
            "fp8-fused-torch",
        ),
        (
            with_packages(LINUX, triton="3.6.0", sageattention="unknown"),
            "sage_attn1",
            "fp8-fused-torch",
        ),
        (with_packages(LINUX, triton="3.6.0", sgl_kernel="0.4.4"), "torch_sdpa", "fp8-sgl"),
        (
            replace(with_packages(LINUX, sgl_kernel="0.4.4"), architecture="aarch64"),
            "torch_sdpa",
            "fp8-torchao",
        ),
        (WINDOWS, "torch_sdpa", "fp8-fused-triton"),
        (with_packages(WINDOWS, sgl_kernel="0.4.4"), "torch_sdpa", "fp8-fused-triton"),
        (replace(LINUX, packages={}), "torch_sdpa", "fp8-torchao"),  # not set up yet
    ],
)
def test_the_best_kernels_that_are_there(machine: Machine, attention: str, matmul: str) -> None:
    plan = make_plan(machine, FP8)
    assert chosen(plan, "attention", "matmul") == (attention, matmul)
    theirs = "fp8-triton" if "fused" in matmul else matmul
    assert plan["text_encoder"].value == theirs, "it knows none of ours"


@pytest.mark.parametrize(
    ("capability", "named"), [((8, 9), True), ((12, 0), True), ((9, 0), False)]
)
def test_sage_1_says_by_which_name_it_is_found(capability: tuple[int, int], named: bool) -> None:
    machine = with_packages(LINUX, triton="3.6.0", sageattention="1.0.6")
    plan = make_plan(with_gpu(machine, "RTX", capability, 24), FP8)
    assert plan["attention"].value == "sage_attn1"
    assert ("under the name" in str(plan["attention"].reason)) is named


def test_windows_without_triton_is_told_what_is_missing() -> None:
    with pytest.raises(PlanError, match="triton-windows isn't installed") as caught:
        make_plan(replace(WINDOWS, packages=TORCH), FP8)
    assert "PyTorch for Windows is built without this kernel" in str(caught.value.sentence)
    assert "setup" in str(caught.value.remedy)


def test_an_old_torch_has_no_rowwise_fp8() -> None:
    with pytest.raises(PlanError, match=r"needs PyTorch 2\.7; 2\.6\.1 is installed"):
        make_plan(with_packages(LINUX, torch="2.6.1"), FP8)


def test_a_3090_is_sent_to_int8_and_runs_it() -> None:
    machine = with_gpu(with_packages(LINUX, triton="3.6.0"), "RTX 3090", (8, 6), 24)
    with pytest.raises(PlanError, match=r"RTX 3090 has compute capability 8\.6; FP8") as caught:
        make_plan(machine, FP8)
    assert str(caught.value.remedy) == "Choose the INT8 model."
    assert kernels(machine, INT8) == ("torch_sdpa", "int8-fused-triton")
    assert kernels(machine, BF16) == ("torch_sdpa", "Default")


def test_before_ampere_nothing_runs() -> None:
    machine = with_gpu(LINUX, "RTX 2080 Ti", (7, 5), 11)
    for preset in (FP8, INT8, BF16):
        with pytest.raises(PlanError, match=r"compute capability 7\.5") as caught:
            make_plan(machine, preset)
        assert "INT8" not in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("capability", "installed", "matmul"),
    [
        ((8, 9), {"q8_kernels": "0.0.1", "sgl_kernel": "0.4.4"}, "int8-q8f"),
        ((12, 0), {"q8_kernels": "unknown"}, "int8-q8f"),
        ((9, 0), {"q8_kernels": "0.0.1"}, "int8-fused-triton"),
        ((8, 6), {"sgl_kernel": "0.4.4"}, "int8-sgl"),
        ((8, 9), {}, "int8-fused-triton"),
    ],
)
def test_int8_uses_q8_kernels_where_they_are(
    capability: tuple[int, int], installed: dict[str, str], matmul: str
) -> None:
    machine = with_packages(with_gpu(LINUX, "RTX", capability, 24), triton="3.6.0", **installed)
    plan = make_plan(machine, INT8)
    theirs = "int8-triton" if "fused" in matmul else matmul
    assert chosen(plan, "matmul", "text_encoder") == (matmul, theirs)
    if "fused" in matmul:
        assert "Not int8-kitchen: comfy-kitchen isn't installed" in str(plan["matmul"].reason)


def test_a_5090_may_hold_everything_once_that_was_measured() -> None:
    machine = with_packages(with_gpu(LINUX, "RTX 5090", (12, 0), 31.8), triton="3.6.0")
    assert chosen(make_plan(machine, FP8), "offload") == ("block-exact",)
    measured = make_plan(machine, FP8, resident_measured=True)
    assert chosen(measured, "offload") == ("resident",)
    assert "measurement" in str(measured["offload"].reason)
    assert chosen(make_plan(machine, FP8, {"offload": "resident"}), "offload") == ("resident",)
    small = make_plan(LINUX, FP8, resident_measured=True)
    assert chosen(small, "offload") == ("block-exact",), "a measurement of another card's"


def test_an_8_gb_card_decodes_in_tiles() -> None:
    plan = make_plan(with_gpu(LINUX, "RTX 4060", (8, 9), 8), FP8)
    assert chosen(plan, "decode") == ("tiled",)
    assert "8.0 GB" in str(plan["decode"].reason)


@pytest.mark.parametrize(
    ("ram", "offload"),
    [(62.7, "block"), (32.0, "block-exact"), (31.2, "block-exact"), (23.4, "lazy"), (15.5, "lazy")],
)
def test_ram_decides_where_the_weights_wait(ram: float, offload: str) -> None:
    assert chosen(make_plan(replace(LINUX, ram=round(ram * GIB)), FP8), "offload") == (offload,)


@pytest.mark.parametrize(
    ("ram", "offload"),
    [(64, "block"), (48, "block-exact"), (38, "block-exact"), (32, "one-expert"), (16, "lazy")],
)
def test_ram_decides_whether_two_transformers_wait_or_one(ram: float, offload: str) -> None:
    plan = make_plan(replace(LINUX, ram=round(ram * GIB)), I2V)
    assert chosen(plan, "offload") == (offload,)


def test_what_the_change_of_transformers_costs_is_told_before() -> None:
    told = str(make_plan(LINUX, I2V)["offload"].reason)
    assert "14.1 GB each time, 6 s from an NVMe drive and 28 s from a SATA one" in told
    told = str(make_plan(replace(LINUX, ram=16 * GIB), I2V)["offload"].reason)
    assert "14.1 GB a step, 6 s from an NVMe drive and 28 s from a SATA one" in told
    assert "one-expert" not in {option.value for option in options(LINUX, FP8)["offload"]}


def test_windows_locks_half_of_the_ram() -> None:
    """So torch's rounded blocks have no room where the exact ones have."""

    def with_ram(gib: float) -> Plan:
        return make_plan(replace(WINDOWS, ram=round(gib * GIB)), FP8)

    small, middle, large = with_ram(31.8), with_ram(47.8), with_ram(63.8)
    assert chosen(small, "offload") == chosen(middle, "offload") == ("block-exact",)
    assert chosen(large, "offload") == ("block",)
    assert "stays unlocked and is copied more slowly" in str(small["offload"].reason)
    assert "at most half of the RAM (23.9 GB), and this needs 26.7 GB" in str(
        middle["offload"].reason
    )
    on_linux = make_plan(replace(LINUX, ram=round(47.8 * GIB)), FP8)
    assert chosen(on_linux, "offload") == ("block",)


def test_too_little_ram_for_anything_names_the_numbers() -> None:
    with pytest.raises(PlanError, match=r"needs 12\.7 GB of RAM even .* can provide 11\.0 GB"):
        make_plan(replace(LINUX, ram=12 * GIB), FP8)


def test_without_a_gpu_there_is_no_plan() -> None:
    with pytest.raises(PlanError, match="needs an NVIDIA GPU"):
        make_plan(replace(LINUX, gpu=None), FP8)


def test_a_driver_that_hides_the_capability_is_no_obstacle() -> None:
    assert kernels(with_gpu(LINUX, "RTX", None, 16)) == ("torch_sdpa", "fp8-torchao")


def test_lightx2v_without_a_gpu_for_the_tests() -> None:
    plan = make_plan(replace(LINUX, gpu=None, ram=4 * GIB), ON_CPU)
    assert chosen(plan, "device", "attention", "matmul", "offload", "compile") == (
        "cpu",
        "torch_sdpa",
        "fp8-torchao",
        "block",
        "off",
    )
    assert not any(o.works for o in options(LINUX, ON_CPU)["compile"] if o.value == "on")


def test_the_text_encoder_goes_by_its_own_file() -> None:
    weights = tuple(
        part.model_copy(update={"precision": "bf16"}) if part.role == "text_encoder" else part
        for part in FP8.weights
    )
    mixed = FP8.model_copy(update={"weights": weights})
    plan = make_plan(replace(LINUX, ram=64 * GIB), mixed)
    assert chosen(plan, "matmul", "text_encoder") == ("fp8-torchao", "Default")


def test_where_there_is_one_way_there_is_no_choice() -> None:
    assert {"matmul", "text_encoder"} == set(options(LINUX, FP8)) - set(options(LINUX, BF16))
    machine = replace(LINUX, ram=96 * GIB)
    assert chosen(make_plan(machine, BF16), "matmul", "text_encoder") == ("Default", "Default")


def test_the_cpu_default_has_nothing_to_choose() -> None:
    tiny = PRESETS["wan-tiny"]
    assert options(this_machine(), tiny) == {}
    with pytest.raises(OverrideError, match="has no choices"):
        checked({}, tiny, "decode", "tiled")


# ---- the user's choices and the engine's ---------------------------------------------------


def test_an_override_says_what_it_overrides() -> None:
    plan = make_plan(LINUX, FP8, {"decode": "tiled", "rope_chunk": "2048"})
    assert plan["decode"].value == "tiled"
    assert plan["rope_chunk"].value == 2048, "text from a command line becomes the number"
    assert (plan["decode"].by, plan["offload"].by) == ("user", "automatic")
    assert str(plan["decode"].reason).startswith(
        "Your choice. Automatic would be whole: The GPU has"
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("attention", "sage_attn2", "attention can't be sage_attn2 here: SageAttention 2 isn't"),
        ("matmul", "fp8-triton", "matmul can't be fp8-triton here: Triton isn't installed"),
        ("text_encoder", "fp8-sgl", "text_encoder can't be fp8-sgl here: sgl-kernel isn't"),
        ("offload", "block", "offload can't be block here: It needs 31.7 GB"),
        ("offload", "resident", "offload can't be resident here: Everything on the GPU"),
        ("compile", "on", "compile can't be on here: Triton isn't installed"),
        ("decode", "round", "there is no such value"),
        ("device", "cpu", "has no choice named 'device'"),
        ("sampler", "50 steps", "has no choice named 'sampler'"),
    ],
)
def test_an_override_that_cant_work_is_refused(name: str, value: str, words: str) -> None:
    with pytest.raises(OverrideError) as caught:
        make_plan(LINUX, FP8, {name: value})
    assert words in str(caught.value.sentence)
    assert caught.value.remedy


def test_what_was_settled_comes_between_automatic_and_chosen() -> None:
    learned = {"decode": Choice("tiled", "VRAM ran out while decoding 720×1280×81.", "engine")}
    plan = make_plan(LINUX, FP8, learned=learned)
    assert plan["decode"] == learned["decode"]
    plan = make_plan(LINUX, FP8, {"decode": "whole"}, learned)
    assert plan["decode"].value == "whole"
    assert "Automatic would be tiled: VRAM ran out" in str(plan["decode"].reason)


def test_what_was_settled_and_doesnt_exist_is_left_out() -> None:
    learned = {
        "attention": Choice("flash_attn9", "An older version had it."),
        "device": Choice("another", "Nothing settles that."),
    }
    assert values(make_plan(LINUX, FP8, learned=learned)) == values(make_plan(LINUX, FP8))


def test_what_ran_here_counts_more_than_what_we_think_can_run() -> None:
    """Else its measurements would be for a plan that is never in force."""
    learned = {"matmul": Choice("fp8-torchao", "fp8-triton can't be called here.")}
    machine = with_packages(WINDOWS, triton="3.6.0")
    assert not next(o for o in options(machine, FP8)["matmul"] if o.value == "fp8-torchao").works
    assert make_plan(machine, FP8, learned=learned)["matmul"].value == "fp8-torchao"


def test_what_only_the_worker_finds_out_is_part_of_the_plan() -> None:
    found = Choice("torch", "Triton found no C compiler.", "engine")
    machine = with_packages(LINUX, triton="3.6.0")
    assert make_plan(machine, FP8)["modulation"].value == "fused"
    assert make_plan(machine, FP8, learned={"modulation": found})["modulation"] == found
    assert "modulation" not in options(machine, FP8), "it is not the user's"


# ---- reasons are ids and values ------------------------------------------------------------


def test_a_reason_keeps_its_numbers() -> None:
    with pytest.raises(PlanError) as caught:
        make_plan(replace(LINUX, ram=12 * GIB), FP8)
    assert caught.value.sentence.id == "plan.too_little_ram_at_all"
    assert caught.value.sentence.values["has"] == Memory(11 * GIB)


def test_a_reason_within_a_reason_stays_a_text() -> None:
    chosen = make_plan(LINUX, FP8, {"decode": "tiled"})["decode"].reason
    assert chosen == Text(
        "plan.you_chose", value=Text("plan.value_whole"), why=Text("plan.decode_whole")
    )


def test_words_are_the_values_that_they_stand_for() -> None:
    words = {"lazy": "streamed from disk (slow)", "tiny": "tiny VAE"}
    words["one-expert"] = "one transformer in RAM"
    assert [str(in_words(value)) for value in WORDS] == [words.get(v, v) for v in WORDS]
    assert [str(in_words(value)) for value in (8192, 0, "fp8-sgl")] == ["8192", "0", "fp8-sgl"]


def test_what_receipts_keep_is_english() -> None:
    told = plan_to_json(make_plan(LINUX, FP8))
    assert json.loads(json.dumps(told)) == told
    assert told["decode"] == {
        "value": "whole",
        "reason": "The GPU has room to decode whole frames, without seams.",
        "by": "automatic",
    }


PACKAGES = st.sampled_from(["torch", "sageattention", "sgl-kernel", "triton", "q8-kernels"])
VERSIONS = st.sampled_from(["unknown", "0.4.4", "1.0.6", "2.2.0", "2.11.0+cu130", "3.8.0.post29"])


@given(
    st.sampled_from([FP8, INT8, BF16, ON_CPU]),
    st.sampled_from(["Linux 6", "Windows 11", "Darwin 24"]),
    st.none() | st.tuples(st.integers(7, 12), st.integers(0, 9)),
    st.floats(4, 96),
    st.floats(4, 128),
    st.dictionaries(PACKAGES, VERSIONS),
)
def test_the_plan_is_made_of_options_that_work_or_a_sentence_says_why_not(
    preset: ModelPreset,
    system: str,
    capability: tuple[int, int] | None,
    vram: float,
    ram: float,
    packages: dict[str, str],
) -> None:
    machine = with_gpu(LINUX, "RTX", capability, vram)
    machine = replace(machine, system=system, ram=round(ram * GIB), packages=packages)
    known = options(machine, preset)
    plan: Plan = {}
    told: PlanError | None = None
    try:
        plan = make_plan(machine, preset)
    except PlanError as error:
        told = error
    if told is not None:
        assert str(told.sentence).endswith(".")
        assert str(told.remedy).endswith(".")
        return
    assert set(plan) == KEYS
    for name, offered in known.items():
        assert plan[name].value in [option.value for option in offered if option.works]
        for option in offered:
            if option.works:
                assert make_plan(machine, preset, {name: option.value})[name].value == option.value
    assert all(str(choice.reason).endswith(".") for choice in plan.values())
