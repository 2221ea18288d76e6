"""LoRAs from a hub of our own: found, resumed, checked, and refused."""

from pathlib import Path

import pytest

from engine.adapters.lora_file import AdapterError
from engine.adapters.pull import Place, offered, pull, read_place
from engine.adapters.store import Adapters
from engine.home import Home
from engine.process.own_files import sha256_of
from engine.weights.hub import FetchError
from tests.support import loras
from tests.support.hub import Hub

pytestmark = pytest.mark.starts

REPO = "someone/loras"


@pytest.fixture
def store(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Adapters:
    """The folder, and in the hub a repository of three files."""
    # Both are made from HF_ENDPOINT when the library is imported, which another test may have done.
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    hub.repos[REPO] = {
        "zoom.safetensors": content(tmp_path, 4),
        "w22/style_high_noise.safetensors": content(tmp_path, 5),
        "w22/style_low_noise.safetensors": content(tmp_path, 6),
        "README.md": b"words",
    }
    return Adapters(Home.find())


def content(folder: Path, rank: int) -> bytes:
    return loras.write(folder / "made", loras.layers(rank=rank)).read_bytes()


@pytest.mark.parametrize(
    ("what", "place"),
    [
        ("a/b", Place("a/b")),
        ("a/b/c d.safetensors", Place("a/b", "c d.safetensors")),
        ("a/b/folder/", Place("a/b", "folder")),
        ("https://huggingface.co/a/b", Place("a/b")),
        ("https://huggingface.co/a/b/tree/main/x", Place("a/b", "x")),
        (
            "https://huggingface.co/a/b/resolve/v1/x/c.safetensors?download=true",
            Place("a/b", "x/c.safetensors", "v1"),
        ),
    ],
)
def test_a_repository_is_named_or_copied_from_a_browser(what: str, place: Place) -> None:
    assert read_place(what) == place


@pytest.mark.parametrize("what", ["", "a", "/a/b", "a b/c"])
def test_what_is_no_repository_is_told(what: str) -> None:
    with pytest.raises(AdapterError, match="isn't a repository"):
        read_place(what)


def test_a_file_comes_whole_and_is_known_at_once(store: Adapters, hub: Hub) -> None:
    heard: list[tuple[int, int]] = []
    files = offered(Place(REPO, "zoom.safetensors"))
    (entry,) = pull(store, files, told=lambda done, total: heard.append((done, total)))
    size = files[0].bytes
    assert entry.name == "zoom"
    assert entry.files[0].path.read_bytes() == hub.repos[REPO]["zoom.safetensors"]
    assert entry.files[0].sha256 == sha256_of(entry.files[0].path)
    assert heard[-1] == (size, size)
    before = hub.count
    assert pull(store, files)[0].name == "zoom"
    assert hub.count == before, "what is there isn't fetched again"


def test_two_experts_come_together(store: Adapters) -> None:
    (entry,) = pull(store, offered(Place(REPO, "w22")))
    assert entry.name == "style"
    assert [file.noise for file in entry.files] == ["high", "low"]


def test_a_download_that_broke_is_gone_on_with(store: Adapters, hub: Hub) -> None:
    files = offered(Place(REPO, "zoom.safetensors"))
    part = store.part(files[0].part_name)
    part.parent.mkdir(parents=True)
    part.write_bytes(hub.repos[REPO]["zoom.safetensors"][:2000])
    pull(store, files, "mine")
    assert hub.sent[-1].start == 2000
    assert [entry.name for entry in store.entries()] == ["mine"]
    assert not part.exists()


def test_wrong_bytes_arent_kept(store: Adapters, hub: Hub) -> None:
    files = offered(Place(REPO, "zoom.safetensors"))
    hub.fault("zoom", wrong=3000)
    with pytest.raises(FetchError):
        pull(store, files)
    assert store.entries() == ()


def test_several_files_are_listed_instead_of_guessed(store: Adapters) -> None:
    with pytest.raises(AdapterError, match=r"has 3 safetensors files: .*zoom\.safetensors.*Name"):
        offered(Place(REPO))
    with pytest.raises(AdapterError, match="no safetensors file at none"):
        offered(Place(REPO, "none"))
    with pytest.raises(FetchError, match="gone/away"):
        offered(Place("gone/away"))


def test_a_file_that_is_no_lora_isnt_kept(store: Adapters, hub: Hub, tmp_path: Path) -> None:
    other = loras.write(tmp_path / "x", {"double_blocks.0.weight": (64, 64)})
    hub.repos["someone/flux"] = {"model.safetensors": other.read_bytes()}
    with pytest.raises(AdapterError, match="Flux"):
        pull(store, offered(Place("someone/flux")))
    assert store.entries() == ()
    assert list(store.folder.glob("*.safetensors")) == []


def test_no_room_is_told_before_anything_comes(
    store: Adapters, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = offered(Place(REPO, "zoom.safetensors"))
    monkeypatch.setattr("engine.weights.disk_space.free_bytes", lambda _: 0)
    before = hub.count
    with pytest.raises(Exception, match="LoRA"):
        pull(store, files)
    assert hub.count == before
