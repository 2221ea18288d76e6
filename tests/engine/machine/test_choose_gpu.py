"""Which GPU is meant: HEADROOM_GPU and CUDA_VISIBLE_DEVICES, without any driver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.machine.cards import Absent, Card, choose, usable
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


# ---- several at once ---------------------------------------------------------------------------

SLICED = Card(3, "GPU-a100", "A100", 40 * 1024 * MIB, sliced=True)
SILENT = Card(4, "GPU-gb10", "GB10", -1)


@pytest.mark.parametrize(
    ("wanted", "visible", "found"),
    [
        ("", None, [LARGE, TWIN, SMALL]),
        ("0,2", None, [SMALL, TWIN]),
        (" GPU-4444 , 1,", None, [TWIN, LARGE]),
        ("1,1,1", None, [LARGE]),
        ("", "2,0", [TWIN, SMALL]),
        ("1,2", "2,0", [TWIN]),
        ("7", None, [LARGE, TWIN, SMALL]),
        ("", "", []),
    ],
)
def test_every_card_that_may_be_used(wanted: str, visible: str | None, found: list[Card]) -> None:
    if visible == "":
        with pytest.raises(Absent):
            usable(CARDS, wanted, visible)
    else:
        assert list(usable(CARDS, wanted, visible).cards) == found


def test_who_is_left_out_is_told() -> None:
    found = usable([*CARDS, SLICED, SILENT], "", None)
    assert set(found.cards) == set(CARDS)
    assert [text.id for text in found.left_out] == [
        "machine.card_sliced",
        "machine.card_tells_nothing",
    ]
    named = usable([SMALL, SLICED], "0,3,9", None)
    assert named.cards == (SMALL,)
    assert [text.values.get("wanted") for text in named.left_out] == [None, "3", "9"]


def test_no_card_is_no_error() -> None:
    assert usable([], "0", "1").cards == ()


def test_a_card_in_slices_is_none_to_measure() -> None:
    assert choose([SLICED, SMALL], "", None) == (SMALL, NOTHING), "though the other is larger"
    card, problem = choose([SLICED, SMALL], "3", None)
    assert (card, problem.id) == (SMALL, "machine.wanted_sliced")
    with pytest.raises(Absent, match="slices"):
        choose([SLICED], "", None)


@given(
    wanted=st.lists(st.sampled_from(["0", "1", "2", "3", "x", "GPU-1", "GPU-4", ""])),
    cards=st.lists(st.sampled_from([SMALL, LARGE, TWIN, SLICED, SILENT]), unique=True),
)
def test_the_first_is_the_one_that_would_be_measured_alone(
    wanted: list[str], cards: list[Card]
) -> None:
    found = usable(cards, ",".join(wanted), None)
    assert len(set(found.cards)) == len(found.cards)
    assert all(card.total > 0 and not card.sliced for card in found.cards)
    if found.cards and not any(wanted):
        assert choose(cards, "", None)[0] == found.cards[0]


def test_a_card_that_is_too_old_for_any_model_comes_last() -> None:
    v100 = Card(5, "GPU-v100", "Tesla V100", 32 * 1024 * MIB, old=True)
    assert choose([v100, LARGE], "", None) == (LARGE, NOTHING)
    assert usable([v100, LARGE], "", None).cards == (LARGE, v100)
    assert choose([v100], "", None) == (v100, NOTHING)
    assert choose([v100, LARGE], "5", None) == (v100, NOTHING), "whoever names it gets it"
