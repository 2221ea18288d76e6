"""A library whose files are taken in at once, however young they are."""

import pytest

from engine.home import Home
from engine.jobs import Jobs
from engine.library import folder_sync
from engine.library.folder_sync import FolderSync
from engine.library.library import Library


@pytest.fixture
def library(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.0)
    return Library(Home.find(), jobs.store)


@pytest.fixture
def care(library: Library) -> FolderSync:
    return FolderSync(library)
