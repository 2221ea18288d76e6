"""The one way to the terminal, for people's lines and programs' JSON; set-up uses it, too.

What is said has words of others in it: prompts, names of files and processes, receipts, a hub's
answers. A terminal obeys control characters, a console may lack letters, and whoever counts lines
counts newlines; so all of that is settled here. Standard library only.
"""

import argparse
import json
import math
import re
import sys
from typing import IO, Any, NoReturn

# C0 and C1 with DEL; the soft hyphen, marks and overrides of direction (which show a line in
# another order than it is written), line and paragraph separators, tags, byte order marks, and
# halves of characters. Joiners stay: emoji and several scripts are written with them.
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
_UNSAFE_IN_JSON = re.compile(f"(?!\n){UNSAFE.pattern}")  # a newline is JSON's own; texts have none


def one_line(text: object) -> str:
    """``text`` as one line that a terminal only shows: what it would obey is written as Python
    writes it."""
    return UNSAFE.sub(as_written, str(text))


def as_written(found: re.Match[str]) -> str:
    """One character, as Python writes it. A half one is a byte of a file's name that isn't UTF-8
    (PEP 383), and stands for that: ``\\xe4``."""
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(found[0])[1:-1]


def say(text: object) -> None:
    """A line for a person on stderr: stdout belongs to results."""
    put(sys.stderr, f"{one_line(text)}\n")
    sys.stderr.flush()


def tell(*lines: object) -> None:
    """A result for a person, on stdout, a line each."""
    put(sys.stdout, "".join(f"{one_line(line)}\n" for line in lines))


def tell_json(value: object) -> None:
    """The result for a program: one JSON object on stdout, in UTF-8 where stdout has that, else in
    ASCII. A number that JSON doesn't know is null."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    except ValueError:
        text = json.dumps(_numbers(value), ensure_ascii=False, indent=1)
    text = _UNSAFE_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n"
    if (sys.stdout.encoding or "").lower().replace("_", "-") not in ("utf-8", "utf8"):
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # whoever calls from within Python has put something else there
        sys.stdout.write(text)
        return
    sys.stdout.flush()
    binary.write(text.encode())
    binary.flush()


def put(stream: IO[str], text: str) -> None:
    """``text`` of our own, with what it quotes made ``one_line``. A console that lacks a letter
    shows a question mark: it must not end what was to be said."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding, "replace"))


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Parser(argparse.ArgumentParser):
    """A command line whose mistakes quote what was typed, and whose help any console shows."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        put(file or sys.stderr, message)
