"""The logs: files that rotate, a job's number on its lines, and prompts only when asked for.

``HEADROOM_LOG=debug`` writes everything, prompts too; without it a prompt, and a file's name that
has its words in it, never reaches a file or the terminal, not even inside somebody else's error.
"""

import contextlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from engine.process.console import one_line, say

LEVEL = "HEADROOM_LOG"
BYTES, KEPT = 1_000_000, 3  # of one file, and how many older ones
FORM = "%(asctime)s %(levelname)s %(name)s: %(job)s%(message)s%(more)s"
SHORTEST = 4  # shorter prompts would be found within other words
SAME_SECONDS = 60.0  # within which one line of a kind is written
KINDS = 1000  # as many are remembered
OWN = ("engine.", "headroom")  # whose lines nobody outside can cause
PROMPT, CLIP = "[prompt]", "[clip]"

# A clip's name as library.clip_name makes it, or its still's; the engine's begin with a dot.
_NAMED = re.compile(r"(?<![\w.])(\d{5})-[^/\\'\"\n]*?-seed\d+(-\d+)?\.(mp4|jpg)")


@dataclass(frozen=True)
class About:
    """The job that this thread works on now."""

    job: int
    prompt: str = ""


_about: ContextVar[About | None] = ContextVar("about", default=None)


def about(job: int | None, prompt: str = "") -> None:
    """From now on this thread's lines are about ``job``; None: about none."""
    _about.set(None if job is None else About(job, prompt))


def debugging() -> bool:
    """Whether everything is to be written."""
    return os.environ.get(LEVEL, "").strip().lower() == "debug"


def without_prompts(text: str, *prompts: str) -> str:
    """``text`` without these prompts, however they are quoted, and without clips' names."""
    for prompt in prompts:
        forms = {prompt, repr(prompt)[1:-1], json.dumps(prompt)[1:-1], " ".join(prompt.split())}
        forms.add(one_line(prompt))
        for form in sorted(forms, key=len, reverse=True):
            if len(form.strip()) >= SHORTEST:
                text = text.replace(form, PROMPT)
    return _NAMED.sub(rf"\1-{CLIP}.\3", text)


class OneAMinute(logging.Filter):
    """One line a minute of a kind, and how many there were besides: whoever knocks at the door, or
    a fault that comes back each second, would rotate everything else away.

    A kind is what a line says, about which job. Of what others can cause (servers, libraries, the
    page's side), the values in it make no difference. One for each handler.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[object, ...], tuple[float | None, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if debugging() and record.name.startswith(OWN):
            return True
        kind, now = _kind(record), self._clock()
        with self._lock:
            written, more = self._seen.get(kind, (None, 0))
            if written is not None and now - written < SAME_SECONDS:
                self._seen[kind] = written, more + 1
                return False
            self._seen.pop(kind, None)
            self._seen[kind] = now, 0
            if len(self._seen) > KINDS:
                del self._seen[next(iter(self._seen))]
        record.more = f" ({more} more like it before)" if more else ""
        return True


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    own = record.name.startswith(OWN)
    said = record.getMessage() if own else str(record.msg)
    raised = record.exc_info[0] if record.exc_info else None
    return record.name, record.levelno, said.partition("\n")[0], raised, _about.get()


class Form(logging.Formatter):
    """A line with its job's number, without its prompt. Whatever words a line quotes, it stays one:
    no name of a file can make it two, or end a traceback's lines, which are indented."""

    def format(self, record: logging.LogRecord) -> str:
        now = _about.get()
        record.job = f"job {now.job}: " if now is not None else ""
        record.more = getattr(record, "more", "")
        text = super().format(record)
        if debugging():
            return text
        return without_prompts(text, *filter(None, [now.prompt if now is not None else ""]))

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        return _indented(super().formatStack(stack_info))


def _indented(lines: str) -> str:
    return "\n".join(f"  {one_line(line)}" for line in lines.split("\n"))


class LogFile(RotatingFileHandler):
    """A log that is made again when somebody removed it, or its folder. Where that can't be, its
    lines are lost, and that is said once."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path,
            maxBytes=BYTES,
            backupCount=KEPT,
            encoding="utf-8",
            delay=True,
            errors="backslashreplace",
        )
        self._lost = False
        self.follow()

    def follow(self) -> None:
        """Have the file open that its path means now."""
        try:
            if self.stream is not None and not os.path.exists(self.baseFilename):
                self.stream.close()
                self.stream = None
            if self.stream is None:
                Path(self.baseFilename).parent.mkdir(exist_ok=True)
                self.stream = self._open()
                self._lost = False
        except OSError as error:
            if not self._lost:
                self._lost = True
                with contextlib.suppress(OSError, ValueError):
                    why = error.strerror or str(error)
                    say(f"The log {self.baseFilename} can't be written: {why}.")

    def emit(self, record: logging.LogRecord) -> None:
        self.follow()
        if self.stream is not None:
            super().emit(record)


def to_file(path: Path) -> RotatingFileHandler:
    """Everything from INFO on goes to ``path`` from now on, which is kept small."""
    handler = LogFile(path)
    handler.setFormatter(Form(FORM))
    handler.addFilter(OneAMinute())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(min(root.level or logging.WARNING, logging.INFO))
    logging.getLogger("headroom").setLevel(logging.DEBUG if debugging() else logging.INFO)
    return handler


def to_terminal() -> None:
    """Warnings for whoever started the program."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(Form("%(levelname)s %(name)s: %(job)s%(message)s%(more)s"))
    handler.addFilter(OneAMinute())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
