"""Sends every odd request to both pages: ``python -m tests.tools.odd_requests`` (some minutes).

Prints how many were sent, how they were answered, and each that was answered by 500 or more.
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx

from engine.engine import Engine
from engine.home import Home
from engine.jobs import Jobs
from engine.presets import load_presets
from engine.store import Store
from tests.conftest import TESTS
from tests.support.odd_requests import (
    OWNERS_GETS,
    OWNERS_POSTS,
    VISITORS_GETS,
    VISITORS_POSTS,
    Door,
)
from tests.support.served import serve
from tests.support.visitors import Doors


def attack(name: str, door: Door) -> bool:
    """Returns whether no answer was 500 or more."""
    seen: Counter[int] = Counter()
    wrong = []
    for told, request in door.requests():
        status = door.status(told, request)
        seen[status] += 1
        if status >= 500:
            wrong.append(f"  {status} {told}")
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(seen.items()))
    told = f"{name}: {seen.total()} requests ({counts}); {len(wrong)} of 500 and more"
    sys.stdout.write("\n".join([told, *wrong, ""]))
    return not wrong


def owners(folder: Path) -> bool:
    environment = {**os.environ, "HEADROOM_HOME": str(folder / "owner")}
    login = (sys.executable, "app.py", "serve", "--auth", "me:secret")
    served = serve(folder / "log", environment=environment, program=login)
    try:
        client = httpx.Client(trust_env=False, timeout=30)
        client.post(f"{served.url}login", data={"username": "me", "password": "secret"})
        cookie = "; ".join(f"{one.name}={one.value}" for one in client.cookies.jar)
        host = f"127.0.0.1:{served.port}"
        door = Door(served.port, host, f"http://{host}", cookie, OWNERS_GETS, OWNERS_POSTS)
        return attack("the owner's page", door)
    finally:
        served.end(15)


def visitors(folder: Path) -> bool:
    os.environ["HEADROOM_HOME"] = str(folder / "visitors")
    home = Home.find()
    engine = Engine(home, load_presets(), Jobs(Store(home.database)))
    doors = Doors(engine)
    doors.open()
    cookie = str(doors.visitor().headers["Cookie"])
    host = "abc123.share.test"
    door = Door(doors.port, host, f"https://{host}", cookie, VISITORS_GETS, VISITORS_POSTS)
    try:
        return attack("the visitors' page", door)
    finally:
        doors.sharing.close()
        engine.close()


def main() -> int:
    os.environ["HEADROOM_PRESETS"] = str(TESTS / "fixtures/presets")
    with tempfile.TemporaryDirectory() as folder:
        good = [owners(Path(folder)), visitors(Path(folder))]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
