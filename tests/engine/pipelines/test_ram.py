"""What loading the 14B does where RAM is short for the moment."""

from dataclasses import replace

import pytest

from engine.machine.memory import sample_host
from engine.pipelines.base import OutOfMemory, PipelineError
from engine.pipelines.lightx2v.loading import check_ram
from engine.plan.make import make_plan
from engine.presets import load_presets
from tests.support.machines import GIB, LINUX

FP8 = load_presets().models["wan2.1-t2v-14b-fp8"]


@pytest.mark.parametrize(("free", "enough"), [(30, True), (20, False)])
def test_what_others_hold_now_is_told_and_changes_no_plan(
    free: int, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OutOfMemory would settle a smaller way for good."""
    plan = make_plan(LINUX, FP8)
    ram = replace(sample_host(None), available=free * GIB)
    monkeypatch.setattr("engine.pipelines.lightx2v.loading.sample_host", lambda _: ram)
    if enough:
        check_ram(plan, FP8)
        return
    with pytest.raises(PipelineError, match=r"22\.8 GB of RAM; only 20\.0 GB is left") as told:
        check_ram(plan, FP8)
    assert not isinstance(told.value, OutOfMemory)
    assert "Close other programs" in str(told.value.remedy)
