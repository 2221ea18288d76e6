"""A batch: several prompts, one a line, times several seeds."""

from collections.abc import Mapping
from dataclasses import replace

from engine.errors import ExitCode, HeadroomError
from engine.presets import Presets
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


def expand(
    raw: Mapping[str, object], lines: bool, seeds: object, presets: Presets
) -> list[ClipRequest]:
    """The requests of a batch: every prompt with its first seed, then with the next, and so on.

    Args:
        raw: one request's fields, untrusted.
        lines: each line of the prompt is a clip of its own; empty ones don't count.
        seeds: how many clips of each prompt, untrusted; the seed given is the first, the others
            follow it.

    Raises:
        RequestError: a refused field; a refused prompt names its line.
        BatchError: no line has a prompt, ``seeds`` is no such number, or the clips are too many.
    """
    text = raw.get("prompt")
    prompts: dict[int, object] = {0: text}
    if lines and isinstance(text, str):
        numbered = enumerate(text.splitlines(), 1)
        prompts = {number: line.strip() for number, line in numbered if not is_empty(line)}
    if not prompts:
        raise BatchError(Text("prompts.empty_batch"), Text("prompts.one_a_line"))
    each = whole(seeds)
    if each is None or not 1 <= each <= MOST:
        told = "" if seeds is None else str(seeds)[:40]
        no_count = Text("prompts.no_count", value=repr(told), most=MOST)
        raise BatchError(no_count, Text("prompts.enter_count"))
    if each * len(prompts) > MOST:
        raise BatchError(
            Text("prompts.large_batch", count=each * len(prompts), most=MOST),
            Text("prompts.take_fewer"),
        )
    checked = _checked(raw, prompts, presets)
    return [
        replace(request, seed=_nth(request.seed, n)) for n in range(each) for request in checked
    ]


def _checked(
    raw: Mapping[str, object], prompts: Mapping[int, object], presets: Presets
) -> list[ClipRequest]:
    """Every line's request; what is refused names its line, and nothing is cut.

    Raises:
        RequestError: with the problems of the first lines in full, the others by number.
    """
    made: list[ClipRequest] = []
    refused: dict[int, list[Problem]] = {}
    others: list[Problem] = []  # true of every line, so told once
    for line, prompt in prompts.items():
        try:
            made.append(ClipRequest.check({**raw, "prompt": prompt}, presets))
        except RequestError as error:
            if len(prompts) == 1:
                raise
            others = [one for one in error.problems if one.field != "prompt"]
            if own := [one for one in error.problems if one.field == "prompt"]:
                refused[line] = own
    told = [_of_line(line, one) for line in list(refused)[:IN_FULL] for one in refused[line]]
    if rest := list(refused)[IN_FULL:]:
        told.append(Problem("prompt", Text("prompts.lines", lines=listed(*map(str, rest)))))
    if told or others:
        raise RequestError((*told, *others))
    return made


def _of_line(line: int, problem: Problem) -> Problem:
    return replace(problem, sentence=Text("prompts.line", line=line, said=problem.sentence))


def _nth(seed: int, n: int) -> int:
    return RANDOM_SEED if seed == RANDOM_SEED else (seed + n) % SEED_LIMIT
