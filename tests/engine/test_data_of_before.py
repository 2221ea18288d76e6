"""People keep their data: what an earlier version wrote means the same to this one.

tests/fixtures/data-of-VERSION was written by that version, and its ``expected.json`` holds what it
told of it (tests/tools/make_data_folder.py). If one of these fails, people who update lose that:
the program is to be mended, not the folder. Only what is changed on purpose, for them, is changed
there by hand: a preset's figure, a sentence of a verdict.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.doctor.gpu import kept_trials
from engine.engine import Engine
from engine.jobs import State
from engine.library.library import Query
from engine.library.mp4 import ClipError, read_receipt
from engine.library.receipt import asked_again, checked
from engine.pipelines.lightx2v import kernels
from engine.plan.choice import values
from engine.request import ClipRequest, Size
from tests.conftest import finish
from tests.support.data_of_before import (
    COMPUTERS,
    FIXTURES,
    LARGE,
    MODELS,
    OFFICE,
    TINY,
    WORKSHOP,
    opened,
    recovered,
    settled_by_kernels,
    states,
    told_of_computer,
    told_of_folder,
    told_of_queue,
    unpack,
    with_gpu,
)

Told = dict[str, Any]


@pytest.fixture(params=sorted(FIXTURES.glob("data-of-*")), ids=lambda folder: folder.name)
def kept(request: pytest.FixtureRequest) -> Path:
    """A folder as that version left it."""
    return Path(request.param)


@pytest.fixture
def before(kept: Path) -> Told:
    return dict(json.loads((kept / "expected.json").read_text(encoding="utf-8")))


@pytest.fixture
def home(kept: Path, tmp_path: Path) -> Path:
    """A copy to work on, where umlauts and spaces are in its path."""
    return unpack(kept, tmp_path / "Daten von früher")


def stored_fingerprints(engine: Engine) -> set[tuple[str, str]]:
    rows = engine.jobs.store.rows("select distinct model, fingerprint from measurements")
    return {(row["model"], row["fingerprint"]) for row in rows}


def assert_same(now: Told, before: Told) -> None:
    """Topic by topic, so that a failure names the first that differs: the others follow from it."""
    for model in MODELS:
        for topic in now[model]:
            assert now[model][topic] == before[model].get(topic), f"{topic} of {model}"
    assert now == before


# ---- measurements --------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPUTERS)
def test_fingerprints_are_the_same_byte_for_byte(home: Path, before: Told, name: str) -> None:
    with opened(home, COMPUTERS[name]) as engine:
        now = {model: engine.lane.guard.fingerprint(model) for model in MODELS}
        assert now == {model: before["computers"][name][model]["fingerprint"] for model in MODELS}
        found = now.items() & stored_fingerprints(engine)
    assert {model for model, _ in found} == {
        model for model in MODELS if before["computers"][name][model]["measurements"]
    }


@pytest.mark.parametrize("name", COMPUTERS)
def test_what_was_open_is_open_and_runs_as_it_ran(home: Path, before: Told, name: str) -> None:
    """Plans, measurements, verdicts with their reasons and peaks, and how long each size takes."""
    with opened(home, COMPUTERS[name]) as engine:
        assert_same(told_of_computer(engine), before["computers"][name])


def test_the_folder_speaks_of_every_verdict(before: Told) -> None:
    """A folder in which nothing was ever locked would not notice that something is."""
    found = {
        verdict["word"]
        for computer in before["computers"].values()
        for model in computer.values()
        for verdict in model["verdicts"].values()
    }
    assert found == {"open", "busy", "locked", "impossible"}


def test_runs_of_an_earlier_plan_count_when_it_is_back(home: Path, before: Told) -> None:
    with opened(home, WORKSHOP) as engine:
        engine.plans.reset(LARGE, "rope_chunk")
        assert_same(told_of_computer(engine), before["without the user's choice"])


@pytest.mark.parametrize(
    ("name", "model", "size"),
    [("office", TINY, Size(64, 64, 9)), ("workshop", LARGE, Size(480, 832, 81))],
)
def test_a_run_of_today_joins_those_of_before(
    home: Path, name: str, model: str, size: Size
) -> None:
    with opened(home, COMPUTERS[name]) as engine:
        guard, known = engine.lane.guard, stored_fingerprints(engine)

        def runs() -> int:
            rows = guard.rows(model)
            return next(r.runs for r in rows if r.measurement.size == size and r.measurement.ran)

        earlier = runs()
        plan = engine.plans.plan(model)
        guard.record(1, "clip", model, size, "ok", {"denoise": 2**30}, {"denoise": 2.0}, plan)
        assert runs() == earlier + 1
        assert stored_fingerprints(engine) == known


# ---- kernels -------------------------------------------------------------------------------


def test_kernels_that_were_tried_are_not_tried_again(
    home: Path, before: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def attempt(*about: object) -> float:
        if "-fused-" in str(about[0]):  # a kernel that 0.1.0 hadn't
            raise ImportError
        tried.append(about)
        return 1.0

    def without(_: object) -> float:
        raise ImportError

    monkeypatch.setattr(kernels, "try_norms", without)
    for name in ("try_matmul", "try_attention", "try_modulation", "attention_speed"):
        monkeypatch.setattr(kernels, name, attempt)
    plan = settled_by_kernels(home, monkeypatch)
    assert tried == []
    assert values(plan) == before["kernels"]["runs"]
    file = home / "cache" / "kernels.json"
    assert kept_trials(with_gpu(WORKSHOP), file) == before["kernels"]["kept"]


# ---- clips, settings, weights ----------------------------------------------------------------


def test_clips_queue_settings_and_weights_are_all_there(home: Path, before: Told) -> None:
    with opened(home, WORKSHOP) as engine:
        now = told_of_folder(engine)
    for topic in before["folder"]:
        assert now[topic] == before["folder"][topic], topic
    assert now == before["folder"]


def test_the_receipts_in_the_clips_are_read_and_can_be_asked_for_again(home: Path) -> None:
    with opened(home, OFFICE) as engine:
        library, without = engine.library, []
        clips = library.page(Query()).clips + library.page(Query(trash=True)).clips
        for clip in clips:
            try:
                receipt = read_receipt(library.place(clip))
            except ClipError:
                without.append(clip.file)
                continue
            # One that came by hand is kept as far as it was understood.
            assert clip.receipt == (receipt if clip.job else checked(receipt, clip.file))
            again = ClipRequest.check(asked_again(checked(receipt, clip.file)), engine.presets)
            assert again == clip.request
        assert len(clips) - len(without) >= 3
        assert without == ["00003-a-blue-star-moves-up-over-white-seed41.mp4"], "made so"


@pytest.mark.starts
def test_a_clip_comes_back_from_the_trash_and_a_scan_finds_nothing_new(home: Path) -> None:
    with opened(home, OFFICE) as engine:
        library = engine.library
        (clip,) = library.page(Query(trash=True)).clips
        library.restore(clip.id)
        assert clip.file in [found.file for found in library.newest()]
        assert (home / "clips" / clip.file).is_file()
        found = engine.folder_sync.scan()
        assert (found.added, found.changed, found.refused, found.problem) == (0, 0, (), "")


def test_whether_clips_hold_their_receipt_is_still_as_it_was_set(home: Path) -> None:
    from ui.tabs.batch import embeds

    with opened(home, OFFICE) as engine:
        assert embeds(engine) is False


# ---- the queue -----------------------------------------------------------------------------


def test_the_queue_goes_on_after_a_power_cut(home: Path, before: Told) -> None:
    """What waited waits, what ran waits again, and a clip that was whole is in the library."""
    with opened(home, OFFICE) as engine:
        recovered(engine)
        now = {
            "waiting": told_of_queue(engine)["waiting"],
            "states": states(engine),
            "clips": [clip.file for clip in engine.library.newest()],
        }
        for topic in before["recovered"]:
            assert now[topic] == before["recovered"][topic], topic
        whole = engine.library.last_made()
        assert whole is not None
        assert read_receipt(engine.library.place(whole)) == whole.receipt


@pytest.mark.starts
@pytest.mark.model
def test_a_clip_that_waited_is_made(home: Path) -> None:
    """By the real model; its measurement is one more of the same fingerprint."""
    with opened(home, OFFICE) as engine:
        known = stored_fingerprints(engine)
        job = next(job for job in engine.jobs.waiting() if job.request.model == TINY)
        engine.start(only=job.id)
        done = finish(engine, job, 120)
        assert (done.state, done.seed) == (State.DONE, job.seed), done.note
        clip = engine.library.of_job(job.id)
        assert clip is not None
        assert clip.request == job.request
        assert len(engine.guard.of_job(job.id)) == 1
        assert stored_fingerprints(engine) == known
