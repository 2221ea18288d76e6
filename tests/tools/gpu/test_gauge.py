"""What the gauge says against what torch says: an offset, a difference and a delay."""

from tests.tools.gpu.gauge import Compared, Reading, compare

GIB = 2**30


def own() -> list[Reading]:
    """Sampled every 10 ms for ten seconds: one GiB, four from the fifth second on."""
    return [(i / 100, GIB if i < 500 else 4 * GIB) for i in range(1000)]


def told(delay: float, offset: float = 0.0) -> list[Reading]:
    return [(at / 4, (GIB if at / 4 - delay < 5 else 4 * GIB) + offset) for at in range(0, 39)]


def test_a_gauge_that_agrees() -> None:
    assert compare(own(), told(0)) == Compared(0, 0, 0, 0.0)


def test_what_it_counts_besides_is_no_difference() -> None:
    found = compare(own(), told(0, 600 * 2**20))
    assert found == Compared(600 * 2**20, 0, 0, 0.0)


def test_a_late_gauge_is_told_with_its_delay() -> None:
    found = compare(own(), told(0.3))
    assert found is not None
    assert found.largest == 3 * GIB
    assert found.largest_settled == 3 * GIB
    assert found.delay is not None
    assert 0.25 <= found.delay <= 0.35


def test_one_that_is_never_right_has_no_delay() -> None:
    wrong = [(at, value + (at > 7) * GIB) for at, value in told(0)]
    found = compare(own(), wrong)
    assert found is not None
    assert found.delay is None


def test_without_common_time_there_is_nothing_to_compare() -> None:
    assert compare([], told(0)) is None
    assert compare(own(), [(99.0, GIB)]) is None
