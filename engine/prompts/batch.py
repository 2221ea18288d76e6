"""A batch: several prompts, one a line, times their variants, times several seeds."""

from collections.abc import Mapping
from dataclasses import replace

from engine.errors import ExitCode, HeadroomError
from engine.presets import Presets
from engine.prompts.variants import MANY, Template, parse
from engine.request import (
    RANDOM_SEED,
    SEED_LIMIT,
    ClipRequest,
    Problem,
    RequestError,
    is_empty,
    whole,
)
from engine.text import Text, listed

MOST = 500  # clips at once: more than a night's work on any card
IN_FULL = 5  # refused lines that are told with their reasons


class BatchError(HeadroomError):
    """There is nothing in it, or too much."""

    exit_code = ExitCode.BAD_INPUT


def count(raw: Mapping[str, object], lines: bool, seeds: object) -> int:
    """How many clips ``expand`` would make of the same, by multiplication: nothing is built.

    It may be more than MOST, which ``expand`` refuses; MANY stands for that many or more. 0 where
    there is no prompt yet.

    Raises:
        RequestError: braces don't fit together.
        BatchError: ``seeds`` is no such number.
    """
    text = raw.get("prompt")
    if not isinstance(text, str) or is_empty(text):
        return 0
    return _count(_templates(text, lines), _each(seeds))


def expand(
    raw: Mapping[str, object], lines: bool, seeds: object, presets: Presets
) -> list[ClipRequest]:
    """The requests of a batch: every prompt with its first seed, then with the next, and so on.

    Args:
        raw: one request's fields, untrusted; its prompt as it was typed, with variants
            (variants.py).
        lines: each line of the prompt is a clip of its own; empty ones don't count.
        seeds: how many clips of each prompt, untrusted; the seed given is the first, the others
            follow it.

    Raises:
        RequestError: a refused field; a refused prompt names its line.
        BatchError: no line has a prompt, ``seeds`` is no such number, or the clips are too many.
    """
    templates = _templates(raw.get("prompt"), lines)
    if not templates:
        raise BatchError(Text("prompts.empty_batch"), Text("prompts.one_a_line"))
    each = _each(seeds)
    clips = _count(templates, each)
    if clips > MOST:
        what = Text("prompts.large_batch", count=clips, most=MOST)
        if clips == MANY:
            what = Text("prompts.huge_batch", count=clips, most=MOST)
        raise BatchError(what, Text("prompts.take_fewer"))
    checked = _checked(raw, templates, presets)
    return [
        replace(request, seed=_nth(request.seed, n)) for n in range(each) for request in checked
    ]


def single(raw: Mapping[str, object], presets: Presets) -> ClipRequest:
    """The request of a form that stands for one clip, as where a waiting one is edited.

    Raises:
        RequestError: a refused field.
        BatchError: its prompt has several variants.
    """
    if (clips := count(raw, lines=False, seeds=1)) > 1:
        raise BatchError(Text("prompts.several", count=clips), Text("prompts.choose_one"))
    return expand(raw, False, 1, presets)[0]


def _templates(text: object, lines: bool) -> dict[int, Template]:
    """What was typed, by the number of its line; all of it under 0 without ``lines``.

    Raises:
        RequestError: braces don't fit together; the lines are named.
    """
    typed = {0: text if isinstance(text, str) else ""}
    if lines and isinstance(text, str):
        numbered = enumerate(text.splitlines(), 1)
        typed = {number: line.strip() for number, line in numbered if not is_empty(line)}
    templates: dict[int, Template] = {}
    refused: dict[int, list[Problem]] = {}
    for line, prompt in typed.items():
        try:
            templates[line] = parse(prompt)
        except RequestError as error:
            refused[line] = list(error.problems)
    if refused:
        raise RequestError(_by_line(refused, alone=len(typed) == 1))
    return templates


def _each(seeds: object) -> int:
    each = whole(seeds)
    if each is None or not 1 <= each <= MOST:
        told = "" if seeds is None else str(seeds)[:40]
        no_count = Text("prompts.no_count", value=repr(told), most=MOST)
        raise BatchError(no_count, Text("prompts.enter_count"))
    return each


def _count(templates: Mapping[int, Template], each: int) -> int:
    return min(MANY, each * sum(template.count for template in templates.values()))


def _checked(
    raw: Mapping[str, object], templates: Mapping[int, Template], presets: Presets
) -> list[ClipRequest]:
    """Every prompt's request; what is refused names its line, and nothing is cut.

    Raises:
        RequestError: with the problems of the first lines in full, the others by number.
    """
    made: list[ClipRequest] = []
    refused: dict[int, list[Problem]] = {}
    others: list[Problem] = []  # true of every line, so told once
    for line, template in templates.items():
        for number, prompt in enumerate(template.prompts(), 1):
            try:
                made.append(ClipRequest.check({**raw, "prompt": prompt}, presets))
            except RequestError as error:
                others = [one for one in error.problems if one.field != "prompt"]
                own = [one for one in error.problems if one.field == "prompt"]
                if own and line not in refused:
                    several = template.count > 1
                    refused[line] = [_of_variant(number, one) for one in own] if several else own
    if refused or others:
        raise RequestError((*_by_line(refused, alone=len(templates) == 1), *others))
    return made


def _by_line(refused: Mapping[int, list[Problem]], alone: bool) -> tuple[Problem, ...]:
    """Problems with their lines, which need no number where there is but one."""
    if alone:
        return tuple(problem for problems in refused.values() for problem in problems)
    told = [_of_line(line, one) for line in list(refused)[:IN_FULL] for one in refused[line]]
    if rest := list(refused)[IN_FULL:]:
        told.append(Problem("prompt", Text("prompts.lines", lines=listed(*map(str, rest)))))
    return tuple(told)


def _of_line(line: int, problem: Problem) -> Problem:
    return replace(problem, sentence=Text("prompts.line", line=line, said=problem.sentence))


def _of_variant(number: int, problem: Problem) -> Problem:
    return replace(problem, sentence=Text("prompts.variant", number=number, said=problem.sentence))


def _nth(seed: int, n: int) -> int:
    return RANDOM_SEED if seed == RANDOM_SEED else (seed + n) % SEED_LIMIT
