"""Which larger sizes a clip's other version can have: of its shape, even, and up to 1440p."""

from fractions import Fraction

import pytest

from engine.library.larger import Picture, by_name, by_scale, fits, largest, of_height, offered
from engine.library.versions import OWN, Asked, Changers, Original, Wanted
from engine.library.video import Video
from engine.presets import Presets
from engine.request import ClipRequest, RequestError

DIGEST = "b" * 64


def video(width: int = 832, height: int = 480, rate: Fraction | int = 16) -> Video:
    times = tuple(Fraction(at) / rate for at in range(81))
    return Video(width, height, times, Fraction(81) / rate, False)


def original(width: int = 832, height: int = 480, rate: Fraction | int = 16) -> Original:
    return Original(DIGEST, video(width, height, rate), "a red ball", 7)


@pytest.mark.parametrize(
    ("width", "height", "sizes"),
    [
        (832, 480, [(1248, 720), (1664, 960), (1872, 1080), (2496, 1440)]),
        (480, 832, [(720, 1248), (960, 1664), (1080, 1872), (1440, 2496)]),
        (1280, 720, [(1920, 1080), (2560, 1440)]),
        (1920, 1080, [(2560, 1440)]),
        (2560, 1440, []),
        (1920, 800, [(2558, 1066)]),
        (800, 1920, [(1066, 2560)]),
        (1920, 1072, [(2558, 1428)]),
        (640, 640, [(960, 960), (1080, 1080), (1280, 1280), (1440, 1440)]),
        (48, 32, [(72, 48), (96, 64), (1620, 1080), (2160, 1440)]),
    ],
)
def test_the_usual_ones_are_even_and_of_its_shape(
    width: int, height: int, sizes: list[tuple[int, int]]
) -> None:
    found = [(one.width, one.height) for one in offered(video(width, height))]
    assert found == sizes
    for wide, high in found:
        assert abs(wide / high - width / height) < 0.02


def test_what_is_no_larger_size_fits_nothing() -> None:
    of = video()
    assert fits(of, Picture(960, 1664))
    for height, width in (
        (480, 832),
        (482, 836),
        (961, 1664),
        (960, 1600),
        (1442, 2500),
        (200, 346),
    ):
        assert not fits(of, Picture(height, width)), f"{width} x {height}"
    assert not fits(video(1920, 400), Picture(600, 2880)), "wider than any screen that is meant"


def test_the_largest_is_the_last_that_fits() -> None:
    assert largest(video()) == Picture(1440, 2496)
    assert largest(video(1920, 400)) == of_height(video(1920, 400), 532)
    assert largest(video(2560, 1440)) is None


def test_a_side_is_named_by_the_shorter_one() -> None:
    assert by_name(video(), 1080) == Picture(1080, 1872)
    assert by_name(video(480, 832), 1080) == Picture(1872, 1080)
    assert by_scale(video(), Fraction("1.5")) == Picture(720, 1248)


def test_a_request_has_what_comes_out_at_the_clips_own_rate(presets: Presets) -> None:
    request = Asked(scale="2").request(original(), Changers.of(presets), OWN)
    told = request.to_json()
    assert told | {"prompt": ""} == {
        "prompt": "",
        "height": 960,
        "width": 1664,
        "frames": 81,
        "seed": 7,
        "model": "enlarge",
        "source": DIGEST,
        "fps": 16,
    }
    assert ClipRequest.check(told, presets) == request
    phone = Asked(height=1440).request(
        original(1280, 720, Fraction(30000, 1001)), Changers.of(presets), OWN
    )
    assert (phone.frames, phone.fps) == (81, 30), "none is left out, and none made"


def test_both_at_once_and_one_after_the_other_are_the_same(presets: Presets) -> None:
    both = Asked(fps=32, height=960).request(original(), Changers.of(presets), OWN)
    assert (both.model, both.fps, both.height, both.frames) == ("enlarge", 32, 960, 162)
    larger = Wanted(16, Picture(960, 1664))
    assert Asked(fps=32).request(original(), Changers.of(presets), larger) == both, (
        "it stays as large"
    )
    smoother = Wanted(32, Picture(480, 832))
    assert Asked(height=960).request(original(), Changers.of(presets), smoother) == both, (
        "it stays as smooth"
    )
    assert Asked(fps=32).request(original(), Changers.of(presets), OWN).model == "smooth"


@pytest.mark.parametrize(
    ("asked", "field", "nearest"),
    [
        (Asked(height=480), "height", 720),
        (Asked(height=961), "height", 960),
        (Asked(height="tall"), "height", 720),
        (Asked(height=-2), "height", 720),
        (Asked(height=10**30), "height", 1440),
        (Asked(height=True), "height", 720),
        (Asked(scale=1), "scale", None),
        (Asked(scale=0), "scale", None),
        (Asked(scale=-2), "scale", None),
        (Asked(scale=4), "scale", None),
        (Asked(scale="nan"), "scale", None),
        (Asked(scale="1/0"), "scale", None),
        (Asked(scale="1e99999999"), "scale", None),
        (Asked(scale=[2]), "scale", None),
    ],
)
def test_what_is_no_size_is_told_with_the_nearest(
    presets: Presets, asked: Asked, field: str, nearest: int | None
) -> None:
    with pytest.raises(RequestError, match="up to 1440") as told:
        asked.request(original(), Changers.of(presets), OWN)
    (problem,) = told.value.problems
    assert (problem.field, problem.nearest) == (field, nearest)


def test_any_even_height_will_do(presets: Presets) -> None:
    assert Asked(height="700").request(original(), Changers.of(presets), OWN).width == 1214


def test_what_is_as_large_already_says_so(presets: Presets) -> None:
    with pytest.raises(RequestError, match=r"has 2560 × 1440 pixels already"):
        Asked(scale=1.5).request(original(2560, 1440), Changers.of(presets), OWN)


@pytest.mark.parametrize("fps", [0, 241, "fast", None, -1, 2.5])
def test_a_rate_that_no_clip_has_is_refused_in_a_request(presets: Presets, fps: object) -> None:
    right = Asked(height=960).request(original(), Changers.of(presets), OWN).to_json()
    with pytest.raises(RequestError, match="fps"):
        ClipRequest.check(right | {"fps": fps}, presets)
    for rate in (1, 15, 25, 240):
        assert ClipRequest.check(right | {"fps": rate}, presets).fps == rate
