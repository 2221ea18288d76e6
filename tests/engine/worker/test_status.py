"""Notices have an end."""

import time

from engine.store import timestamp
from engine.text import NOTHING, plain
from engine.worker.status import NOTICE_SECONDS, EngineState, StatusBoard

LATER = timestamp(time.time() + 3600)
RESTARTED = plain("The engine was restarted.")


class Clock:
    """Seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def noticed(board: StatusBoard) -> bool:
    return bool(board.status.notice)


def test_a_notice_ends_with_the_next_clip_that_is_made_well() -> None:
    board = StatusBoard()
    waiting = timestamp(time.time() - 1)
    board.tell(notice=RESTARTED)
    assert board.status.notice == RESTARTED
    board.made_well(waiting)
    assert noticed(board), "it is about this one, which was asked for before"
    board.made_well(LATER)
    assert (board.status.notice, board.status.notice_at) == (NOTHING, 0.0)


def test_a_notice_ends_after_ten_minutes() -> None:
    clock = Clock()
    board = StatusBoard(clock)
    board.tell(notice=RESTARTED)
    clock.now += NOTICE_SECONDS
    assert noticed(board)
    clock.now += 1
    assert not noticed(board)
    board.tell(notice=RESTARTED)
    assert noticed(board), "it happened again"


def test_why_the_engine_cant_start_stays_as_long_as_that_is_so() -> None:
    clock = Clock()
    board = StatusBoard(clock)
    board.tell(notice=plain("It could not load."), state=EngineState.FAILED)
    clock.now += 10 * NOTICE_SECONDS
    assert noticed(board)
    board.tell(state=EngineState.READY)
    assert not noticed(board)


def test_a_loss_stays_until_it_is_dismissed() -> None:
    clock = Clock()
    board = StatusBoard(clock)
    board.tell(notice=plain("The database was damaged."), lasts=True)
    clock.now += 10 * NOTICE_SECONDS
    board.made_well(LATER)
    assert noticed(board)
    board.dismiss(board.status.notice_at)
    assert not noticed(board)


def test_only_what_was_read_is_dismissed() -> None:
    board = StatusBoard()
    board.tell(notice=RESTARTED)
    read = board.status.notice_at
    board.tell(notice=plain("The engine was restarted again."))
    board.dismiss(read)
    assert noticed(board), "nobody has read the second one"
    board.dismiss(board.status.notice_at)
    assert not noticed(board)
    board.tell(state=EngineState.READY)
    assert not noticed(board), "other changes don't bring it back"


def test_nothing_that_is_yet_to_come_is_dismissed() -> None:
    board = StatusBoard()
    board.dismiss(float("inf"))
    board.dismiss(float("nan"))
    board.tell(notice=RESTARTED)
    assert noticed(board)
