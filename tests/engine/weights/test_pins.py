"""What the hub said first holds, also after everything of a model was deleted."""

import json
import shutil
from dataclasses import replace

import pytest

from engine.home import Home
from engine.presets import Source, load_presets
from engine.weights.downloads import Downloads
from engine.weights.hub import FetchError, ask
from engine.weights.manifest import OURS, Manifest
from engine.weights.pins import Pins
from tests.support.fetching import Run
from tests.support.hub import COMMIT, Hub

pytestmark = pytest.mark.starts  # a hub of our own listens

MODEL = "fetched"
NEWER = "f" * 40


def commits(downloads: Downloads) -> set[str]:
    return {one.commit for one in Manifest.load(downloads.folder(MODEL)).promises.values()}


def test_a_model_that_is_fetched_again_comes_from_the_same_revision(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    here_and_now(downloads)
    shutil.rmtree(downloads.folder(MODEL))
    hub.commits.append(NEWER)
    assert here_and_now(downloads).phase == "done"
    assert commits(downloads) == {COMMIT}
    shutil.rmtree(downloads.folder(MODEL))
    hub.commits[:] = [NEWER]
    assert here_and_now(downloads).phase == "done", "the first one is gone"
    assert commits(downloads) == {NEWER}


def test_another_content_under_the_same_revision_is_refused(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    here_and_now(downloads)
    shutil.rmtree(downloads.folder(MODEL))
    files, path = hub.repos["one/distilled"], "distill_fp8/block_2.safetensors"
    files[path] = files[path][:-1] + bytes([files[path][-1] ^ 1])
    before = hub.count
    progress = here_and_now(downloads)
    assert progress.phase == "failed"
    assert "other content" in str(progress.told)
    assert f"{MODEL}.json" in str(progress.remedy)
    assert hub.count == before, "not a byte of it"
    (Home.find().weights / OURS / f"{MODEL}.json").unlink()
    assert here_and_now(downloads).phase == "done"


def test_pins_that_cant_be_read_or_kept_are_none(downloads: Downloads, here_and_now: Run) -> None:
    folder = downloads.folder(MODEL)
    file = folder.parent / OURS / f"{MODEL}.json"
    file.parent.mkdir(parents=True)
    for text in ("", "[]", "null", '{"format": 1, "commits": 3, "hashes": {}}', '{"format": 9}'):
        file.write_text(text)
        assert Pins.load(folder).commits == {}
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    Pins.load(folder).keep(ask(load_presets().models[MODEL].weights[3], 3))


def test_a_preset_states_hashes_and_another_file_is_refused(here_and_now: Run) -> None:
    vae = load_presets().models[MODEL].weights[3]
    (promise,) = ask(vae, 3)
    assert promise.sha256 is not None
    (source,) = vae.sources
    for stated, good in ((promise.sha256, True), ("0" * 64, False)):
        told = json.dumps(source.model_dump() | {"sha256": [[promise.path, stated]]})
        asked = vae.model_copy(update={"sources": (Source.model_validate_json(told),)})
        hash(asked)
        if good:
            assert ask(asked, 3) == (promise,)
            continue
        with pytest.raises(FetchError, match="stated in the model's preset") as caught:
            ask(asked, 3)
        assert caught.value.remedy


def test_what_a_preset_states_is_held_of_files_that_the_hub_keeps_in_git(here_and_now: Run) -> None:
    tokenizer = load_presets().models[MODEL].weights[2]
    first = next(one for one in ask(tokenizer, 3) if one.sha256 is None)
    (source,) = tokenizer.sources
    stated = source.model_copy(update={"sha256": ((first.path, "1" * 64),)})
    found = ask(tokenizer.model_copy(update={"sources": (stated,)}), 3)
    assert replace(first, sha256="1" * 64) in found
