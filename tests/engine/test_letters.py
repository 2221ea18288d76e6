"""Scripts other than English's: what is blank, what a search finds, what a file is called."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.letters import folded, for_name, is_blank


@pytest.mark.parametrize(
    ("query", "prompt"),
    [
        ("istanbul", "İstanbul at night"),
        ("İSTANBUL", "istanbul"),
        ("isik", "IŞIK"),
        ("\u0131\u015f\u0131k", "IŞIK"),
        ("strasse", "eine Straße"),
        ("STRASSE", "straße"),
        ("cafe", "un Café"),
        ("café", "un Cafe\u0301"),
        ("lodz", "Łódź"),
        ("αθηνα", "ΑΘΉΝΑ"),
        ("οδος", "ΟΔΟΣ"),
        ("ежик", "Ёжик"),
        ("ДЯДЯ", "Дядя"),
        ("ԵՐԵՎԱՆ", "երևան".replace("և", "եւ").replace("եւան", "եվան")),
        ("red", "\uff32\uff25\uff24 ball"),
        ("ガラス", "ｶﾞﾗｽ"),
        ("file", "ﬁle"),
        ("नमस्ते", "नमस्ते दुनिया"),
        ("น้ำ", "น้ำตก"),
        ("球", "红色的球"),
        ("khah", "k\u200dh\u00adah"),
    ],
)
def test_a_search_overlooks_case_in_every_script(query: str, prompt: str) -> None:
    assert folded(query) in folded(prompt)


@pytest.mark.parametrize(
    ("query", "prompt"),
    [("กา", "กี"), ("की", "का"), ("мои", "мой"), ("かき", "がき"), ("שלום", "שלו"), ("한", "하")],
)
def test_other_words_stay_others(query: str, prompt: str) -> None:
    assert folded(query) not in folded(prompt)


@given(st.text())
def test_folding_twice_is_folding_once_and_forms_are_one(text: str) -> None:
    once = folded(text)
    assert folded(once) == once
    assert folded(unicodedata.normalize("NFD", text)) == once


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u200b\u200d", "\ufeff", "\u00ad\u2060", "\u3164", "\u2800", "\u0301\u0308",
     "\u00a0\u3000\u2028", "\ufe0f", "\U000e0041", "\t\n", "\u202e\u202c",
     "\u2065", "\ufff0\ufff8", "\U000e0000", "\U000e0fff \u206a"],
)  # fmt: skip
def test_nothing_that_shows_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize(
    "text", ["a", "\u200bא", "🎈", "球", "?", "1", "e\u0301", "\ue000", "\u0378", "\ufffd"]
)
def test_what_shows_is_not(text: str) -> None:
    assert not is_blank(text)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red ball", "a-red-ball"),
        ("น้ำตกสีแดง ที่นี่", "น้ำตกสีแดง-ที่นี่"),
        ("नमस्ते दुनिया", "नमस्ते-दुनिया"),
        ("க்ஷேத்திரம்", "க்ஷேத்திரம்"),
        ("Cafe\u0301!", "café"),
        ("❤\ufe0f heart", "heart"),
        ("می\u200cخواهم", "میخواهم"),  # noqa: RUF001
        ("  _x_ ", "x"),
        ("\u0301", ""),
    ],
)
def test_a_files_name_keeps_every_scripts_words(prompt: str, name: str) -> None:
    assert for_name(prompt, 40) == name


@given(st.text())
def test_a_name_is_short_enough_and_ends_with_a_whole_letter(text: str) -> None:
    name = for_name(text, 10)
    assert len(name) <= 10
    assert not set(name) & set('/\\:*?"<>|\n\t ')
    whole = for_name(text, 10**6)
    if len(name) < len(whole) and whole.startswith(name):
        assert unicodedata.category(whole[len(name)])[0] != "M"
