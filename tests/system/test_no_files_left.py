"""The engine while its process may open no more files, and afterwards."""

import os
import sys

import pytest

from engine.engine import Engine
from engine.jobs import State
from tests.conftest import Ask, finish, wait_until

resource = pytest.importorskip("resource")
pytestmark = [
    pytest.mark.starts,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]


def test_the_engine_goes_on_once_files_can_be_opened_again(engine: Engine, ask: Ask) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    job = engine.submit(ask("a ball"))
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        engine.start()
        wait_until(lambda: engine.faults.text(), "that it is told")
        assert not engine.jobs.get(job.id).state.final
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert finish(engine, job).state is State.DONE
