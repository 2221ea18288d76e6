"""Holds the locks against the known vulnerabilities: ``python -m tests.tools.audit``, a step of CI.

pip-audit says "No known vulnerabilities found" also where its service answered for no package at
all; here that is told as what it is. What was found fails, unless audit_allowed.txt has a reason.
"""

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.home import PROJECT

FILES = ("requirements.txt", "requirements-test.txt", "requirements-gpu.txt")
ALLOWED = PROJECT / "tests/tools/audit_allowed.txt"
MINUTES = 5.0
LONGEST_ALLOWED = datetime.timedelta(days=180)  # then somebody looks again


@dataclass(frozen=True)
class Allowed:
    """A vulnerability that somebody looked at: it doesn't reach us, or there is no remedy yet."""

    id: str
    package: str
    reviewed: datetime.date
    reason: str


@dataclass
class Audit:
    """``found``: package, version and id of what isn't allowed; ``silent``: packages of which the
    service says nothing."""

    audited: int = 0
    silent: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)


Run = Callable[[str], str]


class Unreachable(Exception):
    """The service, or the tool, gave no answer."""


def read_allowed(text: str) -> list[Allowed]:
    """Raises ValueError for a line without all of its parts."""
    entries = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+) (\S+) (\d{4}-\d\d-\d\d) (\S.{19,})", line.strip())
        if match is None:
            raise ValueError(f"not ID PACKAGE YYYY-MM-DD REASON (of 20 characters or more): {line}")
        date = datetime.date.fromisoformat(match[3])
        entries.append(Allowed(match[1], match[2].lower(), date, match[4]))
    return entries


def judge(
    answers: Iterable[Mapping[str, Any]], allowed: Sequence[Allowed], today: datetime.date
) -> Audit:
    """What pip-audit's JSON says, by the list."""
    told = Audit()
    seen: set[str] = set()
    for answer in answers:
        for package in answer["dependencies"]:
            name = str(package["name"]).lower()
            known = f"{name} {package.get('version', '')}".strip()
            if known in seen:
                continue
            seen.add(known)
            if "skip_reason" in package:
                told.silent.append(name)
                continue
            told.audited += 1
            for flaw in package["vulns"]:
                names = {flaw["id"], *flaw.get("aliases", ())}
                entry = next((a for a in allowed if a.id in names and a.package == name), None)
                text = (
                    f"{known}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'none'}"
                )
                if entry is None:
                    told.found.append(text)
                elif today - entry.reviewed > LONGEST_ALLOWED:
                    told.found.append(f"{text} (allowed on {entry.reviewed}: look again)")
                else:
                    told.allowed.append(f"{text}: {entry.reason}")
    return told


def pip_audit(file: str) -> str:
    """Its JSON for one lock.

    Raises:
        Unreachable: there is none.
    """
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        file,
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "30",
    ]
    try:
        done = subprocess.run(
            command, cwd=PROJECT, capture_output=True, text=True, timeout=60 * MINUTES
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"no answer in {MINUTES:.0f} minutes") from error
    if done.returncode not in (0, 1) or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        if "No module named" in last:  # the tool itself is missing: that is our fault
            raise SystemExit(f"pip-audit isn't installed: {last}")
        raise Unreachable(last[:200])
    return done.stdout


def main(run: Run = pip_audit, allowed: str | None = None) -> int:
    """0 where nothing was found, or nobody could say; 1 where something was."""
    entries = read_allowed(ALLOWED.read_text(encoding="utf-8") if allowed is None else allowed)
    try:
        answers = [json.loads(run(file)) for file in FILES]
    except (Unreachable, ValueError) as error:
        say(f"not audited: service unreachable ({error})")
        return 0
    told = judge(answers, entries, datetime.date.today())
    for line in told.allowed:
        say(f"allowed: {line}")
    for line in told.found:
        say(f"VULNERABLE: {line}")
    if told.found:
        say(
            "Move to a fixed version (python -m engine.install.lock), or allow it with a reason in "
            f"{ALLOWED.relative_to(PROJECT)}."
        )
        return 1
    if told.audited == 0:
        say(f"not audited: service unreachable (it knows none of {len(told.silent)} packages)")
        return 0
    unknown = f"; not audited: {', '.join(sorted(told.silent))}" if told.silent else ""
    say(f"audited: {told.audited} packages without a known vulnerability{unknown}")
    return 0


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
