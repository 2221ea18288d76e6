"""``{red|blue}`` in a typed prompt: every combination is a prompt of its own.

Braces with a bar between them are a group, which may hold others. Braces without one are what they
look like, so that a prompt in JSON stays whole, and so is a bar outside of braces. ``\\{``, ``\\|``
and ``\\}`` are always the character itself. Nothing else is changed, spaces neither.

A finished clip has one of the combinations as its prompt. ``as_typed`` is what has to stand in the
form for that prompt to come out of it again.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.request import Problem, RequestError
from engine.text import Text, joined

MANY = 1_000_000  # counting ends here: whoever writes so many means something else
_TOKEN = re.compile(r"\\[{|}]|[{|}]|\\|[^\\{|}]+")  # a sign with its backslash, a sign, text


@dataclass
class _Sequence:
    """Texts and groups, one after the other."""

    pieces: list["str | _Group"] = field(default_factory=list)

    def count(self) -> int:
        made = 1
        for piece in self.pieces:
            made = min(MANY, made * (1 if isinstance(piece, str) else piece.count))
        return made


@dataclass
class _Group:
    """Options with bars between them; ``count`` is known once it is closed."""

    options: list[_Sequence] = field(default_factory=lambda: [_Sequence()])
    count: int = 1


@dataclass(frozen=True)
class Template:
    """A prompt as it was typed. ``count``: its combinations; MANY stands for that many or more."""

    whole: _Sequence
    count: int

    def prompts(self) -> Iterator[str]:
        """Every combination, of which the last group changes first. Ask ``count`` before."""
        return (_nth(self.whole, number) for number in range(self.count))


def parse(typed: str) -> Template:
    """What ``typed`` stands for, in a time that grows with its length alone.

    Raises:
        RequestError: a brace lacks its other half, and a bar might belong to it.
    """
    marks = _marks(typed)
    whole = _Sequence()
    open_groups: list[_Group] = []
    for found in _TOKEN.finditer(typed):
        token = found[0]
        sequence = open_groups[-1].options[-1] if open_groups else whole
        if found.start() not in marks:
            sequence.pieces.append(token.removeprefix("\\") if len(token) == 2 else token)
        elif token == "{":
            open_groups.append(_Group())
            sequence.pieces.append(open_groups[-1])
        elif token == "|":
            open_groups[-1].options.append(_Sequence())
        else:
            closed = open_groups.pop()
            closed.count = min(MANY, sum(option.count() for option in closed.options))
    return Template(whole, whole.count())


def as_typed(prompt: str) -> str:
    """What has to be typed to get ``prompt``, and nothing else: braces and bars that would mean
    something have a backslash."""
    try:
        template = parse(prompt)
        if template.count == 1 and next(template.prompts()) == prompt:
            return prompt
    except RequestError:
        pass
    return _escaped(prompt)


def _escaped(text: str) -> str:
    return re.sub(r"[{|}]", r"\\\g<0>", text)


def _marks(typed: str) -> set[int]:
    """Where the signs stand that make groups.

    Raises:
        RequestError: as ``parse``.
    """
    marks: set[int] = set()
    opened: list[list[int]] = []  # each: a brace and the bars that belong to it
    first_bar = last_bar = -1
    for at, sign in _signs(typed):
        if sign == "{":
            opened.append([at])
        elif sign == "|":
            first_bar, last_bar = (at if first_bar < 0 else first_bar), at
            if opened:
                opened[-1].append(at)
        elif opened:
            own = opened.pop()
            if len(own) > 1:
                marks.update(own, [at])
        elif first_bar >= 0:
            raise _unbalanced(typed, at, Text("prompts.brace_not_opened", at=at + 1))
    if opened and last_bar > opened[0][0]:
        at = opened[0][0]
        raise _unbalanced(typed, at, Text("prompts.brace_not_closed", at=at + 1))
    return marks


def _signs(typed: str) -> Iterator[tuple[int, str]]:
    """The braces and bars without a backslash, with their places."""
    for found in _TOKEN.finditer(typed):
        if found[0] in ("{", "|", "}"):
            yield found.start(), found[0]


def _unbalanced(typed: str, at: int, what: Text) -> RequestError:
    """Nearest is the prompt with that one brace as a character, if that settles it."""
    nearest = f"{typed[:at]}\\{typed[at:]}"
    try:
        _marks(nearest)
    except RequestError:
        nearest = _escaped(typed)
    told = joined(what, Text("prompts.brace_or_backslash"))
    return RequestError((Problem("prompt", told, nearest),))


def _nth(sequence: _Sequence, number: int) -> str:
    """Combination ``number``, from 0. It is as deep as groups are nested, which is less than the
    combinations are, as each group has another option."""
    texts: list[str] = []
    for piece in reversed(sequence.pieces):
        if isinstance(piece, str):
            texts.append(piece)
            continue
        number, place = divmod(number, piece.count)
        for option in piece.options:
            if place < (own := option.count()):
                texts.append(_nth(option, place))
                break
            place -= own
    return "".join(reversed(texts))
