"""What our worker and queue have to do with LightX2V in them, the real one or its double."""

import multiprocessing.spawn
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.lora_file import AdapterError
from engine.commands.bench import card, model, report
from engine.engine import Engine
from engine.home import Home
from engine.jobs import Job, Jobs, State
from engine.presets import load_presets
from engine.request import Adapter, ClipRequest
from engine.store import Store
from engine.weights.checkpoint import WeightsMissing
from tests.conftest import finish, wait_until
from tests.contract.lora_files import lora, write
from tests.contract.packages import Package, copied

PROMPT = "a red ball moves left"
SECONDS = 120  # a busy machine takes its time to import the real package


@dataclass
class RunningEngine:
    """An engine, and the file whose text asks its worker for a fault (cpu_platform.py)."""

    engine: Engine
    fault: Path

    def submit(
        self,
        model: str = "tiny-fp8",
        size: tuple[int, int, int] = (64, 96, 9),
        fault: str = "",
        adapters: tuple[Adapter, ...] = (),
    ) -> Job:
        height, width, frames = size
        self.fault.unlink(missing_ok=True)
        if fault:
            self.fault.write_text(fault, encoding="utf-8")
        request = ClipRequest(PROMPT, height, width, frames, 7, model, adapters=adapters)
        return self.engine.submit(request)

    def finish(self, job: Job) -> Job:
        return finish(self.engine, job, SECONDS)

    def clip(self, **asked: Any) -> dict[str, Any]:
        """The receipt of a clip that has to be made."""
        job = self.finish(self.submit(**asked))
        assert job.state is State.DONE, job.note
        clip = self.engine.library.of_job(job.id)
        assert clip is not None
        return clip.receipt

    @property
    def pid(self) -> int | None:
        return self.engine.status().worker_pid


