"""Which GPU is meant: HEADROOM_GPU and CUDA_VISIBLE_DEVICES, without any driver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.machine.cards import Absent, Card, choose
from engine.text import NOTHING, Text

MIB = 2**20
SMALL = Card(0, "GPU-11112222-0000", "RTX 3060", 12_288 * MIB)
LARGE = Card(1, "GPU-11113333-0000", "RTX 4060 Ti", 16_380 * MIB)
TWIN = Card(2, "GPU-44445555-0000", "RTX 4060 Ti", 16_380 * MIB)
CARDS = [SMALL, LARGE, TWIN]


@pytest.mark.parametrize(
    ("wanted", "visible", "chosen"),
    [
        ("", None, LARGE),
        ("0", None, SMALL),
        (" 2 ", None, TWIN),
        ("GPU-11112222-0000", None, SMALL),
        ("gpu-4444", None, TWIN),
        ("", "0", SMALL),
        ("", "0,2", TWIN),
        ("", "2,1", TWIN),
        ("", "GPU-1111222", SMALL),
        ("0", "1,0", SMALL),
        ("", "0,-1,1", SMALL),  # CUDA stops at the first that is none
        ("", "0,9,1", SMALL),
        ("", "0, GPU-1111, 1", SMALL),
    ],
)
def test_the_gpu_that_is_meant(wanted: str, visible: str | None, chosen: Card) -> None:
    assert choose(CARDS, wanted, visible) == (chosen, NOTHING)


@pytest.mark.parametrize(
    ("wanted", "visible", "chosen", "words"),
    [
        ("7", None, LARGE, "HEADROOM_GPU=7 isn't a GPU of this machine, so GPU 1 (RTX 4060 Ti)"),
        ("GPU-1111", None, LARGE, "HEADROOM_GPU=GPU-1111 isn't a GPU"),  # fits two
        ("cuda:0", None, LARGE, "HEADROOM_GPU=cuda:0 isn't a GPU"),
        ("MIG-4444", None, LARGE, "a slice of a GPU (MIG)"),
        ("1", "0", SMALL, "HEADROOM_GPU=1 is hidden by CUDA_VISIBLE_DEVICES=0"),
    ],
)
def test_another_gpu_than_asked_for_is_said(
    wanted: str, visible: str | None, chosen: Card, words: str
) -> None:
    card, problem = choose(CARDS, wanted, visible)
    assert card == chosen
    assert words in str(problem)
    assert str(problem).endswith(".")


def test_what_is_said_of_another_gpu_names_both() -> None:
    instead = Text("machine.instead", index=0, gpu="RTX 3060")
    assert choose(CARDS, "1", "0")[1] == Text(
        "machine.wanted_hidden", wanted="HEADROOM_GPU=1", visible="0", instead=instead
    )


@pytest.mark.parametrize("visible", ["", "-1", "none", "9", "GPU-9", "GPU-1111,0"])
def test_cuda_visible_devices_can_hide_all(visible: str) -> None:
    with pytest.raises(Absent, match="hides every NVIDIA GPU"):
        choose(CARDS, "0", visible)


def test_a_mig_slice_is_refused_with_a_sentence() -> None:
    with pytest.raises(Absent, match=r"slice of a GPU \(MIG\)"):
        choose(CARDS, "", "MIG-44445555-0000")


@given(st.text(max_size=12), st.none() | st.text(alphabet="012 ,-GPUMIG1", max_size=12))
def test_choosing_never_fails_otherwise(wanted: str, visible: str | None) -> None:
    try:
        card, problem = choose(CARDS, wanted, visible)
    except Absent as absent:
        card, problem = LARGE, absent.problem
    assert card in CARDS
    assert str(problem).isprintable()
