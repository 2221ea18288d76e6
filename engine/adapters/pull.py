"""Brings LoRAs from a Hugging Face repository: goes on after a break, and checks the hash."""

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from engine.adapters.lora_file import AdapterError, read_lora
from engine.adapters.pairs import pairs
from engine.adapters.store import ENDING, AdapterEntry, Adapters
from engine.process.console import one_line
from engine.process.own_files import sha256_of
from engine.text import FileSize, Text, listed
from engine.weights.disk_space import refuse_long_paths, refuse_too_full
from engine.weights.fetch import Told, fetch, held
from engine.weights.hub import safetensors_of
from engine.weights.manifest import Promise

LARGEST = 16 * 10**9  # bytes; a whole model isn't fetched by mistake
MOST_LISTED = 12
LOOK_SECONDS = 0.2

_PLACE = re.compile(
    r"(?:https?://[^/]+/)?(?P<repo>[\w.\-]+/[\w.\-]+)"
    r"(?:/(?:blob|resolve|tree)/(?P<revision>[^/]+))?(?:/(?P<path>.+?))?/?(?:\?.*)?"
)


@dataclass(frozen=True)
class Place:
    """A repository, and perhaps a file or a folder in it."""

    repo: str
    path: str = ""
    revision: str = "main"


def read_place(what: str) -> Place:
    """``OWNER/REPO``, ``OWNER/REPO/PATH``, or the address of either in a browser.

    Raises:
        AdapterError: it is none of them.
    """
    found = _PLACE.fullmatch(what.strip())
    if found is None:
        told = Text("adapters.no_repository", what=one_line(what)[:200])
        raise AdapterError(told, Text("adapters.how_to_pull"))
    return Place(found["repo"], found["path"] or "", found["revision"] or "main")


def offered(place: Place) -> tuple[Promise, ...]:
    """The file that ``place`` means, or the two of a pair; asks the hub for names and sizes.

    Raises:
        AdapterError: there is none, or more than one.
        FetchError: the hub can't be asked.
    """
    every = safetensors_of(place.repo, place.revision)
    below = f"{place.path}/"
    files = [one for one in every if not place.path or (f"{one.path}/").startswith(below)]
    if not files:
        told = Text("adapters.nothing_there", repo=place.repo, path=place.path or "/")
        raise AdapterError(told, Text("adapters.look_there", repo=place.repo))
    if len(files) > 1 and not _are_a_pair(files):
        names = listed(*(one.path for one in files[:MOST_LISTED]))
        told = Text("adapters.several_there", repo=place.repo, count=len(files), names=names)
        raise AdapterError(told, Text("adapters.name_the_file", repo=place.repo))
    for one in files:
        if one.bytes > LARGEST:
            told = Text("adapters.too_large", path=one.path, size=FileSize(one.bytes))
            raise AdapterError(told, Text("adapters.choose_a_lora"))
    return tuple(files)


def pull(
    store: Adapters,
    files: Sequence[Promise],
    name: str = "",
    told: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[Text], None] = lambda _: None,
) -> tuple[AdapterEntry, ...]:
    """Have each of ``files`` in the folder; what is there already isn't fetched again.

    Args:
        name: what a single file is called there; its own name without one.
        told: hears bytes that are here, of all, several times a second.
        say: hears why it waits.

    Raises:
        FetchError: one can't be had; what came of it is kept, and is gone on with.
        WeightsError: there is no room.
        AdapterError: one is no LoRA; it isn't kept.
    """
    here = {file.sha256 for entry in store.entries() for file in entry.files}
    missing = [one for one in files if one.sha256 not in here]
    wanted = {str(one.sha256) for one in files if one not in missing}
    total = sum(one.bytes for one in files)
    done = total - sum(one.bytes for one in missing)
    store.make_folder()
    parts = {one: store.part(one.part_name) for one in missing}
    refuse_too_full(store.folder, sum(one.bytes - held(parts[one]) for one in missing), "LoRA")
    for one in missing:
        named = name if name and len(files) == 1 else PurePosixPath(one.path).name
        target = store.target(named)
        refuse_long_paths([target])
        fetching = _Fetch(one, target, parts[one], say)
        while not fetching.wait(LOOK_SECONDS):
            told(done + held(parts[one]), total)
        try:
            read_lora(target)
        except AdapterError:
            target.unlink(missing_ok=True)
            raise
        sha256 = one.sha256 or sha256_of(target)
        store.note(target, sha256)
        wanted.add(sha256)
        done += one.bytes
    told(done, total)
    return tuple(e for e in store.entries() if wanted & {file.sha256 for file in e.files})


class _Fetch(threading.Thread):
    """One file on its way. Whoever waits may end at any moment: what came is kept."""

    def __init__(self, promise: Promise, target: Path, part: Path, say: Told) -> None:
        super().__init__(name="fetch", daemon=True)
        self._order = promise, target, part, say
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            fetch(*self._order)
        except BaseException as error:
            self._error = error

    def wait(self, seconds: float) -> bool:
        """Whether it is here; raises what went wrong."""
        self.join(seconds)
        if self.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True


def _are_a_pair(files: Sequence[Promise]) -> bool:
    stems = [PurePosixPath(one.path).name.removesuffix(ENDING) for one in files]
    return len(files) == 2 and len(pairs(stems)) == 1
