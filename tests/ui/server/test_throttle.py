"""How long wrong tries make an address wait, and that nothing makes it forget."""

import contextlib

import pytest

from ui.server.caller import LOOPBACK
from ui.server.throttle import ADDRESSES, FORGOTTEN, Throttle, TooManyTries


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def wrong() -> bool:
    return False


def right() -> bool:
    return True


def never() -> bool:
    pytest.fail("it was judged")


def test_each_wrong_one_waits_twice_as_long(throttle: Throttle, clock: Clock) -> None:
    for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
        assert not throttle.judge("a", wrong)
        assert throttle.wait("a") == seconds
        with pytest.raises(TooManyTries, match=f"Try again in {seconds} s"):
            throttle.judge("a", never)
        assert throttle.judge("b", right), "another address needn't wait"
        clock.now += seconds


def test_a_right_one_is_never_slowed_and_forgets_the_wrong_ones(
    throttle: Throttle, clock: Clock
) -> None:
    for _ in range(100):
        assert throttle.judge("a", right)
    throttle.judge("a", wrong)
    clock.now += 1
    assert throttle.judge("a", right)
    throttle.judge("a", wrong)
    assert throttle.wait("a") == 1


def test_a_try_in_flight_is_wrong_until_it_is_right(throttle: Throttle) -> None:
    throttle.begin("a")
    with pytest.raises(TooManyTries):
        throttle.begin("a")
    with pytest.raises(TooManyTries):
        throttle.judge("a", never)
    throttle.right("a")
    throttle.begin("a")


def test_a_flood_of_addresses_makes_it_forget_nothing(throttle: Throttle, clock: Clock) -> None:
    for _ in range(4):
        throttle.judge("a", wrong)
        clock.now += throttle.wait("a")
    throttle.judge("a", wrong)
    judged = []
    for n in range(3 * ADDRESSES):
        with contextlib.suppress(TooManyTries):
            judged.append(throttle.judge(f"flood {n}", wrong))
    assert throttle.wait("a") == 16
    assert len(judged) <= ADDRESSES + 1, "who finds no place shares one wait"
    assert throttle.wait(LOOPBACK) == 0
    assert throttle.judge(LOOPBACK, right)
    with pytest.raises(TooManyTries, match="in 1 s"):
        throttle.judge("a newcomer", never)
    clock.now += 1
    assert throttle.judge("a newcomer", right)


def test_time_makes_it_forget(throttle: Throttle, clock: Clock) -> None:
    for n in range(ADDRESSES):
        throttle.judge(f"{n}", wrong)
    clock.now += FORGOTTEN + 2
    throttle.judge("0", wrong)
    assert throttle.wait("0") == 1
    throttle.judge("fresh", wrong)
    throttle.judge("fresher", wrong)
    assert throttle.wait("fresher") == 1


def judged_through_a_proxy(throttle: Throttle, tries: int) -> int:
    """How many of as many made-up addresses are judged at once."""
    judged = []
    for n in range(tries):
        with contextlib.suppress(TooManyTries):
            judged.append(throttle.judge(f"{n}", wrong, proxied=True))
    return len(judged)


def test_addresses_that_a_proxy_tells_get_one_try_a_second(
    throttle: Throttle, clock: Clock
) -> None:
    assert judged_through_a_proxy(throttle, 50) == 1
    clock.now += 1
    assert judged_through_a_proxy(throttle, 50) == 1
    assert throttle.wait(LOOPBACK) == 0, "the owner, who needs no proxy"
    assert throttle.wait("192.168.1.4") == 0, "nor do others wait for them"


def test_this_computers_wrong_tries_count_for_what_comes_through_it(throttle: Throttle) -> None:
    throttle.judge(LOOPBACK, wrong)
    with pytest.raises(TooManyTries):
        throttle.judge("made up", never, proxied=True)


def test_right_ones_through_a_proxy_are_not_slowed(throttle: Throttle) -> None:
    assert all(throttle.judge(f"{n % 3}", right, proxied=True) for n in range(20))
