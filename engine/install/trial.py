"""Tries an environment before it is put in force: its imports, a clip, on NVIDIA its kernels.

Standard library only; what is tried runs in a process of the environment itself.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from engine.install.environments import TRIAL, SetupError
from engine.install.plan import ENGINE, GPU, PAGE
from engine.process import patience
from engine.process.console import say
from engine.process.variables import settle_for_page

SECONDS = 600.0  # a first import from a slow disk, with a virus scanner that reads along
PAGE_CODE = "import app, ui.serve, ui.page, ui.live, engine.doctor.doctor"
CLIP = ("a red ball moves left", "--height", "16", "--width", "16", "--frames", "1", "--seed", "1")


def run(project: Path, python: Path, files: Collection[str]) -> Mapping[str, str]:
    """Try what ``files`` brought.

    Returns:
        Optional packages that don't work here, with the reason.

    Raises:
        SetupError: something that is needed doesn't.
    """
    try:
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    except OSError as error:
        raise SetupError(
            f"No folder for test files can be created: {error.strerror or error}.\n"
            "Set TMPDIR to a writable folder, then start again."
        ) from error
    with temporary as home:
        trial = _Trial(project, python, Path(home))
        if PAGE in files:
            say("Testing the page's packages …")
            trial.page()
        if ENGINE in files:
            say("Testing a clip of 16 × 16 …")
            trial.clip()
        if GPU in files:
            say("Testing PyTorch and the kernels on the GPU …")
            return trial.gpu()
    return {}


class _Trial:
    def __init__(self, project: Path, python: Path, home: Path) -> None:
        self._project, self._python, self._home = project, python, home

    def page(self) -> None:
        done = self._run("-c", PAGE_CODE)
        if done.returncode != 0:
            raise SetupError(f"The page's packages don't work here: {_last(done.stderr)}\n{AGAIN}")

    def clip(self) -> None:
        """Through the program's own command, worker and all."""
        done = self._run("app.py", "generate", *CLIP, "--json")
        try:
            path = Path(json.loads(done.stdout)["path"])
            made = done.returncode == 0 and path.stat().st_size > 0
        except (ValueError, KeyError, TypeError, OSError):
            made = False
        if not made:
            raise SetupError(f"A test clip can't be made: {_last(done.stderr)}\n{AGAIN}")

    def gpu(self) -> dict[str, str]:
        done = self._run("-m", "engine.pipelines.lightx2v.self_test")
        try:
            told = json.loads(done.stdout)
            problem, left_out = str(told["problem"]), dict(told["left_out"])
        except (ValueError, KeyError, TypeError):
            problem, left_out = _last(done.stderr), {}
        if problem:
            raise SetupError(
                f"The engine for NVIDIA's cards doesn't work here: {problem}\n"
                "Update NVIDIA's driver and start again, or do without the GPU: launch.sh setup "
                "--cpu."
            )
        return left_out

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = ("PYTHONPATH", "PYTHONHOME", "HEADROOM_PRESETS", "HEADROOM_VRAM_LIMIT_GIB")
        environment = {name: value for name, value in os.environ.items() if name not in kept}
        environment |= {"HEADROOM_HOME": str(self._home), "PYTHONNOUSERSITE": "1", TRIAL: "1"}
        settle_for_page(environment)  # the page's own start does that as well
        try:
            return patience.run(
                [str(self._python), *arguments],
                SECONDS,
                cwd=self._project,
                env=environment,
                text=True,
                encoding="utf-8",
                errors="replace",
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise SetupError(f"The test didn't finish within {SECONDS:.0f} s.\n{AGAIN}") from None
        except OSError as error:
            raise SetupError(f"{self._python} can't be started: {error}\n{AGAIN}") from error


AGAIN = "Try `launch.sh setup --repair`; if that fails too, its lines above say where."


def _last(text: str) -> str:
    """The line that tells most: Python's last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"no word from {Path(sys.executable).name}"
