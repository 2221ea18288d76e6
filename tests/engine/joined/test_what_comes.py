"""What comes from another machine is looked at, in either direction."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.engine import Engine
from engine.jobs import Job, State
from engine.joined.machines import Machines
from engine.joined.station import Station
from engine.library.mp4 import write_clip
from engine.process.own_files import sha256_of
from tests.conftest import Ask, finish
from tests.support.joined import (
    Line,
    far,
    there,
)

pytestmark = pytest.mark.starts


@pytest.mark.parametrize("wrong", ["bytes", "frames", "no clip", "receipt"])
def test_a_file_that_isnt_the_clip_never_enters_the_library(
    head: Engine, machines: Machines, line: Line, ask: Ask, wrong: str, tmp_path: Path
) -> None:
    station = line.station
    errands = station._errands
    keep = errands.made

    def made(job: Job) -> Any:
        found = keep(job)
        if found is None or job.state is not State.DONE:
            return found
        clip = errands.clip(job.errand)
        if wrong == "bytes":
            clip.write_bytes(b"\0" * found.bytes)
            return found
        if wrong == "receipt":
            receipt = {**found.receipt, "request": {"prompt": "something else"}}
            return type(found)(receipt, found.sha256, found.bytes)
        if wrong == "frames":
            write_clip(clip, np.zeros((5, 128, 128, 3), np.uint8), 16, None)
        else:
            clip.write_bytes(b"<html>" * 100)
        return type(found)(found.receipt, sha256_of(clip), clip.stat().st_size)

    errands.made = made  # type: ignore[method-assign]
    head.start()
    job = finish(head, head.submit(ask(), lane=far(machines)))
    assert job.state is State.FAILED
    assert str(job.note).startswith("What came back from") or "damaged" in str(job.note)
    assert head.library.newest() == []
    assert list(head.home.clips.iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        ("make", "../../etc", {}),
        ("make", "a" * 64, {"request": {"prompt": "x", "model": "scripted"}, "kind": "clip"}),
        ("give", "picture", "../x", 0, b"", True, ""),
        ("give", "clip", "0" * 64, 0, b"not it", True, {}),
        ("take", "../../../etc/passwd", 0),
        ("take", "b" * 64, 0),
        ("receipt", "c" * 64),
        ("fetch", "no such model", True),
        ("verdicts", "no lane", "scripted", [[1, 2, 3]]),
        ("no_such_method",),
        ("__init__",),
    ],
)
def test_a_senseless_call_is_answered_with_a_sentence(
    station: Station, call: tuple[Any, ...]
) -> None:
    answer = station.answer(*call)
    assert answer.keys() == {"error", "remedy"}
    assert answer["error"]
    assert not any(there(station).home.errands.glob(".part*"))


def test_a_key_is_no_way_to_other_files(station: Station, tmp_path: Path) -> None:
    errands = there(station).home.made(there(station).home.errands)
    secret = errands.parent / "clips" / "own.mp4"
    secret.write_bytes(b"mine")
    assert (errands / "../clips/own.mp4").exists()
    assert "error" in station.answer("take", "../clips/own", 0)
    station.answer("forget", "../clips/own")
    assert secret.read_bytes() == b"mine"
