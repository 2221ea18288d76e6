"""A damaged database: it is set aside as it is, and a new one is made from what the clips tell.

Only what is certainly damaged: one that is locked, newer or out of reach stays where it is.
"""

import logging
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from engine.home import Home, HomeError
from engine.store import Damaged, Store, StoreError
from engine.text import Text, joined

log = logging.getLogger("headroom.store_repair")


def open_store(home: Home) -> Store:
    """The database of ``home``, looked through; where it is damaged, a new one.

    Raises:
        StoreError: it can't be opened for another reason, or a process that runs has it open.
        HomeError: there is none, and none can be made.
    """
    try:
        return _sound(home.database)
    except Damaged as damage:
        why = damage.sentence
    except StoreError as error:
        if _holds_something(home.database):
            raise
        raise HomeError(error.sentence, error.remedy) from error  # it can't even be begun there
    lock = FileLock(home.engine_lock, thread_local=False)
    try:
        with lock.acquire(timeout=0):
            kept = set_aside(home.database)
    except Timeout as error:
        raise StoreError(
            joined(why, Text("store.open_elsewhere")), Text("store.end_that_one")
        ) from error
    except OSError as error:
        raise StoreError(
            joined(why, Text("store.cant_set_aside", why=str(error.strerror or error))),
            Text("store.move_by_hand", file=str(home.database)),
        ) from error
    log.warning("%s", why)
    return Store(home.database, Text("store.made_anew", file=kept.name))


def _holds_something(database: Path) -> bool:
    try:
        return database.stat().st_size > 0
    except OSError:
        return False


def _sound(path: Path) -> Store:
    store = Store(path)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def set_aside(database: Path) -> Path:
    """Rename the file and what belongs to it; returns its new place.

    The log goes first: beside a new database SQLite would take it for that one's.
    """
    kept = database.with_name(f"{database.name}.damaged-{datetime.now():%Y-%m-%d}")
    count = 1
    while kept.exists():
        count += 1
        kept = database.with_name(f"{database.name}.damaged-{datetime.now():%Y-%m-%d}-{count}")
    for tail in ("-wal", "-shm", ""):
        part = database.with_name(database.name + tail)
        if part.exists():
            part.replace(kept.with_name(kept.name + tail))
    return kept
