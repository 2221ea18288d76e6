"""What may be asked for as another version of a clip, and which clips belong together."""

import contextlib
import itertools
import sqlite3
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from engine import store
from engine.engine import Engine
from engine.library import folder_sync
from engine.library.files import Identity
from engine.library.library import Clip, Library, Query, add_clip
from engine.library.mp4 import ClipError
from engine.library.receipt import asked_again, checked, for_others, receipt_lines
from engine.library.versions import (
    OWN,
    Asked,
    Changers,
    Original,
    next_rate,
    told_of,
    versions,
)
from engine.library.video import Video
from engine.presets import Presets
from engine.request import ClipRequest, RequestError
from engine.store import Store
from engine.timing import RATES
from tests.support.clipfiles import receipt, write

DIGEST = "a" * 64


def video(frames: int = 81, rate: Fraction | int = 16) -> Video:
    times = tuple(Fraction(at) / rate for at in range(frames))
    return Video(832, 480, times, Fraction(frames) / rate, False)


def original(rate: Fraction | int = 16) -> Original:
    return Original(DIGEST, video(rate=rate), "a red ball", 7)


def test_a_request_has_what_comes_out(presets: Presets) -> None:
    request = Asked("24").request(original(), Changers.of(presets), OWN)
    assert request.to_json() == {
        "prompt": "a red ball",
        "height": 480,
        "width": 832,
        "frames": 122,
        "seed": 7,
        "model": "smooth",
        "source": DIGEST,
        "fps": 24,
    }
    assert ClipRequest.from_json(request.to_json()) == request
    assert ClipRequest.check(request.to_json(), presets) == request


def test_a_gpu_changes_clips_where_it_can(presets: Presets) -> None:
    usual, able = Changers.of(presets), Changers.of(presets, lambda _: True)
    assert (usual.smoother.id, usual.enlarger.id) == ("smooth", "enlarge")
    assert (able.smoother.id, able.enlarger.id) == ("rife", "seedvr2-3b")
    smoothly = Changers.of(presets, lambda preset: preset.id == "rife")
    for wanted, by in {
        (True, False): ("smooth", "rife", "rife"),
        (False, True): ("enlarge", "seedvr2-3b", "enlarge"),
        (True, True): ("enlarge", "seedvr2-3b", "rife"),
    }.items():
        found = [one.by(*wanted).id for one in (usual, able, smoothly)]
        assert found == [*by]


@pytest.mark.parametrize("rate", [0, 16, 25, 61, -24, 24.5, "fast", True, 10**30, [24]])
def test_only_rates_that_screens_have(presets: Presets, rate: object) -> None:
    with pytest.raises(RequestError, match="isn't one of 24, 30, 32, 48, 60 frames"):
        Asked(rate).request(original(), Changers.of(presets), OWN)


@pytest.mark.parametrize(
    ("has", "next_one"),
    [
        (16, 32),
        (8, 24),
        (24, 48),
        (30, 60),
        (Fraction(30_000, 1001), 60),
        (48, 60),
        (60, None),
        (Fraction(60_000, 1001), None),
        (240, None),
    ],
)
def test_twice_as_many_or_the_most(
    presets: Presets, has: Fraction | int, next_one: int | None
) -> None:
    assert next_rate(video(rate=has)) == next_one
    for rate in RATES:
        if rate <= has:
            with pytest.raises(RequestError, match="frames a second already"):
                Asked(rate).request(original(has), Changers.of(presets), OWN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "wan-tiny"},
        {"model": None},
        {"source": "../../x"},
        {"source": 5},
        {"fps": 25},
        {"fps": None},
        {"height": 481},
        {"height": 4320},
        {"width": 0},
        {"frames": 0},
        {"frames": 99_999},
        {"frames": "many"},
        {"prompt": ""},
        {"seed": -5},
    ],
)
def test_a_version_that_comes_from_elsewhere_is_checked(
    presets: Presets, wrong: dict[str, object]
) -> None:
    right = Asked(60).request(original(), Changers.of(presets), OWN).to_json()
    with pytest.raises(RequestError):
        ClipRequest.check(right | wrong, presets)


@pytest.mark.parametrize(("width", "height"), [(8, 64), (64, 8), (3840, 544), (0, 64)])
def test_no_size_that_nobody_can_judge(presets: Presets, width: int, height: int) -> None:
    odd = Original(DIGEST, replace(video(), width=width, height=height), "a")
    with pytest.raises(RequestError, match="another version of a clip can't have"):
        Asked(32).request(odd, Changers.of(presets), OWN)


