"""Brings one file whole: its bytes gather in a part file, are hashed, and only then take its place.

``hf_hub_download`` of huggingface_hub 2.4.0 can't go on with what an earlier process left: each
process writes to a name of its own and deletes it at the end (file_download.py:2004 and 2046, its
issue 4196), and the old file goes before the new one is there (line 1504). Its ``http_get`` can, so
this hands it our part file. Xet's client starts a file afresh as well and is built without a cache
(xet-core, hf_xet/Cargo.toml:43), so it is used only for those who ask with HF_XET_HIGH_PERFORMANCE.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from engine.process import moves
from engine.process.patience import WakingClock
from engine.text import NOTHING, Text, joined
from engine.weights.hub import FetchError, explain
from engine.weights.hub_private import fetch_by_xet, fetch_rest, wants_xet
from engine.weights.manifest import Promise

log = logging.getLogger("headroom.transfer")

# huggingface_hub keeps up to 10 MB of each file in memory, which a kill would lose.
CHUNK = 1 << 18
GIVE_UP_SECONDS = 300.0  # without a single new byte
TRY_SECONDS = 60.0  # what a try without a byte takes at the most, unless everything slept
LONGEST_PAUSE = 30.0
READ = 1 << 22

Told = Callable[[Text], None]


def fetch(promise: Promise, target: Path, part: Path, say: Told = lambda _: None) -> None:
    """Bring what is missing of ``promise`` to ``part``, verify it, and move it to ``target``.

    Args:
        say: hears why it waits before it tries again (``NOTHING`` once bytes flow).

    Raises:
        FetchError: it can't be had; ``part`` is kept, and whatever was at ``target``.
    """
    wrong_before = False
    while True:
        _bring(promise, part, say)
        if digest(part, promise) == (promise.sha256 or promise.git):
            break
        part.unlink()
        if wrong_before:
            raise FetchError(
                Text("weights.wrong_bytes_twice", path=promise.path, repo=promise.repo),
                Text("weights.something_changes_them"),
            )
        log.warning("%s: wrong bytes, once more from the start", promise.path)
        wrong_before = True
    put_in_place(promise, part, target)


def put_in_place(promise: Promise, part: Path, target: Path) -> None:
    """Move the verified ``part`` to ``target``; a power cut leaves the old or the new file."""
    try:
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        moves.replace(part, target)
    except OSError as error:
        raise explain(error, promise.path) from error


def digest(file: Path, promise: Promise, seen: Callable[[int], None] = lambda _: None) -> str:
    """The hash that the hub knows ``promise`` by, of ``file``.

    Args:
        seen: hears how many bytes were read.
    """
    if promise.sha256 is None:
        data = file.read_bytes()  # only small files are kept in git itself
        seen(len(data))
        return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    found, count = hashlib.sha256(), 0
    with file.open("rb") as opened:
        while data := opened.read(READ):
            found.update(data)
            count += len(data)
            seen(count)
    return found.hexdigest()


def held(part: Path) -> int:
    """How many bytes of a file are here already."""
    for place in (part, _xet_place(part)):
        try:
            return place.stat().st_size
        except OSError:
            continue
    return 0


def _bring(promise: Promise, part: Path, say: Told) -> None:
    """All of the file's bytes to ``part``, again and again until they are there."""
    clock, pause, moved = WakingClock(TRY_SECONDS), 1.0, 0.0
    before = held(part)
    while held(part) != promise.bytes or not os.path.exists(part):
        try:
            _once(promise, part)
        except Exception as error:
            what = Text("weights.path_of_repo", path=promise.path, repo=promise.repo)
            refusal = explain(error, what)
            now, at = held(part), clock()
            if now > before:
                pause, moved, before = 1.0, at, now
            if not refusal.again or at - moved > GIVE_UP_SECONDS:
                raise refusal from error
            wait = max(pause, refusal.wait or 0.0)
            say(joined(refusal.sentence, Text("weights.next_try", seconds=wait)))
            log.warning("%s: %s", promise.path, refusal.sentence)
            time.sleep(wait)
            clock(wait)
            pause = min(2 * pause, LONGEST_PAUSE)
    say(NOTHING)


def _once(promise: Promise, part: Path) -> None:
    from huggingface_hub import hf_hub_url

    # Documented there, but nothing tells type checkers that it is exported.
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    part.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(promise.repo, promise.path, revision=promise.commit)
    headers = build_hf_headers(library_name="headroom")
    if wants_xet() and _through_xet(promise, part, url, headers):
        return
    if held(part) > promise.bytes:
        part.unlink()
    # A range of compressed bytes would be no range of the file.
    headers["Accept-Encoding"] = "identity"
    with part.open("ab") as gathered:
        fetch_rest(url, gathered, headers, promise.bytes, CHUNK)


def _through_xet(promise: Promise, part: Path, url: str, headers: dict[str, str]) -> bool:
    """Fetch by chunks of content, where the hub has the file that way; it begins afresh."""
    from huggingface_hub import get_hf_file_metadata

    data = get_hf_file_metadata(url, headers=headers).xet_file_data
    if data is None:
        return False
    place = _xet_place(part)
    place.unlink(missing_ok=True)
    fetch_by_xet(data, place, headers, promise.bytes, promise.path)
    os.replace(place, part)
    return True


def _xet_place(part: Path) -> Path:
    return part.with_suffix(".xet")
