"""What a new environment is tried with. tests/system/test_launch.py does it for real; here is what
fails.

No GPU is here: the kernels' trial runs with the kernels scripted, and was not run on a card.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.install import trial
from engine.install.__main__ import Order, Setup
from engine.install.environments import SetupError
from engine.install.plan import ENGINE, GPU, HASHES, PAGE, make_plan
from engine.pipelines.lightx2v import kernels, loading
from engine.pipelines.lightx2v import self_test as self_test
from engine.pipelines.lightx2v.self_test import Told, try_kernels
from tests.support.computers import LINUX, NO_GPU
from tests.support.machines import LINUX as MACHINE
from tests.support.machines import with_packages

pytestmark = pytest.mark.starts

Python = Callable[[str], Path]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """A program that stands in for an environment's Python."""

    def make(script: str) -> Path:
        file = tmp_path / "a python"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    return make


def test_a_page_that_cant_be_imported_is_told(python: Python, tmp_path: Path) -> None:
    broken = python("echo Traceback >&2; echo 'ImportError: no <gradio>' >&2; exit 1")
    with pytest.raises(SetupError, match="don't work here: ImportError: no <gradio>"):
        trial.run(tmp_path, broken, (PAGE,))
    assert trial.run(tmp_path, python("exit 0"), (PAGE,)) == {}


@pytest.mark.parametrize("answer", ["", "{}", '{"path": "/no/such/clip.mp4"}', "no JSON"])
def test_only_a_clip_that_lies_there_counts(python: Python, tmp_path: Path, answer: str) -> None:
    with pytest.raises(SetupError, match="A test clip can't be made"):
        trial.run(tmp_path, python(f"echo '{answer}'"), (ENGINE,))


def test_the_trial_has_a_folder_and_a_word_of_its_own(python: Python, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    says = python(
        f'test "$HEADROOM_TRIAL" = 1 && test -d "$HEADROOM_HOME" && echo \'{{"path": "{clip}"}}\''
    )
    assert trial.run(tmp_path, says, (ENGINE,)) == {}


def test_what_fails_on_the_gpu_is_left_out_or_ends_the_set_up(
    python: Python, tmp_path: Path
) -> None:
    told = {"problem": "", "left_out": {"sageattention": "no kernel image"}, "works": []}
    found = trial.run(tmp_path, python(f"echo '{json.dumps(told)}'"), (GPU,))
    assert found == {"sageattention": "no kernel image"}
    told["problem"] = "CUDA driver is too old"
    with pytest.raises(SetupError, match=r"CUDA driver is too old(.|\n)*setup --cpu"):
        trial.run(tmp_path, python(f"echo '{json.dumps(told)}'"), (GPU,))
    with pytest.raises(SetupError, match="Segmentation fault"):
        trial.run(tmp_path, python("echo Segmentation fault >&2; exit 139"), (GPU,))


def test_a_trial_that_hangs_or_cant_start_is_told(
    python: Python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    with pytest.raises(SetupError, match="didn't finish within"):
        trial.run(tmp_path, python("exec sleep 20"), (PAGE,))
    with pytest.raises(SetupError, match="can't be started"):
        trial.run(tmp_path, tmp_path / "none", (PAGE,))


def test_without_a_card_here_its_packages_are_not_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A container is built where there is none."""
    from engine.install.environments import Stamp
    from engine.install.packages import Packages

    (tmp_path / HASHES).write_text("")  # nothing is installed here
    tried: list[tuple[str, ...]] = []

    def run(_: Path, __: Path, files: tuple[str, ...]) -> dict[str, str]:
        tried.append(files)
        return {}

    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(Setup, "_compile", lambda *_: None)
    for facts in (NO_GPU, LINUX):
        monkeypatch.setattr("engine.install.__main__.this_computer", lambda _, facts=facts: facts)
        setup = Setup(tmp_path, Order("setup", "gpu"))
        packages = Packages(tmp_path, tmp_path, make_plan(replace(LINUX, cards=())), "linux")
        setup._finish(Stamp("3.11", "x", "nvidia", "gpu"), packages, tmp_path, (ENGINE, GPU))
    assert tried == [(ENGINE,), (ENGINE, GPU)]
    assert "no GPU here to test" in capfd.readouterr().err


# ---- kernels -------------------------------------------------------------------------------


def test_a_package_is_left_out_when_none_of_its_kernels_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(self_test, "is_dead", lambda: False)
    told = Told()

    def fail() -> float:
        raise RuntimeError("no kernel image is available\nfor execution")

    told.attempt("sglang-kernel", "fp8-sgl", fail)
    told.attempt("sglang-kernel", "int8-sgl", lambda: 0.999)
    told.attempt("sageattention", "sage_attn1", lambda: 0.3)
    told.attempt("triton", "fp8-triton", lambda: float("nan"))
    assert told.as_json() == {
        "problem": "",
        "left_out": {"sageattention": "sage_attn1 computes something else."},
        "works": ["int8-sgl"],
    }
    assert told.failed["sglang-kernel"] == ["fp8-sgl: no kernel image is available"]


def test_after_a_crash_the_others_are_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "is_dead", lambda: True)
    told = Told()
    told.attempt("sageattention", "sage_attn1", lambda: 0.0)
    assert told.as_json()["left_out"] == {}


@pytest.mark.parametrize(
    ("capability", "wanted"),
    [
        ((8, 9), ["fp8-sgl", "fp8-triton", "int8-sgl", "int8-triton", "sage_attn1"]),
        ((8, 6), ["int8-sgl", "int8-triton", "sage_attn1"]),
    ],
)
def test_each_kernel_that_the_plan_could_name_is_called(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wanted: list[str]
) -> None:
    machine = with_packages(MACHINE, sageattention="1.0.6", sgl_kernel="0.4.4", triton="3.6.0")
    monkeypatch.setattr(self_test, "this_machine", lambda: machine)
    monkeypatch.setattr(self_test, "is_dead", lambda: False)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    monkeypatch.setattr(loading, "import_lightx2v", lambda: "cuda")
    monkeypatch.setattr(kernels, "name_sage_1", lambda: True)
    monkeypatch.setattr(kernels, "try_matmul", lambda *_: 0.9999)
    monkeypatch.setattr(kernels, "try_attention", lambda *_: 0.9999)
    told = Told()
    try_kernels(told)
    assert told.works == wanted