def test_a_clip_with_as_many_as_there_are_is_told_so(presets: Presets) -> None:
    with pytest.raises(RequestError, match=r"has 60\.0 frames a second already"):
        Asked(next_rate(video(rate=60))).request(original(60), Changers.of(presets), OWN)


def test_what_changes_clips_makes_none(presets: Presets) -> None:
    with pytest.raises(RequestError, match="changes a clip that is there"):
        ClipRequest.check({"prompt": "a red ball", "model": "smooth"}, presets)
    assert "smooth" not in [preset.id for preset in presets.makers]


# ---- receipts ------------------------------------------------------------------------------------


def version_of(before: dict[str, Any] | None) -> dict[str, Any]:
    told = receipt(model="smooth", source=DIGEST, fps=32)
    return told | {"source": told_of(before, "ball.mp4")}


def test_a_receipt_tells_how_to_make_the_clip_itself_again() -> None:
    made = receipt("a red ball", seed=7)
    once = version_of(made)
    assert checked(once, "x")["source"] == {
        "name": "ball.mp4",
        "request": made["request"],
        "seed": 7,
        "model": "scripted",
    }
    assert asked_again(checked(once, "x")) == made["request"]
    twice = version_of(once)
    assert asked_again(checked(twice, "x")) == made["request"]
    assert for_others(twice)["source"]["name"] == "", "nothing of the computer"
    assert asked_again(for_others(twice)) == made["request"]


def test_of_another_programs_video_there_is_nothing_to_make_again() -> None:
    with pytest.raises(ClipError, match="made of another program's video"):
        asked_again(checked(version_of(None), "x"))


def test_nothing_in_a_strangers_receipt_crashes_its_reader() -> None:
    for wrong in (
        version_of(None) | {"source": None},
        version_of(None) | {"source": {"request": None, "seed": 1}},
        version_of(None) | {"source": {"request": receipt()["request"], "seed": None}},
    ):
        assert receipt_lines(wrong)
        assert for_others(wrong)
        with pytest.raises(ClipError, match="another program's video"):
            asked_again(wrong)
    plain = receipt()
    plain["request"]["source"] = None
    assert asked_again(plain)["prompt"] == "a red ball"


def test_a_receipt_with_a_wrong_source_is_a_damaged_one() -> None:
    for wrong in (5, {"name": 5}, {"request": {"prompt": ""}}, {"seed": -9}, {"name": "x" * 999}):
        with pytest.raises(ClipError, match="source"):
            checked(version_of(None) | {"source": wrong}, "x")


# ---- which belong together -----------------------------------------------------------------------


@pytest.mark.starts
def test_versions_find_one_another_whatever_was_deleted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = engine.library
    monkeypatch.setattr(folder_sync, "SETTLED_SECONDS", 0.0)

    def enters(name: str, kept: dict[str, object]) -> Clip:
        write(engine.home.clips / name, kept)
        engine.folder_sync.scan()
        return next(clip for clip in library.newest() if clip.file == name)

    first = enters("1.mp4", receipt("a red ball"))
    digest = first.identity.digest or library.learn(first)
    a = enters("2.mp4", receipt("a red ball", model="smooth", source=digest, fps=24))
    b = enters("3.mp4", receipt("a red ball", model="smooth", source=digest, fps=60))
    other = enters("4.mp4", receipt("a blue cube"))

    def family(clip: Clip) -> set[str]:
        return {one.file for one in versions(library, clip)}

    for clip in (first, a, b):
        assert family(clip) == {"1.mp4", "2.mp4", "3.mp4"}
    assert family(other) == {"4.mp4"}
    library.trash(first.id)
    assert family(a) == family(b) == {"2.mp4", "3.mp4"}
    library.trash(b.id)
    assert family(a) == {"2.mp4"}


def came(engine: Engine, digest: str, source: str | None = None, **more: Any) -> Clip:
    """A row of a clip; a version of the one whose digest is ``source``."""
    library = engine.library
    if source is not None:
        more |= {"source": source * 64, "fps": 24}
    with library.store.transaction() as db:
        moment = f"2026-01-{len(library.newest()) + 1:02}"
        kept = receipt(**more)
        add_clip(db, None, moment, f"{moment}.mp4", kept, Identity((1, 1), digest * 64))
    return library.newest(1)[0]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_family_is_one_in_whatever_order_it_comes(engine: Engine, order: tuple[int, ...]) -> None:
    """A version's version, of a clip that was dropped and isn't in the library."""
    chain: list[tuple[str, str | None]] = [("b", "a"), ("c", "b"), ("d", "c")]
    for at in order:
        came(engine, *chain[at])
    clips = engine.library.newest()
    assert [clip.root for clip in clips] == ["a" * 64] * 3
    assert engine.library.stacks(clips) == {clip.id: 3 for clip in clips}
    assert [len(versions(engine.library, clip)) for clip in clips] == [3, 3, 3]


