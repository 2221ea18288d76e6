"""Files are read in pieces, in their order, no further ahead than there is room."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.pipelines.lightx2v import read_ahead
from engine.pipelines.lightx2v.read_ahead import ReadAhead, transformer_ahead
from engine.plan.choice import Choice
from engine.presets import load_presets
from engine.units import GIB
from tests.conftest import wait_until

PIECE = 1000


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was read, by file and place."""
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(read_ahead, "PIECE", PIECE)
    real = read_ahead._pieces

    def told(files: Any) -> Any:
        for piece in real(files):
            seen.append((piece[0].name, piece[1]))
            yield piece

    monkeypatch.setattr(read_ahead, "_pieces", told)
    return seen


def files(folder: Path, *sizes: int) -> list[Path]:
    made = [folder / f"{n}.bin" for n in range(len(sizes))]
    for file, size in zip(made, sizes, strict=True):
        file.write_bytes(bytes(size))
    return made


def test_every_piece_is_read_once_and_in_order(
    tmp_path: Path, pieces: list[tuple[str, int]]
) -> None:
    with ReadAhead(files(tmp_path, 2500, 1, 1000)) as ahead:
        ahead.join()
    wanted = [("0.bin", 0), ("0.bin", 1000), ("0.bin", 2000), ("1.bin", 0), ("2.bin", 0)]
    assert pieces == wanted


def test_it_stays_within_the_room_and_goes_on_as_they_are_used(
    tmp_path: Path, pieces: list[tuple[str, int]]
) -> None:
    used = [0]
    with ReadAhead(files(tmp_path, 20 * PIECE), lambda: used[0], ahead=3 * PIECE) as ahead:
        wait_until(lambda: len(pieces) >= 4, "the first pieces")
        time.sleep(0.1)
        # Each of the others holds one more, which it hasn't read.
        assert len(pieces) <= 4 + read_ahead.READERS
        used[0] = 20 * PIECE
        ahead.join()
    assert len(pieces) == 20


def test_leaving_ends_the_threads_whatever_they_wait_for(tmp_path: Path) -> None:
    with ReadAhead(files(tmp_path, 10**6), ahead=-1):
        assert any("read ahead" in thread.name for thread in threading.enumerate())
    wait_until(
        lambda: not any("read ahead" in thread.name for thread in threading.enumerate()),
        "the end of the threads",
    )


def test_what_cant_be_read_is_left_to_whoever_uses_it(
    tmp_path: Path, pieces: list[tuple[str, int]]
) -> None:
    (there,) = files(tmp_path, 10)
    with ReadAhead([tmp_path / "gone.bin", tmp_path, there]) as ahead:
        ahead.join()
    assert ("0.bin", 0) in pieces


@pytest.mark.parametrize(
    ("gib", "offload", "arena", "reads"),
    [
        (60, "block-exact", True, True),
        (23, "block-exact", True, False),
        (60, "lazy", False, False),
    ],
)
def test_blocks_come_in_their_order_where_there_is_ram(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gib: int,
    offload: str,
    arena: bool,
    reads: bool,
) -> None:
    preset = load_presets().models["wan2.1-t2v-14b-fp8"]
    monkeypatch.setattr(read_ahead, "sample_host", lambda _: SimpleNamespace(available=gib * GIB))
    asked: list[list[str]] = []
    monkeypatch.setattr(
        read_ahead, "ReadAhead", lambda found, *_: asked.append([file.name for file in found])
    )
    checkpoint: Any = SimpleNamespace(layout="blocks", transformers=(tmp_path,))
    plan = {"offload": Choice(offload, "")}
    pinned: Any = SimpleNamespace(filled=0) if arena else None
    transformer_ahead(checkpoint, pinned, plan, preset)
    wanted = ["non_block.safetensors", *(f"block_{n}.safetensors" for n in range(40))]
    assert asked == [wanted if reads else []]
