"""The walls between the rooms: what imports what, asked of fresh interpreters."""

import subprocess
import sys

import pytest

from engine.home import PROJECT

pytestmark = pytest.mark.starts


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; sys.stdout.write(' '.join(sys.modules))"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_page_never_imports_torch() -> None:
    loaded = modules_after("import app, ui.serve, ui.page, ui.live")
    assert "gradio" in loaded
    assert not loaded & {"torch", "diffusers", "transformers", "lightx2v"}


@pytest.mark.model
def test_what_the_worker_sends_brings_no_torch_along() -> None:
    """Whoever unpickles a message imports what its values are made of."""
    size = "'--height', '64', '--width', '64', '--frames', '9'"
    loaded = modules_after(
        f"from engine.commands.main import main\nmain(['generate', 'a red ball', {size}])"
    )
    assert "pickle" in loaded
    assert not loaded & {"torch", "diffusers", "av"}


def test_the_engine_never_imports_gradio() -> None:
    loaded = modules_after(
        "import engine.commands.main, engine.worker.main, engine.pipelines.wan_tiny.pipeline"
    )
    assert "torch" in loaded
    assert "gradio" not in loaded


@pytest.mark.parametrize("module", ["app", "engine.commands.main", "engine.engine"])
def test_commands_start_light(module: str) -> None:
    """`clips` and `--help` pay for neither gradio, torch nor PyAV."""
    assert not modules_after(f"import {module}") & {"gradio", "torch", "av"}


def test_app_is_small_and_readable() -> None:
    assert len((PROJECT / "app.py").read_text().splitlines()) < 60
