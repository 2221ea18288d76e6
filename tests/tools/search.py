"""Looks for what the suite doesn't: the same searches, from a seed that nobody tried.

``python -m tests.tools.search [--rounds N] [--start N]`` sends a running page senseless calls, with
values that hypothesis draws anew, and then runs the suite's property tests with fresh seeds. It
prints a round's seed and what failed there; 1 is its exit code then.

The suite itself is no lottery: its seeds are fixed, and what was found here becomes an example
there, in ``FOUND`` of tests/support/fuzzed.py or as ``@example`` beside the property.
"""

import argparse
import json
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from engine.home import PROJECT
from tests.support.fuzz import CALLS, Told, fuzz
from tests.support.fuzzed import SAVED

POOL = 600  # values a round


def drawn(start: int) -> list[Any]:
    """JSON of all kinds, drawn from ``start``."""
    found: list[Any] = []
    text = st.text(st.characters(), max_size=30)
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | text
    many = st.recursive(
        leaf, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=12
    )

    @seed(start)
    @settings(
        max_examples=POOL,
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(many)
    def keep(value: Any) -> None:
        found.append(value)

    keep()
    return found[:POOL]


def failed(told: Told) -> bool:
    return bool(told.ours or told.faults or told.leaks or told.broken or not told.serves)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--calls", type=int, default=CALLS)
    options.add_argument("--start", type=int, help="the first round's seed; left out, it is drawn")
    options.add_argument("--log", type=Path, help="where the last round's page log is kept")
    options.add_argument("--save", action="store_true", help="keep the values for the suite")
    given_ = options.parse_args()
    start = secrets.randbelow(2**31) if given_.start is None else given_.start
    if given_.save:
        SAVED.write_text(json.dumps(drawn(start)) + "\n", encoding="utf-8")
        return 0
    wrong = False
    for number in range(start, start + given_.rounds):
        with tempfile.TemporaryDirectory() as folder:
            told = fuzz(given_.calls, Path(folder), number, drawn(number))
            if given_.log:
                given_.log.write_bytes((Path(folder) / "serve.log").read_bytes())
        sys.stdout.write(json.dumps({"start": number, **vars(told)}, indent=1) + "\n")
        wrong = wrong or failed(told)
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "not starts", "tests/engine", "tests/ui"]
    searched = subprocess.run(
        [*pytest, "--hypothesis-profile=search", f"--hypothesis-seed={start}"], cwd=PROJECT
    )
    return int(wrong or searched.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
