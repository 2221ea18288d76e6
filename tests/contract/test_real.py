"""Our pipeline around the real LightX2V, tiny and on the CPU; packages.py says where it is."""

from pathlib import Path

import pytest

from tests.contract import packages
from tests.contract.contract import Contract
from tests.contract.packages import Package
from tests.contract.queue import QueueContract

REAL = packages.real()
if REAL is None:
    pytest.skip(packages.WANTED, allow_module_level=True)


@pytest.fixture(scope="module")
def package() -> Package:
    assert REAL is not None
    return REAL


@pytest.fixture(scope="module")
def workspace(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.write_workspace(tmp_path_factory.mktemp("workspace") / "root")


class TestPipeline(Contract):
    """In a process of its own."""


class TestQueue(QueueContract):
    """Through our worker and queue."""
