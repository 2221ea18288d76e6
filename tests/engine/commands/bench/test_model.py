"""What a model's clips cost, and the card of it: the real small model, and figures made up."""

import getpass
import json
import platform
import signal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from PIL import Image

from engine.commands.bench import card, model, report, run
from engine.commands.bench.model import Cost, MadeClips
from engine.commands.bench.row import IDLE
from engine.commands.main import main
from engine.engine import Engine
from engine.home import Home
from engine.plan.flops import architecture_of, step_work
from engine.presets import load_presets
from engine.request import ClipRequest, Size
from engine.worker.messages import Compare
from engine.worker.process import WorkerProcess
from tests.tools.examples import looks_as_told

SIZE = Size(480, 832, 81)
LARGE = "wan2.1-t2v-14b-fp8"


def made(seconds: float) -> MadeClips:
    stages = {"load": 1.0, "encode": 0.5, "denoise": 8.0, "decode": 2.0, "save": 0.25}
    plan = {"matmul": {"value": "fp8-sgl", "reason": ""}}
    receipt = {"stages": stages, "peaks": {"denoise": 2**32}, "plan": plan, "versions": {}}
    return MadeClips(seconds, {**receipt, "request": {"prompt": "a secret"}})


def costing(**found: Any) -> Cost:
    """Figures of no card at all."""
    rates = {"matrix": 1e15, "attention": 5e14, "matrix_by": "fp8, one scale"}
    found = {"rates": rates, **found}
    preset, warm = load_presets().models[LARGE], [made(12.0), made(11.0), made(11.5)]
    return Cost(
        preset, SIZE, "A card", 2**34, "580.1", 30.0, 55.0, made(20.0), warm, made(13.0), found
    )


def test_the_work_of_a_step_is_counted_from_the_shape() -> None:
    shape = architecture_of(load_presets().models[LARGE])
    assert shape is not None
    work = step_work(shape, SIZE)
    assert work["matrix"] == pytest.approx(0.79e15, rel=0.01)
    assert work["attention"] == pytest.approx(0.89e15, rel=0.01)


def test_the_cpu_default_has_a_shape_too() -> None:
    shape = architecture_of(load_presets().default)
    assert shape is not None
    assert (shape.layers, shape.dim, shape.text_len) == (8, 256, 48)


def test_a_clip_stands_beside_lightx2v_and_a_step_beside_its_floor() -> None:
    theirs = {"seconds": 12.5, "peak": 2**33}
    step = {"busy_share": 0.95, "copy_hidden_share": 0.99}
    found = {"theirs": theirs, "step": step, "command": {"seconds": 50.0}}
    rows = {row.name: row for row in report.rows(costing(**found))}
    assert rows["process start to a clip"].ratio == pytest.approx(55 / 50)
    assert rows["a clip, warm"].value == 11.5
    assert rows["a clip, a new prompt"].ratio == pytest.approx(13 / 12.5)
    assert rows["a denoise step"].reference == pytest.approx(0.79 + 0.89 / 0.5, rel=0.01)
    assert rows["a denoise step"].reached is True
    assert rows["a transformer block"].value == 50
    assert rows[IDLE].value == 1.0, "of 11.5 s, 10.5 are the GPU's"
    assert rows[IDLE].reached is False
    assert rows["GPU busy in a step"].value == 95
    assert rows["copies hidden"].value == 99


def test_what_could_not_be_measured_is_told_or_left_out() -> None:
    cost = costing(
        rates=None,
        theirs={"failed": "The GPU's memory (VRAM) is full."},
        command={"failed": "it takes about 40 GB of RAM, 30 GB are left"},
    )
    rows = {row.name: row for row in report.rows(cost)}
    assert rows["a clip, a new prompt"].ratio is None
    assert "memory (VRAM) is full" in rows["a clip, a new prompt"].told
    assert "40 GB of RAM" in rows["process start to a clip"].told
    assert "a denoise step" not in rows
    facts = report.card(cost)
    assert facts["floor"] is facts["gpu_busy_share"] is None
    assert len(card.tiles(facts)) == 4


def test_a_quicker_attention_lowers_the_floor() -> None:
    plain, quick = report.floor(costing()), report.floor(costing(attention_times=2.0))
    assert plain is not None
    assert quick is not None
    assert quick["seconds"] < plain["seconds"]


def test_the_card_is_a_picture_of_its_size_with_nothing_of_the_users(tmp_path: Path) -> None:
    facts = report.card(costing(theirs={"seconds": 12.5, "peak": 2**33}))
    picture, numbers = card.write(facts, tmp_path)
    assert (picture.name, numbers.name) == (
        f"bench-a-card-{LARGE}.png",
        f"bench-a-card-{LARGE}.json",
    )
    with Image.open(picture) as image:
        assert image.size == (1200, 630)
        assert not image.text  # type: ignore[attr-defined]
    text = numbers.read_text(encoding="utf-8")
    assert "a secret" not in text
    assert json.loads(text)["seconds"]["step"] == 2.0


def test_a_folder_that_takes_nothing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(card.CardError, match="can't be written"):
        card.write(report.card(costing()), tmp_path / "nowhere")


@pytest.mark.starts
@pytest.mark.model
def test_the_small_model_is_measured_and_nothing_stays_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "AGAIN", 1)
    found: list[run.BenchResult] = []
    whole = run.run

    def keeping(*asked: Any) -> run.BenchResult:
        found.append(whole(*asked))
        return found[0]

    monkeypatch.setattr(run, "run", keeping)
    assert main(["bench", "--only", "model", "--json", "--out", str(tmp_path)]) == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, []), "Ctrl-C still ends it"
    told = json.loads(capfd.readouterr().out)
    rows = {row["name"]: row for row in told["rows"]}
    assert rows["a clip, cold"]["value"] > 0
    assert rows["a denoise step"]["against"] == "its floor"
    facts = Path(told["card"]["facts"]).read_text(encoding="utf-8")
    for personal in (str(tmp_path), platform.node(), getpass.getuser() + "/", "a red ball"):
        assert personal not in facts
    home = Home.find()
    assert not list(home.clips.iterdir())
    assert main(["clips", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"clips": []}
    monkeypatch.setattr(run, "run", lambda *_: found[0])
    assert main(["bench", "--only", "model"]) == 0
    assert looks_as_told("bench --only model", capfd.readouterr().out)


@pytest.mark.starts
def test_a_worker_that_dies_while_comparing_loses_no_clip(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "AGAIN", 1)
    told: list[str] = []
    request = ClipRequest.check({"prompt": "x", "model": "scripted", "seed": 1}, engine.presets)
    send = WorkerProcess.send

    def dies(child: WorkerProcess, message: object) -> None:
        if isinstance(message, Compare):
            child.process.kill()
        send(child, message)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "send", dies)
    cost = model.cost(engine, request, tmp_path, told.append)
    assert cost.warm
    assert cost.found == {}
    assert any("The comparison failed: The engine process was killed" in line for line in told)


def test_without_a_gpu_the_cpu_default_is_chosen(engine: Engine) -> None:
    request = model.choose(engine, None, lambda text: None)
    assert request.model == engine.presets.default.id
    assert request.size == Size(128, 128, 17)


def test_a_model_that_cannot_run_here_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "model", "--model", LARGE]) == 3
    assert "Wan tiny runs on any machine" in capfd.readouterr().err


def test_two_of_them_would_measure_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    with FileLock(Home.find().engine_lock):
        assert main(["bench", "--only", "mp4"]) == 2
    assert "Another Headroom is running" in capfd.readouterr().err
