"""``pause`` and ``resume``: written down in the database, where a page that runs finds it."""

import argparse

from engine.errors import ExitCode
from engine.home import Home
from engine.jobs import Jobs
from engine.pause import Paused
from engine.process.console import say, tell, tell_json
from engine.store_repair import open_store
from engine.worker.queue_lock import QueueLock


def pause(options: argparse.Namespace) -> int:
    return _set(Paused.NOW if options.now else Paused.AFTER, options.json)


def resume(options: argparse.Namespace) -> int:
    return _set(Paused.NO, options.json)


def _set(paused: Paused, as_json: bool) -> int:
    home = Home.find()
    store = open_store(home)
    try:
        if store.mended:
            say(store.mended)
        jobs = Jobs(store)
        jobs.pause.set(paused)
        running, waiting = jobs.running(), jobs.count_waiting()
    finally:
        store.close()
    if as_json:
        number = None if running is None else running.id
        tell_json({"paused": bool(paused), "running": number, "waiting": waiting})
        return ExitCode.DONE
    at_work = QueueLock(home).is_elsewhere()
    if not paused:
        tell(f"The queue goes on; {_wait(waiting)}.")
        if waiting and not at_work:
            say("No Headroom runs on this folder now: clips are made once one does.")
        return ExitCode.DONE
    tell(f"Paused; {_wait(waiting)}. `resume` goes on.")
    if running is not None and at_work:
        back = paused is Paused.NOW
        tell("What runs goes back into the queue." if back else "What runs is finished first.")
    return ExitCode.DONE


def _wait(waiting: int) -> str:
    return f"{waiting or 'no'} clip{'' if waiting == 1 else 's'} wait{'s' if waiting == 1 else ''}"
