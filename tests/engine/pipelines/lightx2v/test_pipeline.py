"""Our pipeline around the double of LightX2V (tests/contract/double): what tests/contract
asserts."""

import pytest

from tests.contract.contract import Contract
from tests.contract.packages import DOUBLE, Package
from tests.contract.queue import QueueContract

pytestmark = pytest.mark.starts


@pytest.fixture(scope="module")
def package() -> Package:
    return DOUBLE


class TestPipeline(Contract):
    """In a process of its own."""


class TestQueue(QueueContract):
    """Through our worker and queue."""
