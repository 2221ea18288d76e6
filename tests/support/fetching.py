"""What the tests of downloads share: starting one, waiting for its end, and what is here then."""

from collections.abc import Callable
from pathlib import Path

from engine.weights.downloads import Downloads
from engine.weights.manifest import OURS, Manifest
from engine.weights.progress import WORKING, DownloadProgress
from tests.conftest import wait_until
from tests.support.hub import Hub

Run = Callable[..., DownloadProgress]

MODEL = "fetched"
ENCODER = "models_t5_umt5-xxl-enc-fp8.pth"


def end(downloads: Downloads, seconds: float = 40) -> DownloadProgress:
    """Wait until nobody works any more."""
    wait_until(lambda: downloads.progress(MODEL).phase not in WORKING, "the end", seconds)
    return downloads.progress(MODEL)


def pull(downloads: Downloads) -> DownloadProgress:
    downloads.start(MODEL)
    return end(downloads)


def part_bytes(downloads: Downloads) -> int:
    """Bytes in part files: what a later try needn't transfer."""
    return sum(map(_size, (downloads.folder(MODEL) / OURS).glob("*.part")))


def here(downloads: Downloads) -> int:
    """Bytes of weights in the model's folder, whole or in parts."""
    whole = sum(
        _size(file)
        for file in downloads.folder(MODEL).rglob("*")
        if file.is_file() and OURS not in file.parts
    )
    return whole + part_bytes(downloads)


def _size(file: Path) -> int:
    """A part becomes the whole file at any moment."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def assert_whole(downloads: Downloads, hub: Hub) -> None:
    """Every file has the hub's own bytes, and nothing else is left over."""
    folder, seen = downloads.folder(MODEL), downloads.look(MODEL)
    assert seen.state == "ready", seen
    for promise in Manifest.load(folder).promises.values():
        assert (folder / promise.path).read_bytes() == hub.repos[promise.repo][promise.path]
    assert here(downloads) == seen.total == hub.size
    assert part_bytes(downloads) == 0