def test_a_family_is_known_once_its_files_are(engine: Engine) -> None:
    first, second, third = came(engine, "a"), came(engine, "b", "a"), came(engine, "c", "b")
    with engine.library.store.transaction() as db:
        db.execute("update clips set digest = null, family = receipt ->> '$.request.source'")
    for clip, digest in ((third, "c"), (second, "b"), (first, "a")):
        with engine.library.store.transaction() as db:
            db.execute("update clips set digest = ? where id = ?", (digest * 64, clip.id))
    assert {clip.root for clip in engine.library.newest()} == {"a" * 64}


def test_rows_of_before_get_their_families(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    path = engine.home.root / "before.sqlite3"
    with monkeypatch.context() as patch:
        patch.setattr(store, "MIGRATIONS", store.MIGRATIONS[:11])
        Store(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for digest, source in (("d", "c"), ("b", "a"), ("c", "b"), ("x", None)):
            more: dict[str, Any] = {"source": source * 64, "fps": 24} if source else {}
            kept = receipt(**more)
            add_clip(db, None, "2026", f"{digest}.mp4", kept, Identity((1, 1), digest * 64))
    opened = Store(path)
    clips = Library(engine.home, opened).newest()
    opened.close()
    assert {clip.file[0]: clip.family for clip in clips} == {
        **dict.fromkeys("bcd", "a" * 64),
        "x": None,
    }


def test_a_clip_and_its_versions_are_one_stack(engine: Engine) -> None:
    library = engine.library
    first = came(engine, "a")
    other = came(engine, "b", prompt="a blue cube")
    copy = came(engine, "b", prompt="a blue cube")
    smoother = came(engine, "c", "a", model="smooth")
    larger = came(engine, "d", "a", model="enlarge", height=64)

    def stacked(**query: Any) -> list[int]:
        whole = library.page(Query(**query, stacked=True))
        pages, after = list[int](), None
        while len(pages) < whole.count:  # each stack is on one page
            page = library.page(Query(**query, stacked=True), after, limit=1)
            pages, after = pages + [clip.id for clip in page.clips], page.next
        assert after is None
        assert pages == [clip.id for clip in whole.clips]
        return pages

    assert stacked() == [larger.id, copy.id, other.id], "a copy of a file is no version"
    assert library.stacks(library.newest())[larger.id] == 3
    assert library.stacks(library.newest())[copy.id] == 1
    # What is meant of a stack is found, whatever else is in it.
    assert stacked(model="smooth") == [smoother.id]
    assert stacked(words="red") == [larger.id]
    library.favourite(first.id, True)
    assert stacked(favourites=True) == [first.id]
    with library.store.transaction() as db:
        db.execute("update clips set trashed = '2026' where id = ?", (larger.id,))
    assert stacked() == [smoother.id, copy.id, other.id]
    assert library.stacks(library.newest())[smoother.id] == 2
    assert library.page(Query(trash=True)).clips[0].id == larger.id
    with library.store.transaction() as db:
        db.execute("update clips set missing = 1 where id = ?", (smoother.id,))
    assert stacked() == [copy.id, other.id, first.id]


def test_clips_that_are_each_others_version_end_no_search(engine: Engine) -> None:
    """Which only somebody's own receipts can say."""
    with engine.jobs.store.transaction() as db:
        for digest, source in (("b" * 64, "c" * 64), ("c" * 64, "b" * 64)):
            kept = receipt(model="smooth", source=source, fps=24)
            add_clip(db, None, "2026-01-01", f"{digest[0]}.mp4", kept, Identity((1, 1), digest))
    clips = engine.library.newest()
    assert [len(versions(engine.library, clip)) for clip in clips] == [2, 2]


def test_a_source_of_another_home_is_no_path(engine: Engine, tmp_path: Path) -> None:
    for name in ("../x", "x" * 64, "", "a" * 63):
        assert engine.sources.find(name) is None
