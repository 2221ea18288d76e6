"""What a person chose last is what the page shows, however slowly it is answered.

Gradio (6.31) runs its events side by side and shows each answer as it comes, which loses choices
in three ways:

- "once", the usual trigger mode, drops a choice that is made while the one before is answered;
- what the page had begun to look at by itself, with the values of before, is shown when it is
  found, though a choice was answered meanwhile;
- "always_last" starts every event of that trigger again once the first of them is answered. Two
  of them on one trigger wait for each other, and ask in turn until somebody closes the tab.
"""

import functools
import inspect
import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from ui.wiring import ACTS

# Sessions whose last events are known. Older ones are of closed tabs, or lose one comparison.
SESSIONS = 100


@dataclass
class _Session:
    """When each event last began; when a person's last act that renews each part began or ended;
    and when one last changed each part's value, be it by choosing it."""

    began: dict[int, int] = field(default_factory=dict)
    acting: dict[int, int] = field(default_factory=dict)  # when the last act on a part began
    acted: dict[int, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Act:
    """What somebody does: the parts that it ``renews``, and those whose values it ``changes``."""

    renews: Sequence[int] = ()
    changes: Sequence[int] = ()

    def mark(self, of: _Session, number: int) -> None:
        of.acted.update(dict.fromkeys(self.renews, number))
        of.changed.update(dict.fromkeys(self.changes, number))


NO_ACT = Act()


class Order:
    """What happened on each tab, in order."""

    def __init__(self, limit: int = SESSIONS) -> None:
        self._limit = limit
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, session: str, event: int, act: Act = NO_ACT) -> int:
        """``event`` begins, which may be an ``act``; returns its number."""
        with self._lock:
            number = next(self._numbers)
            of = self._of(session)
            of.began[event] = number
            act.mark(of, number)
            of.acting.update(dict.fromkeys(act.renews, number))
            return number

    def fail(self, session: str, event: int, number: int) -> None:
        """``event`` has no answer: the one before may count."""
        with self._lock:
            of = self._of(session)
            if of.began.get(event) == number:
                del of.began[event]

    def end(self, session: str, act: Act) -> None:
        """An act is over: a look that began meanwhile may have been asked with older values."""
        with self._lock:
            act.mark(self._of(session), next(self._numbers))

    @contextmanager
    def turn(self, session: str, event: int, act: Act) -> Iterator[int]:
        """``event`` from its begin to its end; gives its number."""
        number = self.begin(session, event, act)
        try:
            yield number
        except BaseException:
            self.fail(session, event, number)
            raise
        self.end(session, act)

    def again(self, session: str, event: int, number: int) -> bool:
        """Whether ``event`` began again after it did as ``number``."""
        with self._lock:
            return self._of(session).began.get(event, 0) > number

    def overtaken(
        self, session: str, number: int, asked: Sequence[int], parts: Sequence[int]
    ) -> list[bool]:
        """Of each of ``parts``, whether an act on it began after ``number``; or was at work then,
        and one has changed what was ``asked``. Else what was found is the newer."""
        with self._lock:
            of = self._of(session)
            is_old = any(of.changed.get(part, 0) > number for part in asked)
            last = of.acted if is_old else of.acting
            return [last.get(part, 0) > number for part in parts]

    def _of(self, session: str) -> _Session:
        of = self._sessions.setdefault(session, _Session())
        self._sessions.move_to_end(session)
        while len(self._sessions) > self._limit:
            self._sessions.popitem(last=False)
        return of


def in_order(page: gr.Blocks) -> None:
    """Have no event of ``page`` lose a choice, or undo one.

    Every choice is asked at once, and of several answers the last one counts. A look leaves alone
    what a newer look renews, and what an act does that has changed what the look was asked with.

    Raises:
        ValueError: two events of one trigger are "always_last".
    """
    order = Order()
    deferring: Counter[tuple[int | None, str]] = Counter()
    for event in page.fns.values():
        if event.api_visibility != "private" or event.fn is None:
            continue
        is_act = _is_act(page, event)
        if is_act and {name for _, name in event.targets} == {"input"} and not _has_data(event):
            # What answers nothing is kept somewhere: one after the other, or the older one stays.
            event.trigger_mode = "multiple" if event.outputs else "always_last"
        if event.trigger_mode == "always_last":
            deferring.update(event.targets)
        if event.outputs:
            event.fn = _ordered(event.fn, order, event, acts=is_act)
    twice = [page.blocks[part] for (part, _), count in deferring.items() if count > 1 and part]
    if twice:
        raise ValueError(f"{twice} have two events of one trigger that wait for each other.")


def _is_act(page: gr.Blocks, event: Any) -> bool:
    """Whether a person does it, or it follows from that; a tab that is chosen only looks."""
    if event.trigger_after is not None:
        return _is_act(page, page.fns[event.trigger_after])
    return any(
        name in ACTS or (name == "select" and not isinstance(page.blocks.get(part), gr.Tab))
        for part, name in event.targets
    )


def _has_data(event: Any) -> bool:
    """Whether each of its kind tells something of its own: no later one stands for it."""
    declared = inspect.signature(event.fn, eval_str=True).parameters.values()
    return any(
        inspect.isclass(one.annotation) and issubclass(one.annotation, gr.EventData)
        for one in declared
    )


def _session() -> str:
    request = LocalContext.request.get(None)
    return (request.session_hash if request else None) or ""


def _ordered(run: Callable[..., Any], order: Order, event: Any, acts: bool) -> Callable[..., Any]:
    """``run``, whose answer holds only what nothing later renews."""
    parts, asked = ([part._id for part in some] for some in (event.outputs, event.inputs))
    chosen = [part for part, _ in event.targets if part is not None]
    act = Act(parts, [*parts, *chosen]) if acts else NO_ACT

    def kept(session: str, number: int, found: Any) -> Any:
        late = [order.again(session, event._id, number)] * len(parts)
        if not acts and not any(late):
            late = order.overtaken(session, number, asked, parts)
        if not any(late):
            return found
        values = [found] if len(parts) == 1 else list(found)
        shown = [gr.skip() if old else value for old, value in zip(late, values, strict=True)]
        return shown[0] if len(parts) == 1 else shown

    @functools.wraps(run)
    def ordered(*values: Any) -> Any:
        session = _session()
        with order.turn(session, event._id, act) as number:
            found = run(*values)
        return kept(session, number, found)

    @functools.wraps(run)
    async def ordered_later(*values: Any) -> Any:
        session = _session()
        with order.turn(session, event._id, act) as number:
            found = await run(*values)
        return kept(session, number, found)

    return ordered_later if inspect.iscoroutinefunction(run) else ordered
