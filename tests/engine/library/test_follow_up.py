"""What follows a clip by itself."""

import pytest

from engine.engine import Engine
from engine.jobs import Jobs, State
from engine.library.files import Identity
from engine.library.follow_up import FollowUp, from_text
from engine.library.versions import Changers
from engine.presets import Presets
from engine.request import ClipRequest
from tests.conftest import Ask, finish, wait_until
from tests.support.clipfiles import receipt

DIGEST = "a" * 64


def test_a_version_is_queued_with_the_clip_s_row_and_once(jobs: Jobs, ask: Ask) -> None:
    then = FollowUp("smooth", 24, 8)
    (job,) = jobs.add_all([ask("a red ball", seed=3)], follows=[then])
    assert jobs.get(job.id).follows == then
    jobs.claim(job.id)
    for _ in range(2):  # whoever owes the step may take it twice
        jobs.finish(job.id, "a.mp4", receipt("a red ball", seed=3), Identity((1, 1), DIGEST))
    (waiting,) = jobs.waiting()
    assert waiting.request.to_json() == {
        "prompt": "a red ball",
        "height": 32,
        "width": 48,
        "frames": 15,
        "seed": 3,
        "model": "smooth",
        "source": DIGEST,
        "fps": 24,
    }
    assert waiting.follows is None


def test_of_a_clip_that_goes_on_from_another_the_whole_counts(jobs: Jobs, ask: Ask) -> None:
    (job,) = jobs.add_all([ask()], follows=[FollowUp("smooth", 16, 8)])
    jobs.claim(job.id)
    jobs.finish(job.id, "a.mp4", receipt() | {"frames": 9}, Identity((1, 1), DIGEST))
    assert jobs.waiting()[0].request.frames == 18


def test_nothing_follows_what_is_too_long_for_it(jobs: Jobs, ask: Ask) -> None:
    (job,) = jobs.add_all([ask()], follows=[FollowUp("smooth", 16, 8)])
    jobs.claim(job.id)
    jobs.finish(job.id, "a.mp4", receipt() | {"frames": 241}, Identity((1, 1), DIGEST))
    assert jobs.get(job.id).state is State.DONE
    assert jobs.waiting() == []


def test_a_larger_version_follows_and_may_be_smoother_too(presets: Presets) -> None:
    scripted = presets.models["scripted"]
    both = FollowUp.of(scripted, Changers.of(presets), 24, 1080)
    assert both == FollowUp("smooth", 24, 8, 1080, "enlarge")
    assert FollowUp.of(scripted, Changers.of(presets), 8, 1080) == FollowUp(
        "smooth", 0, 8, 1080, "enlarge"
    )
    assert both is not None
    kept = from_text(both.to_row())
    assert kept == both
    asked = both.request(receipt(height=64, width=96), DIGEST)
    assert asked is not None
    assert (asked.model, asked.fps, asked.height, asked.width) == ("enlarge", 24, 1080, 1620)
    assert ClipRequest.check(asked.to_json(), presets) == asked
    large = both.request(receipt(height=1088, width=1920), DIGEST)
    assert large is not None
    told = large.model, large.fps, large.height
    assert told == ("smooth", 24, 1088), "as large already, but smoother"
    alone = FollowUp("smooth", 0, 8, 1080, "enlarge")
    assert alone.request(receipt(height=1088, width=1920), DIGEST) is None


def test_what_the_version_before_queued_is_read(presets: Presets) -> None:
    assert from_text('{"model": "smooth", "fps": 24, "rate": 8}') == FollowUp("smooth", 24, 8)


def test_nothing_follows_what_wasnt_made_or_has_as_many(
    jobs: Jobs, ask: Ask, presets: Presets
) -> None:
    scripted = presets.models["scripted"]
    assert FollowUp.of(scripted, Changers.of(presets), 8) is None
    assert FollowUp.of(scripted, Changers.of(presets), 24) == FollowUp("smooth", 24, 8)
    (job,) = jobs.add_all([ask()], follows=[FollowUp("smooth", 24, 8)])
    jobs.cancel(job.id)
    assert jobs.waiting() == []
    again = jobs.again(job.id)
    assert again.follows == FollowUp("smooth", 24, 8), "as it was asked for"


@pytest.mark.starts
def test_two_clips_and_their_versions(engine: Engine, ask: Ask) -> None:
    engine.start()
    first, second = engine.submit_all([ask("one"), ask("two")], smooth=24)
    assert finish(engine, second).state is State.DONE
    wait_until(lambda: len(engine.library.newest()) == 4, "two clips and their versions")
    made = [(clip.request.prompt, clip.fps) for clip in reversed(engine.library.newest())]
    assert sorted(made[:2]) == [("one", None), ("two", None)], "all clips first"
    assert sorted(made[2:]) == [("one", 24), ("two", 24)]
    source = engine.library.of_job(first.id)
    assert source is not None
    assert source.identity.digest in [c.request.source for c in engine.library.newest()]