class QueueContract:
    """``package`` and ``workspace`` are fixtures beside each subclass. One worker goes through all
    of it."""

    @pytest.fixture(autouse=True)
    def _own_home(self) -> None:
        """In place of conftest.py's: the class has one for all its tests."""

    @pytest.fixture(scope="class")
    @classmethod
    def running(
        cls, package: Package, workspace: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[RunningEngine]:
        folder = tmp_path_factory.mktemp("queue")
        root, fault = copied(workspace, folder / "root"), folder / "fault"
        executable = multiprocessing.spawn.get_executable()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in package.environment(root).items():
                patch.setenv(name, value)
            patch.setenv("HEADROOM_TEST_FAULT", str(fault))
            patch.setattr(sys, "path", package.path())
            multiprocessing.spawn.set_executable(package.python)
            store = Store(Home.find().database)
            engine = Engine(Home.find(), load_presets(), Jobs(store))
            engine.start()
            try:
                yield RunningEngine(engine, fault)
            finally:
                engine.close()
                store.close()
                multiprocessing.spawn.set_executable(executable)

    @pytest.fixture(scope="class")
    @classmethod
    def first(cls, running: RunningEngine) -> dict[str, Any]:
        """The receipt of the clip that all others are compared with."""
        return running.clip()

    def test_the_receipt_tells_plan_stages_and_peaks(self, first: dict[str, Any]) -> None:
        plan = first["plan"]
        assert plan["precision"]["value"] == "fp8"
        assert plan["attention"]["value"] == "torch_sdpa"
        assert plan["matmul"]["value"] == "fp8-torchao"
        assert plan["offload"]["value"] == "block"
        assert plan["modulation"]["value"] == "torch"
        assert all(choice["reason"] for choice in plan.values())
        assert set(first["stages"]) == {"load", "encode", "denoise", "decode", "save"}
        assert set(first["peaks"]) == {"encode", "denoise", "decode"}
        assert first["stages"]["load"] > 0

    def test_another_size_needs_no_other_worker(
        self, running: RunningEngine, first: dict[str, Any]
    ) -> None:
        pid = running.pid
        other = running.clip(size=(96, 64, 5))
        again = running.clip()
        assert running.pid == pid
        assert other["frames_sha256"] != first["frames_sha256"] == again["frames_sha256"]
        assert again["stages"]["load"] == 0

    def test_loras_are_in_the_receipt_and_leave_nothing(
        self, running: RunningEngine, first: dict[str, Any]
    ) -> None:
        store = running.engine.adapters
        write(store.folder / "first.safetensors", lora(11), "kohya")
        adapters = store.find("first").adapters(0.5)
        pid = running.pid
        receipt = running.clip(adapters=adapters)
        known = {"sha256": adapters[0].sha256, "strength": 0.5}
        assert receipt["request"]["adapters"] == [known]
        assert receipt["adapters"] == [known | {"name": "first"}]
        assert receipt["stages"]["load"] > 0, "merging counts as loading"
        assert receipt["frames_sha256"] != first["frames_sha256"]
        assert running.clip()["frames_sha256"] == first["frames_sha256"]
        assert running.pid == pid
        store.remove(store.find("first"))
        with pytest.raises(AdapterError, match=r"isn't in .* any more"):
            running.submit(adapters=adapters)

    def test_a_cancel_inside_a_step_leaves_nothing(
        self, running: RunningEngine, first: dict[str, Any]
    ) -> None:
        pid = running.pid
        job = running.submit(fault="block slow")

        def in_the_second_step() -> bool:
            progress = running.engine.status().progress
            return progress is not None and progress.stage == "denoise" and progress.fraction > 0.3

        wait_until(in_the_second_step, "the second step", SECONDS)
        running.engine.cancel(job.id)
        assert running.finish(job).state is State.CANCELLED
        assert running.clip()["frames_sha256"] == first["frames_sha256"]
        assert running.pid == pid

    @pytest.mark.parametrize("place", ["block", "decode"])
    def test_an_exception_leaves_nothing(
        self, running: RunningEngine, first: dict[str, Any], place: str
    ) -> None:
        pid = running.pid
        failed = running.finish(running.submit(fault=f"{place} bug"))
        assert failed.state is State.FAILED
        assert "ValueError: injected" in str(failed.note)
        assert running.clip()["frames_sha256"] == first["frames_sha256"]
        assert running.pid == pid

    @pytest.mark.parametrize(("place", "stage"), [("block", "denoising"), ("decode", "decoding")])
    def test_after_an_out_of_memory_comes_another_worker(
        self, running: RunningEngine, first: dict[str, Any], place: str, stage: str
    ) -> None:
        pid = running.pid
        wide = {"block": 128, "decode": 112}[place]  # the guard closes what failed, and larger
        failed = running.finish(running.submit(size=(64, wide, 9), fault=f"{place} oom"))
        assert failed.state is State.FAILED
        assert "VRAM" in str(failed.note)
        assert stage in str(failed.note)
        assert "smaller size" in str(failed.remedy)
        assert running.clip()["frames_sha256"] == first["frames_sha256"]
        assert running.pid != pid

    def test_the_other_layout_makes_the_same_clip(
        self, running: RunningEngine, first: dict[str, Any]
    ) -> None:
        single = running.clip(model="tiny-fp8-single")
        assert single["frames_sha256"] == first["frames_sha256"]
        assert single["model"] == "tiny-fp8-single"

    def test_the_benchmark_holds_it_against_its_own_way(
        self, running: RunningEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a GPU the same orders bring its busy share and the copies that are hidden."""
        monkeypatch.setattr(model, "AGAIN", 1)
        running.fault.unlink(missing_ok=True)
        request = ClipRequest(PROMPT, 64, 96, 9, 7, "tiny-fp8-text")
        cost = model.cost(running.engine, request, tmp_path, lambda text: None)
        assert cost.fresh is not None
        assert cost.fresh.receipt["request"]["prompt"] != cost.cold.receipt["request"]["prompt"]
        assert "failed" not in cost.found["theirs"], cost.found["theirs"]
        assert cost.found["theirs"]["seconds"] > 0
        assert "failed" not in cost.found["command"], cost.found["command"]
        assert cost.found["rates"]["matrix_by"] in ("fp8, a scale a row", "fp8, one scale", "bf16")
        rows = {row.name: row for row in report.rows(cost)}
        assert rows["a clip, a new prompt"].ratio is not None
        assert rows["process start to a clip"].ratio is not None
        assert rows["a denoise step"].ratio is not None
        assert "GPU busy in a step" not in rows
        picture, _ = card.write(report.card(cost), tmp_path)
        assert picture.read_bytes().startswith(b"\x89PNG")

    def test_missing_weights_are_named_with_where_to_get_them(self, running: RunningEngine) -> None:
        weights = running.engine.home.weights / "tiny-lost"
        (weights / "Wan2.1_VAE.pth").unlink(missing_ok=True)
        waiting = len(running.engine.jobs.waiting())
        with pytest.raises(
            WeightsMissing, match=r"Missing: the VAE \(Wan2.1_VAE.pth of tests/tiny"
        ):
            running.submit(model="tiny-lost")
        assert len(running.engine.jobs.waiting()) == waiting

    def test_files_of_another_precision_are_refused_unread(self, running: RunningEngine) -> None:
        failed = running.finish(running.submit(model="tiny-mistaken"))
        assert failed.state is State.FAILED
        assert "transformer.safetensors" in str(failed.note)
        assert "F8_E4M3, and BF16 is expected" in str(failed.note)
        assert "weights pull" in str(failed.remedy)
