"""What a station keeps of another machine's clips."""

from dataclasses import replace

from engine.errands import Errands
from engine.home import Home
from engine.jobs import Jobs
from tests.conftest import Ask

DIGEST = "a" * 64


def test_a_clip_that_two_jobs_need_stays_until_both_are_over(jobs: Jobs, ask: Ask) -> None:
    home = Home.find()
    home.create()
    errands = Errands(home, jobs)
    asked = [replace(ask(), model="smooth", source=DIGEST, fps=fps) for fps in (32, 60)]
    keys = "b" * 64, "c" * 64
    for key, request in zip(keys, asked, strict=True):
        errands.add(key, request, 1, "clip", True, ("share.head", "head"), "", "here")
    source = home.root / "source.mp4"
    source.write_bytes(b"a clip")
    errands.bring(DIGEST, source, {})
    for key in keys:
        assert errands.brought(DIGEST) is not None
        job = errands.find(key)
        assert job is not None
        jobs.cancel(job.id)
        errands.forget(key)
    assert errands.brought(DIGEST) is None
