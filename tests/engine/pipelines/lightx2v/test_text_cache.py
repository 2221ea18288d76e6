"""Prompts' embeddings: kept in memory and on the disk, and never those of another encoder."""

import os
from pathlib import Path

import pytest
import torch

from engine.pipelines.lightx2v import text_cache
from engine.pipelines.lightx2v.text_cache import TextCache

ROWS = torch.arange(12, dtype=torch.bfloat16).view(3, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prompts"


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


def test_a_prompt_is_known_in_this_process_and_in_the_next(folder: Path) -> None:
    cache = TextCache(folder, "t5")
    assert cache.get("a ball") is None
    cache.put("a ball", ROWS)
    for each in (cache, TextCache(folder, "t5")):
        rows = each.get("a ball")
        assert rows is not None
        assert rows.dtype == torch.bfloat16
        assert torch.equal(rows, ROWS)
        assert each.get("A ball") is None
    assert [file.suffix for file in files(folder)] == [".safetensors"]


def test_another_encoder_knows_nothing(folder: Path) -> None:
    TextCache(folder, "t5 bf16").put("a ball", ROWS)
    assert TextCache(folder, "t5 fp8").get("a ball") is None
    # nor can the border between encoder and prompt be moved
    assert TextCache(folder, "t5").get(" bf16\0a ball") is None


def test_what_is_kept_is_a_copy_of_a_part(folder: Path) -> None:
    """Only the rows, not the tensor that they are a view of."""
    cache = TextCache(folder, "t5")
    cache.put("a ball", torch.randn(4096, 8)[:2])
    assert files(folder)[0].stat().st_size < 1000


def test_memory_forgets_and_the_disk_remembers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_cache, "IN_MEMORY", 2)
    cache = TextCache(folder, "t5")
    for n in range(3):
        cache.put(str(n), ROWS + n)
    found = [cache.get(str(n)) for n in range(3)]
    assert all(rows is not None and torch.equal(rows, ROWS + n) for n, rows in enumerate(found))


@pytest.mark.parametrize("damage", [b"", b"half", b"\x10\0\0\0\0\0\0\0{}              "])
def test_a_damaged_file_is_removed_and_made_again(folder: Path, damage: bytes) -> None:
    TextCache(folder, "t5").put("a ball", ROWS)
    (file,) = files(folder)
    file.write_bytes(damage)
    cache = TextCache(folder, "t5")
    assert cache.get("a ball") is None
    assert not file.exists()
    cache.put("a ball", ROWS)
    assert file.exists()


def test_the_disk_drops_what_was_unused_for_longest(folder: Path) -> None:
    TextCache(folder, "t5").put("old", ROWS)
    size = files(folder)[0].stat().st_size
    for age, prompt in ((300, "old"), (200, "older than it seems"), (100, "young")):
        TextCache(folder, "t5").put(prompt, ROWS)
        newest = max(files(folder), key=lambda file: file.stat().st_mtime)
        os.utime(newest, (0, newest.stat().st_mtime - age))
    assert TextCache(folder, "t5").get("old") is not None  # used: now the youngest
    TextCache(folder, "t5", limit=3 * size).put("new", ROWS)
    fresh = TextCache(folder, "t5")
    assert fresh.get("older than it seems") is None
    assert all(fresh.get(prompt) is not None for prompt in ("old", "young", "new"))


def test_a_disk_that_refuses_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("a file where the folder should be")
    cache = TextCache(tmp_path / "prompts", "t5")
    assert cache.get("a ball") is None
    cache.put("a ball", ROWS)
    assert cache.get("a ball") is not None


def test_a_place_that_cant_even_be_cleared_costs_nothing(folder: Path) -> None:
    TextCache(folder, "t5").put("a ball", ROWS)
    (file,) = files(folder)
    file.unlink()
    file.mkdir()
    cache = TextCache(folder, "t5")
    assert cache.get("a ball") is None
    cache.put("a ball", ROWS)
    assert cache.get("a ball") is not None


def test_a_disk_that_can_only_be_read_still_knows(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TextCache(folder, "t5").put("a ball", ROWS)

    def refuse(*_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("os.utime", refuse)
    assert TextCache(folder, "t5").get("a ball") is not None
    assert len(files(folder)) == 1
