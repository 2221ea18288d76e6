"""High and low noise by file names."""

import pytest

from engine.adapters.pairs import noise_of, pairs


@pytest.mark.parametrize(
    ("stem", "noise"),
    [
        ("wan2.2_i2v_A14b_high_noise_lora_rank64", "high"),
        ("Wan22-LowNoise-style", "low"),
        ("style_LOW", "low"),
        ("T2V HIGH v2", "high"),
        ("highres_fix", None),
        ("slow_motion", None),
        ("flow", None),
        ("high_to_low", None),
        ("style_h", None),
    ],
)
def test_what_a_name_says_by_itself(stem: str, noise: str | None) -> None:
    assert noise_of(stem) == noise


@pytest.mark.parametrize(
    ("high", "low", "name"),
    [
        ("w_high_noise_r64", "w_low_noise_r64", "w_r64"),
        ("style-HIGH", "style-low", "style"),
        ("HIGH zoom", "LOW zoom", "zoom"),
        ("zoom_h_14b", "zoom_l_14b", "zoom_14b"),
        ("zoom_HN", "zoom_LN", "zoom"),
        ("high", "low", ""),
    ],
)
def test_two_files_called_alike_are_a_pair(high: str, low: str, name: str) -> None:
    assert pairs([high, low, "other"]) == {name: (high, low)}


def test_one_without_the_other_is_no_pair() -> None:
    assert pairs(["style_high", "other_low", "zoom_h", "highres", "lowres"]) == {}
