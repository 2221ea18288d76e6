"""The logs: files that rotate, a job's number on its lines, and prompts only when asked for.

``HEADROOM_LOG=debug`` writes everything, prompts too; without it a prompt, and a file's name that
has its words in it, never reaches a file or the terminal, not even inside somebody else's error.
"""

import json
import logging
import os
import re
from contextvars import ContextVar
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from engine.console import one_line

LEVEL = "HEADROOM_LOG"
BYTES, KEPT = 1_000_000, 3  # of one file, and how many older ones
FORM = "%(asctime)s %(levelname)s %(name)s: %(job)s%(message)s"
SHORTEST = 4  # shorter prompts would be found within other words
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


class Form(logging.Formatter):
    """A line with its job's number, without its prompt. Whatever words a line quotes, it stays one:
    no name of a file can make it two, or end a traceback's lines, which are indented."""

    def format(self, record: logging.LogRecord) -> str:
        now = _about.get()
        record.job = f"job {now.job}: " if now is not None else ""
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


def to_file(path: Path) -> RotatingFileHandler:
    """Everything from INFO on goes to ``path`` from now on, which is kept small."""
    handler = RotatingFileHandler(
        path, maxBytes=BYTES, backupCount=KEPT, encoding="utf-8", delay=False
    )
    handler.setFormatter(Form(FORM))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(min(root.level or logging.WARNING, logging.INFO))
    logging.getLogger("headroom").setLevel(logging.DEBUG if debugging() else logging.INFO)
    return handler


def to_terminal() -> None:
    """Warnings for whoever started the program."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(Form("%(levelname)s %(name)s: %(job)s%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
