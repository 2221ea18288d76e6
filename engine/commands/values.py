"""What a value on the command line has to be; argparse tells what is refused, and ends with 2."""

import argparse
from pathlib import Path

from engine.machine.facts import LAST_PORT


def a_port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} isn't a port from 1 to {LAST_PORT}")
    return int(text)


def a_name(text: str) -> str:
    """An empty one is what a shell's variable that isn't set leaves: as a path it would be the
    folder that the program was started in."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the name is empty")
    return text


def a_path(text: str) -> Path:
    return Path(a_name(text))
