"""The folder of adapters: by hand or through the program, known by hash, in pairs."""

import hashlib
import os
from pathlib import Path

import pytest

from engine.adapters import store
from engine.adapters.lora_file import AdapterError
from engine.adapters.store import Adapters
from engine.home import Home
from engine.process import own_files
from engine.request import Adapter
from tests.support import loras


@pytest.fixture
def adapters() -> Adapters:
    return Adapters(Home.find())


def written(file: Path, rank: int = 4, dim: int = loras.DIM, **metadata: str) -> Path:
    return loras.write(file, loras.layers(rank=rank, dim=dim), metadata)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_an_empty_folder_has_nothing(adapters: Adapters) -> None:
    assert adapters.entries() == ()


def test_a_file_that_somebody_put_there_is_known_by_name_and_hash(adapters: Adapters) -> None:
    file = written(adapters.folder / "Zoom.safetensors", trigger_words="zoom in")
    (entry,) = adapters.entries()
    assert (entry.name, entry.triggers) == ("Zoom", ("zoom in",))
    assert entry.files[0].sha256 == digest(file)
    assert entry.adapters(0.5) == (Adapter(digest(file), 0.5),)
    assert entry.fit(loras.small_model()).fits


def test_a_file_is_hashed_once_and_again_when_it_changes(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(adapters.folder / "a.safetensors")
    before = adapters.entries()[0].files[0].sha256
    read: list[Path] = []
    whole = own_files.sha256_of

    def counted(path: Path) -> str:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(store, "sha256_of", counted)
    assert Adapters(Home.find()).entries()[0].files[0].sha256 == before
    assert read == []
    written(file, rank=2)
    after = adapters.entries()[0]
    assert read == [file]
    assert after.files[0].sha256 == digest(file) != before
    assert after.loras[0].ranks == (2,)


def test_a_damaged_file_is_shown_with_what_is_wrong(adapters: Adapters) -> None:
    adapters.folder.mkdir()
    (adapters.folder / "bad.safetensors").write_bytes(b"<html>")
    (adapters.folder / "notes.txt").write_text("mine")
    (entry,) = adapters.entries()
    assert entry.name == "bad"
    assert "web page" in str(entry.problem)
    assert not entry.fit(loras.small_model()).fits


def test_two_experts_files_are_one_entry(adapters: Adapters) -> None:
    high = written(adapters.folder / "style_high_noise.safetensors", trigger_words="ohwx")
    low = written(adapters.folder / "style_low_noise.safetensors", rank=2)
    written(adapters.folder / "other_high.safetensors", rank=3)
    pair, alone = sorted(adapters.entries(), key=lambda entry: -len(entry.files))
    assert pair.name == "style"
    assert [file.noise for file in pair.files] == ["high", "low"]
    assert [file.noise for file in alone.files] == ["high"]
    assert pair.adapters(0.7) == (Adapter(digest(high), 0.7), Adapter(digest(low), 0.7))
    assert (pair.fit(loras.small_model()).matched, pair.triggers) == (20, ("ohwx",))
    assert [file.path for file in adapters.find("style_low_noise").files] == [low]


def test_an_entry_is_found_by_name_file_and_hash(adapters: Adapters) -> None:
    file = written(adapters.folder / "Zoom.safetensors")
    for wanted in ("Zoom", "zoom", "zoom.safetensors", digest(file), digest(file)[:8].upper()):
        assert adapters.find(wanted).name == "Zoom"
    with pytest.raises(AdapterError, match=r"There is no LoRA pan .*Choose one of these: Zoom"):
        adapters.find("pan")


def test_where_there_is_none_the_remedy_says_how_to_add_one(adapters: Adapters) -> None:
    with pytest.raises(AdapterError, match="adapters pull"):
        adapters.find("zoom")


def test_a_file_is_taken_in_by_link_and_the_same_bytes_once(
    adapters: Adapters, tmp_path: Path
) -> None:
    file = written(tmp_path / "zoom.safetensors")
    entry = adapters.add(file)
    assert entry.files[0].path == adapters.folder / "zoom.safetensors"
    assert os.path.samefile(entry.files[0].path, file)
    again = written(tmp_path / "other name.safetensors")
    assert adapters.add(again).name == "zoom"
    other = written(tmp_path / "more" / "zoom.safetensors", rank=2)
    assert adapters.add(other).name == "zoom (2)"
    assert adapters.add(adapters.folder / "zoom.safetensors").name == "zoom"
    assert len(adapters.entries()) == 2


def test_a_file_is_copied_where_there_are_no_links(
    adapters: Adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", none)
    file = written(tmp_path / "zoom.safetensors")
    entry = adapters.add(file, "../my: zoom?")
    assert entry.files[0].path == adapters.folder / "_my_ zoom_.safetensors"
    assert entry.files[0].sha256 == digest(file)
    monkeypatch.setattr(store, "free_bytes", lambda _: 0)
    with pytest.raises(AdapterError, match="no room"):
        adapters.add(written(tmp_path / "b.safetensors", rank=2))
    assert len(adapters.entries()) == 1


def test_what_is_no_lora_isnt_taken_in(adapters: Adapters, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"GGUF")
    with pytest.raises(AdapterError):
        adapters.add(tmp_path / "a.safetensors")
    assert adapters.entries() == ()


def test_an_adapter_that_is_gone_is_told_with_a_remedy(adapters: Adapters) -> None:
    file = written(adapters.folder / "zoom.safetensors")
    wanted = adapters.find("zoom").adapters()
    assert [found.path for found in adapters.check(wanted, loras.small_model())] == [file]
    adapters.remove(adapters.find("zoom"))
    assert not file.exists()
    with pytest.raises(AdapterError, match=r"isn't in .* any more\. Put its file back"):
        adapters.files(wanted)
    assert adapters.files(()) == ()


def test_one_for_another_model_isnt_let_through(adapters: Adapters) -> None:
    written(adapters.folder / "small.safetensors", dim=24)
    wanted = adapters.find("small").adapters()
    with pytest.raises(AdapterError, match="24 × 24 in it and 16 × 16"):
        adapters.check(wanted, loras.small_model())


def test_a_requests_files_are_found_without_hashing_others(
    adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody has just put there may be large, and there may be many."""
    written(adapters.folder / "style_high.safetensors")
    written(adapters.folder / "style_low.safetensors", rank=2)
    wanted = adapters.find("style").adapters()
    written(adapters.folder / "new.safetensors", rank=3)
    read: list[Path] = []
    whole = own_files.sha256_of

    def counted(path: Path) -> str:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(store, "sha256_of", counted)
    assert [file.noise for file in adapters.files(wanted)] == ["high", "low"]
    assert read == []


def test_those_that_fit_a_model_come_first(adapters: Adapters) -> None:
    written(adapters.folder / "a other.safetensors", dim=24)
    written(adapters.folder / "b fits.safetensors")
    found = adapters.for_model(loras.small_model())
    assert [(entry.name, fit.fits) for entry, fit in found] == [
        ("b fits", True),
        ("a other", False),
    ]
