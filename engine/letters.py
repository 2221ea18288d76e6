"""What texts are made of, by Unicode: whether anything shows, what a search compares, what a file's
name keeps. A script is a reader's, so none is treated as if it were Latin's."""

import unicodedata
from functools import lru_cache

# Letters and symbols by their category that show nothing (Default_Ignorable_Code_Point, and
# Braille's empty cell).
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# As them, and not assigned yet: whatever they become will show nothing (DerivedCoreProperties).
_NEVER_SHOWN = ((0x2065, 0x2065), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF))
# What no decomposition gives, and a reader without the keyboard for it types.
_PLAIN = str.maketrans(
    {"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe"}
)
_STRESS = frozenset("\u0300\u0301")  # over Cyrillic vowels, in textbooks


def is_blank(text: str) -> bool:
    """Whether nothing in ``text`` shows by itself: spaces, format and control characters, marks
    without a letter."""
    return not any(_shows(c) for c in text)


def _shows(c: str) -> bool:
    """Whether ``c`` shows by itself. A private or an unassigned one does: fonts draw a box."""
    kind = unicodedata.category(c)
    if kind == "Cn":
        return not any(first <= ord(c) <= last for first, last in _NEVER_SHOWN)
    return kind == "Co" or (kind[0] in "LNPS" and c not in _BLANK)


def folded(text: str) -> str:
    """``text`` without what a search overlooks: case in every script, width and other forms of the
    same sign (NFKC), format characters; accents on Latin and Greek letters. Vowels and tones of
    other scripts make other words, and stay.

    The library keeps the result (``store.m008_search``), so a change here needs a migration.
    """
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    text = unicodedata.normalize("NFKC", text).casefold().translate(_PLAIN)
    kept, base = [], ""
    for c in unicodedata.normalize("NFD", text):
        kind = unicodedata.category(c)
        if kind == "Cf":
            continue
        if kind == "Mn":
            if _overlooked(base, c):
                continue
        else:
            base = c
        kept.append(c)
    return unicodedata.normalize("NFC", "".join(kept))


@lru_cache(maxsize=4096)
def _overlooked(base: str, mark: str) -> bool:
    """A reader of Russian takes io (U+0451) for ie, but a short i (U+0439) for no i."""
    name = unicodedata.name(base, "") if base else ""
    if name.startswith("CYRILLIC"):
        return mark in _STRESS or (base == "\u0435" and mark == "\u0308")
    return name.startswith(("LATIN", "GREEK"))


def for_name(text: str, most: int) -> str:
    """Words of ``text`` with dashes between them, for a file's name: letters and digits, with the
    marks that belong to them; at most ``most`` characters, and no letter without its marks."""
    kept: list[str] = []
    for c in unicodedata.normalize("NFC", text).lower():
        kind = unicodedata.category(c)
        if kind == "Cf":
            continue
        if c.isalnum() or c == "_" or (kind[0] == "M" and kept and kept[-1] not in "-_"):
            kept.append(c)
        elif kept and kept[-1] != "-":
            kept.append("-")
    end = len(kept) if len(kept) <= most else most
    while 0 < end < len(kept) and unicodedata.category(kept[end])[0] == "M":
        end -= 1
    return "".join(kept[:end]).strip("-_")
