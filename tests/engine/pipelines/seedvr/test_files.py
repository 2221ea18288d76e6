"""What a file has to hold."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.pipelines.base import PipelineError
from engine.pipelines.seedvr.files import Weights, check

CPU = torch.device("cpu")


def test_tensors_are_read_one_by_one_and_converted(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": torch.ones(2, 3, dtype=torch.float16), "y": torch.zeros(1)}, file)
    weights = Weights(file, torch.bfloat16, CPU)
    assert (weights["x"].dtype, len(weights), set(weights)) == (torch.bfloat16, 2, {"x", "y"})
    del weights["x"]
    assert "x" in weights, "LightX2V gives up what it has read; the file doesn't"
    with pytest.raises(TypeError, match="file's"):
        weights["z"] = torch.ones(1)
    check(file, {"x": (2, 3)})


def test_other_files_are_told_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": torch.ones(2, 3)}, file)
    for wanted, told in (({"y": (1,)}, "lacks y"), ({"x": (3, 2)}, "of shape .2, 3., not .3, 2.")):
        with pytest.raises(PipelineError, match=told) as refused:
            check(file, wanted)
        assert "weights pull --model seedvr2-3b" in str(refused.value.remedy)
    file.write_bytes(b"no such thing")
    with pytest.raises(PipelineError):
        check(file, {"x": (2, 3)})
    with pytest.raises(PipelineError, match="can't be read"):
        Weights(file, torch.bfloat16, CPU)
    with pytest.raises(PipelineError):
        Weights(tmp_path / "none.safetensors", torch.bfloat16, CPU)
