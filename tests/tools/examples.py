"""What the commands print, for docs/commands.md: ``python -m tests.tools.examples --write``.

Every ``<!-- example: COMMAND -->`` gets what app.py prints for it in a fresh folder, in the order
of the page; without ``--write`` they are printed. ``shape`` is what a test compares of two runs.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from engine.home import PROJECT

PAGE = PROJECT / "docs" / "commands.md"
BLOCK = re.compile(r"<!-- example: (.+?) -->\n(.*?)<!-- example ends -->", re.DOTALL)
SERVE_SECONDS = 120.0
# What ends the example of a command that goes on until Ctrl-C.
LASTING = {"serve": r"http://\S+\s", "join": r"No machine answers at .*\n"}


def documented() -> dict[str, str]:
    """Command and what the page says that it prints."""
    found = {}
    for command, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        fenced = re.search(r"^```\w*\n\$ [^\n]*\n(.*?)^```$", block, re.DOTALL | re.MULTILINE)
        found[command] = fenced[1] if fenced else ""
    return found


def fresh(folder: Path, but: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """The same, run now, one after the other: later ones see what earlier ones made.

    Args:
        but: commands that aren't run.
    """
    home = folder / "Headroom"
    for command in documented():
        if command in but:
            continue
        name = command.split()[0]
        lasts = LASTING.get(name)
        text = _until(command, home, lasts) if lasts else _printed(command, home, folder)
        yield command, text.replace(str(home), "~/Headroom").replace(str(folder), "~")


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
    return {
        **kept,
        "HEADROOM_HOME": str(home),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "TZ": "UTC",
    }


def _printed(command: str, home: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, PROJECT / "app.py", *shlex.split(command)],
        cwd=folder,
        env=_environment(home),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _until(command: str, home: Path, happened: str) -> str:
    """What a command that lasts says until ``happened``."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "said").open("w+b") as said:
        program = [sys.executable, str(PROJECT / "app.py"), *shlex.split(command)]
        process = subprocess.Popen(
            program, env=_environment(home), stdin=subprocess.PIPE, stdout=said, stderr=said
        )
        assert process.stdin is not None
        process.stdin.write(b"a token\n")  # what join asks for
        process.stdin.close()
        deadline = time.monotonic() + SERVE_SECONDS
        try:
            while time.monotonic() < deadline and process.poll() is None:
                text = (home / "said").read_text(encoding="utf-8")
                if re.search(happened, text):
                    return text
                time.sleep(0.1)
            raise RuntimeError(f"{command} didn't come so far: {text}")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def shape(text: str) -> object:
    """What two machines agree on: of JSON its names, of lines how each begins; no numbers, nor how
    many rows of a table there was time for, nor which was chosen."""
    try:
        return _names(json.loads(text))
    except ValueError:
        lines = [re.sub(r"[\d.,:-]+", "#", line) for line in text.splitlines() if line.strip()]
        begins = [
            re.split(r"\s{2,}|:|(?<=\w) ", line.lstrip("✓ "), maxsplit=1)[0] for line in lines
        ]
        return [kind for kind, _ in groupby(begins)]


def _names(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _names(part) for name, part in value.items()}
    return [_names(value[0])] if isinstance(value, list) and value else None


def looks_as_told(command: str, printed: str) -> bool:
    return shape(documented()[command]) == shape(printed)


def write(answers: dict[str, str]) -> None:
    def filled(match: re.Match[str]) -> str:
        command, text = match[1], answers[match[1]].rstrip("\n")
        begin, end = f"<!-- example: {command} -->", "<!-- example ends -->"
        return f"{begin}\n```console\n$ ./launch.sh {command}\n{text}\n```\n{end}"

    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(filled, text), encoding="utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        answers = {}
        for command, text in fresh(Path(name)):
            sys.stdout.write(f"$ {command}\n{text}\n")
            answers[command] = text
    if "--write" in sys.argv[1:]:
        write(answers)


if __name__ == "__main__":
    main()
