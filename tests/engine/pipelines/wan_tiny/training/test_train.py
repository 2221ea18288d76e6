"""The trainer: every stage runs, keeps its checkpoint and curve, and can be resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.pipelines.wan_tiny.training import fit_flow, polish
from engine.pipelines.wan_tiny.training.bank import tokens_of
from engine.pipelines.wan_tiny.training.fit_text import fit_text
from engine.pipelines.wan_tiny.training.model import build_untrained, load
from engine.pipelines.wan_tiny.training.optim import MuonAdam
from engine.pipelines.wan_tiny.training.run import Average, Clock
from engine.pipelines.wan_tiny.training.train import main as train


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


def test_all_stages_run_once_share_the_minutes_and_are_labelled_as_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes: dict[str, float] = {}

    def standin(stage: str) -> Any:
        def fit(parts: object, out: Path, **options: Any) -> None:
            assert stage not in minutes
            minutes[stage] = options["minutes"]
            out.mkdir(exist_ok=True)
            (out / f"{stage}.pt").touch()

        return fit

    for stage in ("vae", "text", "flow"):
        monkeypatch.setattr(f"{train.__module__}.fit_{stage}", standin(stage))
    train(["--minutes", "20", "--out", str(tmp_path / "out")])
    assert list(minutes) == ["vae", "text", "flow"]
    assert sum(minutes.values()) == pytest.approx(20)
    label = json.loads((tmp_path / "out" / "wan-tiny" / "wan_tiny.json").read_text())
    assert label["trained"] is True


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest flow that is one: a step of it takes a second."""
    monkeypatch.setattr(fit_flow, "SHAPES", (((32, 32, 5), 1.0, 1.0),))
    plan = fit_flow.Plan(tokens=16, prompts=20, bank_bytes=20_000, checked=1)
    monkeypatch.setattr(fit_flow.Plan, "scaled", classmethod(lambda cls, scale: plan))


@pytest.mark.starts
@pytest.mark.usefixtures("small")
def test_text_and_flow_run_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tokens_of((32, 32, 5)) == 8
    parts, device = build_untrained(), torch.device("cpu")
    fit_text(parts, tmp_path, minutes=0.0, seed=1, device=device, examples=20)
    common = {"minutes": 0.0, "seed": 1, "device": device, "scale": 0.5}
    fit_flow.fit_flow(parts, tmp_path, **common)  # type: ignore[arg-type]
    fit_flow.fit_flow(parts, tmp_path, resume=True, **common)  # type: ignore[arg-type]
    monkeypatch.setattr(Clock, "progress", 1.0)
    fit_flow.fit_flow(parts, tmp_path / "guided", **common)  # type: ignore[arg-type]
    assert torch.load(tmp_path / "flow.pt", weights_only=True)["step"] == 2
    for name in ("text", "flow"):
        assert len((tmp_path / f"{name}.csv").read_text().splitlines()) >= 2


@pytest.mark.starts
@pytest.mark.usefixtures("small")
def test_polish_goes_on_from_a_folder_and_the_flow_from_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polish, "SHAPES", (((16, 32, 5), 2, 1.0),))
    monkeypatch.setattr(polish, "KEPT", 2)
    monkeypatch.setattr(polish, "fidelity", lambda *_: {})
    before = build_untrained(tmp_path / "start", seed=3)
    out = tmp_path / "out"
    polish.main([str(tmp_path / "start"), "--out", str(out), "--minutes", "0.01"])
    after = load(out / "wan-tiny")
    moved = after.vae.decoder.conv_out.weight - before.vae.decoder.conv_out.weight
    assert 0 < float(moved.detach().abs().max()) < 0.1
    assert after.vae.config.latents_std == before.vae.config.latents_std
    assert len((out / "polish.csv").read_text().splitlines()) >= 2
    folder = str(out / "wan-tiny")
    train(
        [
            "--stage",
            "flow",
            "--start",
            folder,
            "--begun",
            "1",
            "--minutes",
            "0",
            "--scale",
            "1e-6",
            "--out",
            str(tmp_path / "flow"),
        ]
    )
    moved_on = load(tmp_path / "flow" / "wan-tiny")
    assert torch.equal(moved_on.vae.decoder.conv_out.weight, after.vae.decoder.conv_out.weight)
    same = zip(moved_on.transformer.parameters(), after.transformer.parameters(), strict=True)
    assert not all(torch.equal(a, b) for a, b in same)


@pytest.mark.starts
@pytest.mark.usefixtures("small")
def test_a_transformer_learns_to_take_a_picture_and_is_saved_alone(tmp_path: Path) -> None:
    build_untrained(tmp_path / "wan-tiny", seed=3)
    more = ["--start", str(tmp_path / "wan-tiny"), "--begun", "1", "--minutes", "0"]
    train(["--stage", "flow", "--pictures", *more, "--scale", "1e-6", "--out", str(tmp_path)])
    saved = tmp_path / "wan-tiny-i2v"
    assert {file.name for file in saved.iterdir()} == {
        "model_index.json",
        "transformer",
        "wan_tiny.json",
    }
    after = load(saved)
    assert after.transformer.config.in_channels == 36
    vaes = [parts.vae.decoder.conv_out.weight for parts in (load(tmp_path / "wan-tiny"), after)]
    assert torch.equal(*vaes)
    seen = after.transformer.patch_embedding.weight[:, 16:]
    assert float(seen.detach().abs().max()) > 0, "it begins to look at the picture"
    (row,) = (tmp_path / "flow.csv").read_text().splitlines()[1:]
    assert len(row.split(",")) == 11, "how near the first frame came is in the curve"


def test_pictures_are_taught_to_a_finished_folder_alone(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        train(["--stage", "flow", "--pictures", "--out", str(tmp_path)])


def test_a_tensor_for_a_rate_moves_weights_as_a_number_does() -> None:
    moved = []
    for recorded in (False, True):
        torch.manual_seed(0)
        network = torch.nn.Sequential(torch.nn.Conv3d(2, 4, 3), torch.nn.Conv3d(4, 2, 1))
        optimizer = MuonAdam(network, pick=lambda _, w: w.ndim == 5, recorded=recorded)
        for _ in range(2):
            optimizer.zero_grad()
            network(torch.ones(1, 2, 3, 3, 3)).square().sum().backward()
            optimizer.step(torch.tensor(0.5) if recorded else 0.5)
        moved.append([w.detach().clone() for w in network.parameters()])
    for a, b in zip(*moved, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
