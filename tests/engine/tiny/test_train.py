"""The trainer: every stage runs, keeps its checkpoint and curve, and can be resumed."""

from pathlib import Path

import pytest
import torch

from engine.tiny import fit_flow
from engine.tiny.bank import tokens_of
from engine.tiny.fit_distil import fit_distil
from engine.tiny.fit_text import fit_text
from engine.tiny.model import build_untrained
from engine.tiny.run import Average, Clock


def test_the_rate_warms_up_and_ends_near_zero() -> None:
    clock = Clock(minutes=1.0, spent=60.0)
    assert clock.rate(1.0, 1000) == pytest.approx(0.01)
    assert Clock(minutes=1.0).rate(1.0, 0, warmup=100) == pytest.approx(0.01)
    assert list(clock.steps(7)) == [7]


def test_averaged_weights_swap_in_and_out() -> None:
    layer = torch.nn.Linear(2, 2)
    average = Average(layer, 0.5)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    average.update()
    average.swap()
    assert bool((layer.weight < before + 1).all())
    average.swap()
    assert torch.allclose(layer.weight, before + 1)


def test_text_flow_and_distil_run_and_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = (((32, 32, 5), 1.0, 1.0),)
    monkeypatch.setattr(fit_flow, "SHAPES", small)
    plan = fit_flow.Plan(tokens=16, prompts=20, bank_bytes=20_000, checked=1)
    monkeypatch.setattr(fit_flow.Plan, "scaled", classmethod(lambda cls, scale: plan))
    assert tokens_of((32, 32, 5)) == 8
    parts, device = build_untrained(), torch.device("cpu")
    fit_text(parts, tmp_path, minutes=0.0, seed=1, device=device, examples=20)
    common = {"minutes": 0.0, "seed": 1, "device": device, "scale": 0.5}
    fit_flow.fit_flow(parts, tmp_path, **common)  # type: ignore[arg-type]
    fit_flow.fit_flow(parts, tmp_path, resume=True, **common)  # type: ignore[arg-type]
    monkeypatch.setattr(Clock, "progress", 1.0)
    fit_flow.fit_flow(parts, tmp_path / "guided", **common)  # type: ignore[arg-type]
    assert torch.load(tmp_path / "flow.pt", weights_only=True)["step"] == 2
    fit_distil(parts, tmp_path, **common)  # type: ignore[arg-type]
    for name in ("text", "flow", "distil"):
        assert len((tmp_path / f"{name}.csv").read_text().splitlines()) >= 2
