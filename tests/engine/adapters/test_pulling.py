"""A LoRA that comes from a repository for the page: in a process of its own, from a hub of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.adapters.pull_state import Phase, PullState
from engine.adapters.pulling import Pulling
from engine.adapters.store import Adapters
from engine.home import Home
from engine.text import Text
from tests.conftest import wait_until
from tests.support import loras
from tests.support.hub import Hub
from ui.tabs.adapters import pull_told

pytestmark = pytest.mark.starts

REPO = "someone/loras"
FILE = f"{REPO}/zoom.safetensors"


@pytest.fixture
def pulling(hub: Hub, tmp_path: Path) -> Iterator[Pulling]:
    """With a repository of one file, of 1 MB."""
    large = {**loras.layers(rank=4), "made.large.diff_b": (300_000,)}
    hub.repos[REPO] = {
        "zoom.safetensors": loras.write(tmp_path / "made", large).read_bytes(),
        "words.txt": b"words",
    }
    made = Pulling(Home.find())
    yield made
    made.close()


def wait_for(pulling: Pulling, phase: Phase) -> PullState:
    wait_until(lambda: pulling.state.phase == phase, f"{phase} instead of {pulling.state}")
    return pulling.state


def test_it_is_looked_up_fetched_paused_and_gone_on_with(pulling: Pulling, hub: Hub) -> None:
    size = len(hub.repos[REPO]["zoom.safetensors"])
    pulling.look(FILE)
    found = wait_for(pulling, "found")
    assert (found.files, found.total, found.done) == (("zoom.safetensors",), size, 0)
    assert found.free > 0
    assert not Adapters(Home.find()).entries(), "it was only looked at"

    hub.fault("zoom.safetensors", pace=200_000)
    pulling.pull(FILE)
    wait_until(lambda: 0 < pulling.state.done < size, "some of it")
    pulling.pause()
    paused = pulling.state
    assert paused.phase == "paused"
    assert not Adapters(Home.find()).entries()

    hub.heal()
    sent = len(hub.sent)
    pulling.pull(FILE)
    done = wait_for(pulling, "done")
    assert done.done == done.total == size
    (entry,) = Adapters(Home.find()).entries()
    assert done.sha256s == (entry.files[0].sha256,)
    assert hub.sent[sent].start > 0, "it goes on where it was"


def test_who_asks_twice_gets_the_same_one(pulling: Pulling, hub: Hub) -> None:
    hub.fault("zoom.safetensors", pace=200_000)
    pulling.pull(FILE)
    process = pulling._process
    pulling.pull(FILE)
    assert pulling._process is process
    pulling.look(f"{REPO}/other.safetensors")
    assert pulling._process is not process
    assert process is not None
    assert process.poll() is not None, "one at a time"


@pytest.mark.parametrize(
    ("what", "id"),
    [
        ("nothing", "adapters.no_repository"),
        (f"{REPO}/none.safetensors", "adapters.nothing_there"),
        ("someone/else", None),  # the hub's own sentence
    ],
)
def test_what_cant_be_had_is_a_sentence_with_a_remedy(
    pulling: Pulling, what: str, id: str | None
) -> None:
    pulling.look(what)
    failed = wait_for(pulling, "failed")
    assert id in (None, failed.told.id)
    assert failed.told
    assert failed.remedy
    told = pull_told(pulling, {})
    assert told["said"] == f"{failed.told} {failed.remedy}"
    assert told["next"] == {"do": "look", "label": "Try again"}


def test_a_process_that_dies_is_told_and_gone_on_with(pulling: Pulling, hub: Hub) -> None:
    hub.fault("zoom.safetensors", pace=200_000)
    pulling.pull(FILE)
    wait_until(lambda: pulling.state.done > 0, "some of it")
    assert pulling._process is not None
    pulling._process.kill()
    assert "ended" in str(wait_for(pulling, "failed").told)
    hub.heal()
    assert pull_told(pulling, {})["next"]["do"] == "pull"
    pulling.pull(FILE)
    wait_for(pulling, "done")


def test_what_a_browser_sends_is_never_more_than_a_name(pulling: Pulling) -> None:
    senseless: list[object] = [None, 5, [], {"do": 5}, {"do": "pull"}, {"do": "rm", "what": "a/b"}]
    for odd in [*senseless, {"do": "pull", "what": " "}]:
        assert pull_told(pulling, odd)["phase"] == "none"
    pull_told(pulling, {"do": "look", "what": "--help" + "x" * 9999})
    assert len(pulling.state.what) == 500
    assert str(wait_for(pulling, "failed").told).startswith("--helpxx")


def test_a_state_goes_through_a_line_and_back() -> None:
    state = PullState("a/b", "failed", ("c",), 1, 2, 3, Text("weights.kept"), sha256s=("d",))
    assert PullState.from_json(state.to_json()) == state
