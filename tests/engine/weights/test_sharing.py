"""What one model has fetched another one doesn't fetch again."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.home import Home
from engine.presets import ModelPreset, load_presets
from engine.weights.at_use import check_at_use
from engine.weights.checkpoint import find_checkpoint
from engine.weights.download import Download
from engine.weights.downloads import Downloads
from engine.weights.manifest import Manifest
from engine.weights.state import look
from tests.support.fetching import MODEL, Run
from tests.support.hub import Hub

pytestmark = pytest.mark.starts

SHARED = ["text_encoder", "tokenizer", "vae"]


@pytest.fixture
def other(hub: Hub) -> ModelPreset:
    """A model with a transformer of its own; all else is MODEL's."""
    preset = load_presets().models[MODEL]
    own, *rest = preset.weights
    single = own.model_copy(update={"sources": own.sources[1:]})
    return preset.model_copy(update={"id": "other", "weights": (single, *rest)})


@pytest.fixture
def fetched(hub: Hub, other: ModelPreset, here_and_now: Run) -> Path:
    """The folder of MODEL, which is here as a whole."""
    known = load_presets()
    downloads = Downloads(Home.find(), replace(known, models={**known.models, "other": other}))
    assert here_and_now(downloads).phase == "done"
    folder = downloads.folder(MODEL)
    downloads.close()
    return folder


def test_its_bytes_arent_counted_in_what_is_to_be_fetched(
    hub: Hub, other: ModelPreset, fetched: Path
) -> None:
    folder = Home.find().weights / "other"
    seen = look(folder, other)
    assert [part.role for part in seen.parts if part.shared_with == MODEL] == SHARED
    assert all(part.state == "ready" and part.waits for part in seen.parts if part.shared_with)
    assert seen.missing == 40_000, "the transformer alone"
    assert seen.state == "partial"
    assert not folder.exists(), "looking changes nothing"


def test_it_gets_a_second_name_and_outlives_the_first(
    hub: Hub, other: ModelPreset, fetched: Path
) -> None:
    folder, before = Home.find().weights / "other", hub.count
    assert Download(folder, other, "pull").run().phase == "done"
    assert hub.count - before == len(hub.repos["two/models"]["wan_fp8.safetensors"])
    seen = look(folder, other)
    assert seen.state == "ready"
    assert [part.role for part in seen.parts if part.shared_with == MODEL] == SHARED
    vae = "distill_fp8/Wan2.1_VAE.pth"
    assert os.path.samefile(folder / vae, fetched / vae)
    for place, preset in ((fetched, load_presets().models[MODEL]), (folder, other)):
        assert check_at_use(place, preset) == 0, "neither has to be hashed again"
    shutil.rmtree(fetched)
    assert look(folder, other).state == "ready"
    check_at_use(folder, other)  # their entries changed, so that they are hashed again
    assert not any(part.shared_with for part in look(folder, other).parts)


def test_where_there_are_no_links_it_is_used_where_it_lies(
    hub: Hub, other: ModelPreset, fetched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError("no links on this drive")

    monkeypatch.setattr(os, "link", refused)
    folder, before = Home.find().weights / "other", hub.count
    assert Download(folder, other, "pull").run().phase == "done"
    assert hub.count - before == len(hub.repos["two/models"]["wan_fp8.safetensors"])
    assert find_checkpoint(folder, other).vae == fetched / "distill_fp8/Wan2.1_VAE.pth"
    seen = look(folder, other)
    assert (seen.state, seen.linked) == ("ready", (fetched,))
    assert [part.role for part in seen.parts if part.shared_with == MODEL] == SHARED
    assert check_at_use(folder, other) == 0


def test_what_nobody_verified_is_not_shared(hub: Hub, other: ModelPreset, fetched: Path) -> None:
    folder, manifest = Home.find().weights / "other", Manifest.load(fetched)
    (fetched / "distill_fp8/Wan2.1_VAE.pth").write_bytes(b"changed")
    manifest.checks = {p: c for p, c in manifest.checks.items() if "umt5-xxl/" not in p}
    manifest.save()
    parts = look(folder, other).parts
    assert [part.role for part in parts if part.shared_with] == ["text_encoder"]
