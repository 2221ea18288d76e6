"""Our pipeline around the double of LightX2V (tests/contract/double): what tests/contract
asserts."""

from pathlib import Path

import pytest

from tests.contract.contract import Contract
from tests.contract.packages import DOUBLE, Package
from tests.contract.queue import QueueContract

pytestmark = pytest.mark.starts


@pytest.fixture(scope="module")
def package() -> Package:
    return DOUBLE


@pytest.fixture(scope="module")
def workspace(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.write_workspace(tmp_path_factory.mktemp("workspace") / "root")


class TestPipeline(Contract):
    """In a process of its own."""


class TestQueue(QueueContract):
    """Through our worker and queue."""
