"""A batch: several prompts, one a line, times several seeds."""

from collections.abc import Mapping
from dataclasses import replace

from engine.errors import ExitCode, HeadroomError
from engine.presets import Presets
from engine.request import RANDOM_SEED, SEED_LIMIT, ClipRequest, Problem, RequestError
from engine.text import Text

MOST = 500  # clips at once: more than a night's work on any card


class BatchError(HeadroomError):
    """There is nothing in it, or too much."""

    exit_code = ExitCode.BAD_INPUT


def expand(
    raw: Mapping[str, object], lines: bool, seeds: int, presets: Presets
) -> list[ClipRequest]:
    """The requests of a batch: every prompt with its first seed, then with the next, and so on.

    Args:
        raw: one request's fields, untrusted.
        lines: each line of the prompt is a clip of its own; empty ones don't count.
        seeds: how many clips of each prompt; the seed given is the first, the others follow it.

    Raises:
        RequestError: a refused field; a refused prompt names its line.
        BatchError: no line has a prompt, or the clips are too many.
    """
    text = raw.get("prompt")
    prompts: list[object] = [text]
    if lines and isinstance(text, str):
        prompts = [line.strip() for line in text.splitlines() if line.strip()]
    if not prompts:
        raise BatchError(Text("prompts.empty_batch"), Text("prompts.one_a_line"))
    if not 1 <= seeds or seeds * len(prompts) > MOST:
        raise BatchError(
            Text("prompts.large_batch", count=seeds * len(prompts), most=MOST),
            Text("prompts.take_fewer"),
        )
    checked = [_check(raw, prompt, n, len(prompts), presets) for n, prompt in enumerate(prompts, 1)]
    return [
        replace(request, seed=_nth(request.seed, n)) for n in range(seeds) for request in checked
    ]


def _check(
    raw: Mapping[str, object], prompt: object, line: int, of: int, presets: Presets
) -> ClipRequest:
    try:
        return ClipRequest.check({**raw, "prompt": prompt}, presets)
    except RequestError as error:
        if of == 1:
            raise
        raise RequestError(tuple(_of_line(line, one) for one in error.problems)) from error


def _of_line(line: int, problem: Problem) -> Problem:
    """A prompt's problem is its line's; any other is true of every line."""
    if problem.field != "prompt":
        return problem
    return replace(problem, sentence=Text("prompts.line", line=line, said=problem.sentence))


def _nth(seed: int, n: int) -> int:
    return RANDOM_SEED if seed == RANDOM_SEED else (seed + n) % SEED_LIMIT
