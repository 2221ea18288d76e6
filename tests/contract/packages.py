"""Where a LightX2V is: the real package, if this machine has it, or the double of
tests/contract/double."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.home import PROJECT
from tests.contract import workspace

CPU = PROJECT / "tests/contract/cpu"  # its sitecustomize prepares the CPU
WANTED = (
    "The real LightX2V can't be imported; HEADROOM_LIGHTX2V may name the folder of its source, "
    "HEADROOM_LIGHTX2V_PYTHON the Python that has its packages."
)


@dataclass(frozen=True)
class Package:
    """Folders to be found on the path after the project, and the Python that runs it."""

    folders: tuple[str, ...]
    python: str = sys.executable

    def environment(self, root: Path) -> dict[str, str]:
        """The variables under which a process finds this package and the workspace ``root``."""
        return workspace.environment(root, CPU, PROJECT, *map(Path, self.folders))

    def run(self, *arguments: str, root: Path) -> str:
        """``python -m arguments`` with this package; returns stdout."""
        done = subprocess.run(
            [self.python, "-m", *arguments],
            env={**os.environ, **self.environment(root)},
            cwd=PROJECT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def answers(self, module: str, *arguments: str, root: Path) -> list[Any]:
        """The JSON objects that ``module`` printed; the real LightX2V prints its own lines too."""
        lines = self.run(module, *arguments, root=root).splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"')]

    def write_workspace(self, root: Path) -> Path:
        self.run("tests.contract.workspace", str(root), root=root)
        return root

    def answer_cases(self, names: tuple[str, ...], root: Path) -> dict[str, dict[str, Any]]:
        """What each case of cases.py answers, all in one process: importing takes the longest."""
        module = "tests.contract.cases"
        found = self.answers(module, ",".join(names), str(root), root=root)
        return dict(zip(names, found, strict=True))

    def path(self) -> list[str]:
        """``sys.path`` for a parent of workers: a spawned child gets it, whatever PYTHONPATH says.

        This package comes before one that is installed, and behind the project.
        """
        code = "import json, sys; print(json.dumps(sys.path))"
        own = json.loads(subprocess.check_output([self.python, "-c", code], text=True))
        own = [folder for folder in own if folder not in ("", *sys.path)]
        return [str(PROJECT), *self.folders, *sys.path, *own]


def copied(workspace: Path, root: Path) -> Path:
    """``workspace`` at ``root``, where its files may be changed but what its links name may not."""
    return Path(shutil.copytree(workspace, root, symlinks=True))


DOUBLE = Package((str(PROJECT / "tests/contract/double"),))


def real() -> Package | None:
    """The real package; None where it isn't."""
    folder = os.environ.get("HEADROOM_LIGHTX2V", "").strip()
    python = os.environ.get("HEADROOM_LIGHTX2V_PYTHON", "").strip() or sys.executable
    if folder:
        return Package((folder,), python)
    spec = find_spec("lightx2v")
    if spec is None or spec.origin is None:
        return None
    return Package((str(Path(spec.origin).parents[1]),), python)
