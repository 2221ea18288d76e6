"""A part that clips are made without, too: fetched with the rest, and in nobody's way."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.home import Home
from engine.presets import Presets, Source, WeightFile, load_presets
from engine.weights.at_use import check_at_use
from engine.weights.checkpoint import find_checkpoint
from engine.weights.downloads import Downloads
from engine.weights.hub import WeightsError
from engine.weights.state import extras_here, weights_text
from tests.support.fetching import MODEL, Run
from tests.support.hub import Hub

pytestmark = pytest.mark.starts

FILE, REPO = "lighttaew2_1.safetensors", "three/autoencoders"
TINY = bytes(range(256)) * 3000


@pytest.fixture
def with_tiny(hub: Hub) -> Presets:
    known = load_presets()
    source = Source(repo=REPO, path=FILE, layout="file")
    tiny = WeightFile(role="tiny_vae", bytes=len(TINY), sources=(source,))
    preset = known.models[MODEL]
    more = preset.model_copy(update={"weights": (*preset.weights, tiny)})
    return replace(known, models={**known.models, MODEL: more})


@pytest.fixture
def downloads(with_tiny: Presets) -> Iterator[Downloads]:
    made = Downloads(Home.find(), with_tiny)
    yield made
    made.close()


def test_it_comes_with_the_rest(hub: Hub, downloads: Downloads, here_and_now: Run) -> None:
    hub.repos[REPO] = {FILE: TINY}
    before = downloads.look(MODEL)
    assert [part.role for part in before.lacking] == ["tiny_vae"]
    assert here_and_now(downloads).phase == "done"
    seen, folder = downloads.look(MODEL), downloads.folder(MODEL)
    assert (seen.state, seen.lacking) == ("ready", ())
    assert (folder / FILE).read_bytes() == TINY
    preset = downloads.presets.models[MODEL]
    assert find_checkpoint(folder, preset).tiny_vae == folder / FILE
    assert extras_here(folder, preset) == {"tiny_vae"}


@pytest.mark.parametrize("how", ["no repository", "refused while it is fetched"])
def test_the_model_is_whole_without_it(
    hub: Hub, downloads: Downloads, here_and_now: Run, how: str
) -> None:
    if how != "no repository":
        hub.repos[REPO] = {FILE: TINY}
        hub.fault(f"{REPO}/resolve", status=403)
    assert here_and_now(downloads).phase == "done"
    seen, preset = downloads.look(MODEL), downloads.presets.models[MODEL]
    assert (seen.state, seen.missing) == ("ready", 0)
    assert [part.role for part in seen.lacking] == ["tiny_vae"]
    assert find_checkpoint(downloads.folder(MODEL), preset).tiny_vae is None
    assert extras_here(downloads.folder(MODEL), preset) == frozenset()
    assert str(weights_text(seen)).startswith("ready")


def test_whoever_has_the_rest_fetches_it_alone_and_hears_why_not(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    here_and_now(downloads)
    failed = here_and_now(downloads)
    assert failed.phase == "failed"
    assert FILE in str(failed.told)
    assert downloads.look(MODEL).state == "ready", "nothing else has suffered"
    hub.repos[REPO] = {FILE: TINY}
    before = hub.count
    assert here_and_now(downloads).phase == "done"
    assert hub.count - before == len(TINY)
    assert downloads.look(MODEL).lacking == ()


def test_a_damaged_one_is_refused_at_use_like_any_other(
    hub: Hub, downloads: Downloads, here_and_now: Run
) -> None:
    hub.repos[REPO] = {FILE: TINY}
    here_and_now(downloads)
    folder, preset = downloads.folder(MODEL), downloads.presets.models[MODEL]
    assert check_at_use(folder, preset) == 0
    (folder / FILE).write_bytes(TINY[::-1])
    with pytest.raises(WeightsError, match=FILE):
        check_at_use(folder, preset)
