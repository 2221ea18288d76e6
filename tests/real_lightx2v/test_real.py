"""Our pipeline around the real LightX2V, tiny and on the CPU; packages.py says where it is."""

import pytest

from tests.real_lightx2v import packages
from tests.real_lightx2v.contract import Contract
from tests.real_lightx2v.packages import Package
from tests.real_lightx2v.queue import QueueContract

REAL = packages.real()
if REAL is None:
    pytest.skip(packages.WANTED, allow_module_level=True)


@pytest.fixture(scope="module")
def package() -> Package:
    assert REAL is not None
    return REAL


class TestPipeline(Contract):
    """In a process of its own."""


class TestQueue(QueueContract):
    """Through our worker and queue."""
