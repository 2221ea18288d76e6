"""Our pipeline around the real LightX2V, tiny and on the CPU; packages.py says where it is."""

from pathlib import Path

import pytest

from tests.contract import packages
from tests.contract.contract import Answers, Contract, Found
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


class TestSeedVr(Answers):
    """SeedVR2's network and VAE, of which there is no double: it would be one of ours."""

    cases = ("enlarges", "pieces", "step", "other_files")

    @pytest.mark.parametrize("case", cases)
    def test_no_case_crashes(self, found: Found, case: str) -> None:
        assert "crashed" not in found[case], found[case]["crashed"]

    def test_a_clip_is_made_larger_and_a_cancel_leaves_nothing(self, found: Found) -> None:
        made = found["enlarges"]
        assert made["shape"] == [7, 64, 90, 3]
        assert made["stages"] == [["encode", 0], ["denoise", 1], ["decode", 0]]
        assert made["looks"] == 2 + 4 + 2, "pieces, blocks, pieces"
        assert made["ended"] == ["Cancelled"]
        assert made["same"]
        assert not made["other_seed"]

    def test_the_vae_in_pieces_is_to_the_bit_lightx2vs_own(self, found: Found) -> None:
        pieces = found["pieces"]
        assert pieces["encoded"]
        assert pieces["decoded"]
        assert pieces["tiles"] == [3, 13, 64, 96]
        assert pieces["finite"]
        assert pieces["looks"][0] == 0
        assert pieces["looks"][1] < 1
        assert pieces["left"] == 0, "of what it kept of frames"

    def test_the_network_is_lightx2vs_own_but_for_what_was_wrong(self, found: Found) -> None:
        step = found["step"]
        assert step["modulated"] == [True] * 4
        assert step["blocks"] == 4
        assert step["finite"]
        assert step["same"]
        assert step["of_what_it_saw"], "what it leaves is less the noise as it saw it"
        assert step["listens"]
        assert step["grouped"] == pytest.approx(1, abs=1e-3)
        assert step["handlers"] == 0

    def test_another_file_is_told(self, found: Found) -> None:
        other = found["other_files"]
        assert "has positive_conditioning of shape [58, 512], not [58, 5120]" in other["small"]
        assert "lacks positive_conditioning" in other["swapped"]
        assert "lacks encoder.conv_in.weight" in other["lacks"]
