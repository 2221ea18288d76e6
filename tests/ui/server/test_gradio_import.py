"""Gradio is imported for a page, not for an editor: in processes of their own, as it is imported
once in each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.home import PROJECT

pytestmark = pytest.mark.starts

OWN = "from ui.server.gradio_import import import_gradio; import_gradio(mcp={mcp})"
SOMEBODYS = "import gradio\n\nclass Somebodys(gradio.HTML):\n    pass\n"
# A component of somebody's own, whose stub Gradio would write beside it; what each class has; and
# whether what was hidden can be had afterwards.
LOOK = """
import json, sys
import gradio
sys.path.insert(0, sys.argv[1])
import somebodys
kinds = {name: sorted(dir(kind)) for name, kind in vars(gradio).items() if isinstance(kind, type)}
early = "mcp" in sys.modules
import mcp
print(json.dumps({"kinds": kinds, "mcp": early, "components": len(gradio.components.__all__)}))
"""


def look(folder: Path, first: str) -> dict[str, object]:
    """What ``LOOK`` tells after ``first``; a stub is in ``folder`` if one was written."""
    folder.mkdir()
    (folder / "somebodys.py").write_text(
        "import gradio\n\nclass Somebodys(gradio.HTML):\n    pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{first}\n{LOOK}", folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
    )
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_no_stub_is_written_and_every_class_is_as_ever(tmp_path: Path) -> None:
    plain = look(tmp_path / "plain", "")
    ours = look(tmp_path / "ours", OWN.format(mcp=False))
    served = look(tmp_path / "served", OWN.format(mcp=True))
    assert (tmp_path / "plain/somebodys.pyi").exists(), (
        "Gradio writes none any more: leave ours out"
    )
    assert not (tmp_path / "ours/somebodys.pyi").exists()
    assert not (tmp_path / "served/somebodys.pyi").exists()
    assert ours["kinds"] == plain["kinds"] == served["kinds"]
    assert (plain["mcp"], ours["mcp"], served["mcp"]) == (True, False, True)
