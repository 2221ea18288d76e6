"""Our pipeline around the double of LightX2V (tests/double): what tests/real_lightx2v asserts."""

import pytest

from tests.real_lightx2v.contract import Contract
from tests.real_lightx2v.packages import DOUBLE, Package
from tests.real_lightx2v.queue import QueueContract


@pytest.fixture(scope="module")
def package() -> Package:
    return DOUBLE


class TestPipeline(Contract):
    """In a process of its own."""


class TestQueue(QueueContract):
    """Through our worker and queue."""
