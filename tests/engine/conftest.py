"""Downloads from the tests' own hub, in a process of their own or in this one."""

import threading
import time
from collections.abc import Iterator

import pytest

from engine.home import Home
from engine.presets import load_presets
from engine.weights.download import Download, What
from engine.weights.downloads import Downloads
from engine.weights.progress import DownloadProgress
from tests.support.fetching import MODEL, Run
from tests.support.hub import Hub


@pytest.fixture
def downloads(hub: Hub) -> Iterator[Downloads]:
    made = Downloads(Home.find(), load_presets())
    yield made
    made.close()


@pytest.fixture
def here_and_now(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same work in this process, which saves the seconds that a start takes."""
    from huggingface_hub import constants

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

    patience = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: patience(min(seconds, 0.02)))

    def run(downloads: Downloads, what: What = "pull") -> DownloadProgress:
        preset = downloads.presets.models[MODEL]
        tally = Download(downloads.folder(MODEL), preset, what).run()
        # The real one ends its process now. Here a fetch that was under way would go on beside the
        # next run, and write into the same file.
        for thread in threading.enumerate():
            if thread.name.startswith("fetch"):
                thread.join(timeout=10)
        return tally

    return run
