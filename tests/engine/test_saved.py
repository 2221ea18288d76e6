"""Settings under a name: what a name may be, that no change loses another, and what is kept."""

import threading
from dataclasses import replace

import pytest

from engine.home import Home
from engine.jobs import Jobs
from engine.saved import MOST, NAME_LIMIT, Saved, SavedError, SavedSettings, clean_name
from engine.settings import Settings
from engine.store import Store

WIDE = "".join(chr(ord(letter) + 0xFEE0) for letter in "DRAFT") + " 480p"
DRAFT = Saved("Draft 480p", "scripted", 32, 48, 5, -1, 1)


@pytest.fixture
def kept(jobs: Jobs) -> SavedSettings:
    return SavedSettings(jobs.store)


def names(kept: SavedSettings) -> list[str]:
    return [saved.name for saved in kept.all()]


def test_it_is_kept_in_the_order_of_names(kept: SavedSettings, jobs: Jobs) -> None:
    for name in ("night", "Draft", "éclair", "Zoo"):
        assert kept.save(replace(DRAFT, name=name)) is None
    assert names(kept) == ["Draft", "night", "Zoo", "éclair"]
    assert SavedSettings(jobs.store).get("night") == replace(DRAFT, name="night")


def test_what_a_version_before_kept_has_nothing_that_follows(
    kept: SavedSettings, jobs: Jobs
) -> None:
    row = {"name": "Old", "model": "scripted", "height": 32, "width": 48, "frames": 5}
    Settings(jobs.store).set(
        "saved_settings", [{**row, "seed": 7, "count": 2}, {**row, "side": "x"}]
    )
    assert kept.all() == (Saved("Old", "scripted", 32, 48, 5, 7, 2, smooth=0, side=0),)


def test_a_name_is_one_line_and_unique_but_for_case_and_width(kept: SavedSettings) -> None:
    assert kept.save(replace(DRAFT, name="  Draft\n 480p\t ")) is None
    assert names(kept) == ["Draft 480p"]
    before = kept.save(replace(DRAFT, name=WIDE, seed=7))
    assert before == DRAFT
    assert kept.all() == (replace(DRAFT, name=WIDE, seed=7),)
    assert kept.get("draft 480P").seed == 7


@pytest.mark.parametrize("name", ["", " ", "\n", "\u200b", "\x00", "\ud800"])
def test_a_name_that_shows_nothing_is_none(kept: SavedSettings, name: str) -> None:
    with pytest.raises(SavedError, match="has no name"):
        kept.save(replace(DRAFT, name=name))


def test_a_long_name_is_refused_not_cut(kept: SavedSettings) -> None:
    assert clean_name("x" * NAME_LIMIT) == "x" * NAME_LIMIT
    with pytest.raises(SavedError, match="41 characters; the most is 40"):
        kept.save(replace(DRAFT, name="x" * (NAME_LIMIT + 1)))
    assert kept.all() == ()


def test_renaming_keeps_the_rest_and_overwrites_nothing(kept: SavedSettings) -> None:
    kept.save(DRAFT)
    kept.save(replace(DRAFT, name="Night", frames=9))
    assert kept.rename("Draft 480p", "draft 480P").name == "draft 480P", "its own name isn't taken"
    with pytest.raises(SavedError, match="already a preset named “Night”"):
        kept.rename("draft 480p", "night")
    with pytest.raises(SavedError, match="no preset named “gone”"):
        kept.rename("gone", "here")
    assert names(kept) == ["draft 480P", "Night"]
    assert kept.rename("night", "Day") == replace(DRAFT, name="Day", frames=9)


def test_deleting_gives_it_back_to_who_undoes(kept: SavedSettings) -> None:
    kept.save(DRAFT)
    gone = kept.delete("DRAFT 480p")
    assert kept.all() == ()
    assert kept.save(gone) is None
    assert kept.all() == (DRAFT,)
    with pytest.raises(SavedError, match="No preset is chosen"):
        kept.delete("")
    with pytest.raises(SavedError, match=r"any more\. Choose another"):
        kept.delete("x" * 500)


def test_there_is_a_most(kept: SavedSettings) -> None:
    for number in range(MOST):
        kept.save(replace(DRAFT, name=str(number)))
    with pytest.raises(SavedError, match="Delete one first"):
        kept.save(DRAFT)
    assert kept.save(replace(DRAFT, name="7", seed=1)) is not None, "one of them can be replaced"
    kept.delete("3")
    kept.save(DRAFT)


def test_what_isnt_as_it_is_written_is_left_out(kept: SavedSettings, jobs: Jobs) -> None:
    good = {**DRAFT.__dict__, "of_a_later_version": 1}
    rows = [
        good,
        5,
        None,
        {},
        {**good, "name": 5},
        {**good, "height": "32"},
        {**good, "seed": True},
    ]
    for value, found in ((rows, (DRAFT,)), ("x", ()), ({"a": 1}, ()), (None, ())):
        Settings(jobs.store).set("saved_settings", value)
        assert kept.all() == found


def test_tabs_that_save_at_once_lose_nothing(kept: SavedSettings) -> None:
    """Each with a connection of its own, as other processes have."""

    def save(tab: int) -> None:
        store = Store(Home.find().database)
        for number in range(8):
            SavedSettings(store).save(replace(DRAFT, name=f"{tab} {number}"))
        store.close()

    threads = [threading.Thread(target=save, args=(tab,)) for tab in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept.all()) == 32


def test_a_refused_change_leaves_what_was_there(jobs: Jobs) -> None:
    settings = Settings(jobs.store)
    settings.set("x", [1])

    def refuse(value: object) -> object:
        assert value == [1]
        raise SavedError("no")

    with pytest.raises(SavedError):
        settings.change("x", refuse)
    assert settings.get("x") == [1]
    settings.change("y", lambda value: [value])
    assert settings.get("y") == [None]
