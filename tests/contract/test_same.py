"""The double against the real LightX2V: all that we use is in both, and so are the faults."""

from typing import Any

import pytest

from tests.contract import packages
from tests.contract.packages import DOUBLE

REAL = packages.real()
if REAL is None:
    pytest.skip(packages.WANTED, allow_module_level=True)
FAULTS = ("unrepaired", "video_length", "image_encoder", "token_embedding", "missing_bias")

Both = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Of the real package and of the double."""
    assert REAL is not None
    found = []
    for package in (REAL, DOUBLE):
        root = package.write_workspace(tmp_path_factory.mktemp("surface") / "root")
        module = "tests.contract.surface"
        (surface,) = package.answers(module, str(root), root=root)
        found.append(surface | package.answer_cases(FAULTS, root))
    return found[0], found[1]


def test_both_have_every_name_that_we_import(surfaces: Both) -> None:
    for surface in surfaces:
        assert len(surface["names"]) > 8
        assert [name for name, there in surface["names"].items() if not there] == []


def test_both_have_every_attribute_and_of_the_same_kind(surfaces: Both) -> None:
    real, double = (surface["attributes"] for surface in surfaces)
    assert "missing" not in real.values()
    assert double == real


def test_both_take_what_we_pass(surfaces: Both) -> None:
    for surface in surfaces:
        assert surface["refused"] == {}


@pytest.mark.parametrize("case", FAULTS)
def test_both_show_the_same_faults(surfaces: Both, case: str) -> None:
    real, double = (
        {name: bool(value) for name, value in surface[case].items()} for surface in surfaces
    )
    assert "crashed" not in real
    assert double == real
