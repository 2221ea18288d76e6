"""The Containerfile against the rules of hadolint (their numbers stand beside them), and against
the project. No container engine runs where this is tested, so nothing here builds it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from engine.commands.main import _parser
from engine.home import PROJECT
from engine.install.__main__ import read_order
from engine.install.plan import FILES, HASHES

TEXT = (PROJECT / "Containerfile").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Instruction:
    word: str
    rest: str
    ignored: frozenset[str]


def instructions(text: str) -> list[Instruction]:
    """One for each, with its continued lines; a comment before it can name rules to ignore."""
    found: list[Instruction] = []
    ignored: frozenset[str] = frozenset()
    pending = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            if told := re.match(r"# hadolint ignore=([\w,]+)$", line):
                ignored = frozenset(told[1].split(","))
            continue
        pending += line.rstrip("\\") + " " if line.endswith("\\") else line
        if line.endswith("\\") or not pending.strip():
            continue
        word, _, rest = pending.strip().partition(" ")
        found.append(Instruction(word.upper(), re.sub(r"\s+", " ", rest.strip()), ignored))
        pending, ignored = "", frozenset()
    return found


Rule = Callable[[list[Instruction]], list[str]]


def runs(parts: list[Instruction]) -> list[str]:
    return [part.rest for part in parts if part.word == "RUN"]


def exec_form(rest: str) -> bool:
    try:
        return isinstance(json.loads(rest), list)
    except ValueError:
        return False


def commands(run: str) -> list[list[str]]:
    return [command.split() for command in re.split(r"&&|;|\|\|", run)]


def of(parts: list[Instruction], *words: str) -> list[str]:
    return [part.rest for part in parts if part.word in words]


def installs(parts: list[Instruction]) -> list[list[str]]:
    return [c for run in runs(parts) for c in commands(run) if c[:2] == ["apt-get", "install"]]


def unpinned_packages(parts: list[Instruction]) -> list[str]:
    found = []
    for part in parts:
        for command in commands(part.rest) if part.word == "RUN" else ():
            packages = [word for word in command[2:] if not word.startswith("-")]
            if command[:2] == ["apt-get", "install"] and "DL3008" not in part.ignored:
                found += [package for package in packages if "=" not in package]
    return found


def last_user(parts: list[Instruction]) -> list[str]:
    users = of(parts, "USER")
    return [] if users and users[-1].split(":")[0] not in ("root", "0") else ["root"]


def relative_copies(parts: list[Instruction]) -> list[str]:
    found, there = [], False
    for part in parts:
        there = there or part.word == "WORKDIR"
        if part.word == "COPY" and not there and not part.rest.split()[-1].startswith("/"):
            found.append(part.rest)
    return found


RULES: dict[str, Rule] = {
    "DL3000 WORKDIR is absolute": lambda p: [d for d in of(p, "WORKDIR") if not d.startswith("/")],
    "DL3002 the last USER isn't root": last_user,
    "DL3003 WORKDIR instead of cd": lambda p: [r for r in runs(p) if "cd" in r.split()],
    "DL3004 no sudo": lambda p: [r for r in runs(p) if "sudo" in r.split()],
    "DL3006 the image has a tag": lambda p: [i for i in of(p, "FROM") if ":" not in i],
    "DL3007 which isn't latest": lambda p: [i for i in of(p, "FROM") if ":latest" in i],
    "DL3008 packages are pinned, or the rule is ignored with a reason": unpinned_packages,
    "DL3009 the lists are deleted": lambda p: [
        r for r in runs(p) if "apt-get update" in r and "rm -rf /var/lib/apt/lists/*" not in r
    ],
    "DL3014 apt-get asks nothing": lambda p: [
        " ".join(c) for c in installs(p) if not {"-y", "--yes"} & set(c)
    ],
    "DL3015 nothing recommended": lambda p: [
        " ".join(c) for c in installs(p) if "--no-install-recommends" not in c
    ],
    "DL3020 COPY instead of ADD": lambda p: of(p, "ADD"),
    "DL3025 CMD and ENTRYPOINT in JSON": lambda p: [
        r for r in of(p, "CMD", "ENTRYPOINT") if not exec_form(r)
    ],
    "DL3045 COPY into a known folder": relative_copies,
    "DL4000 no MAINTAINER": lambda p: of(p, "MAINTAINER"),
    "DL4001 not both wget and curl": lambda p: (
        runs(p) if all(any(w in r.split() for r in runs(p)) for w in ("wget", "curl")) else []
    ),
    "DL4003 and DL4004 one CMD, one ENTRYPOINT": lambda p: [
        word for word in ("CMD", "ENTRYPOINT") if len(of(p, word)) > 1
    ],
    "DL4006 a pipe's failure counts": lambda p: [
        r for r in runs(p) if re.search(r"[^|]\|[^|]", r) and "pipefail" not in r
    ],
}


@pytest.mark.parametrize("rule", RULES)
def test_it_keeps_the_rule(rule: str) -> None:
    assert RULES[rule](instructions(TEXT)) == []


BROKEN = {
    "DL3000": "WORKDIR here",
    "DL3002": "USER root",
    "DL3003": "RUN cd /x && make",
    "DL3004": "RUN sudo true",
    "DL3006": "FROM debian",
    "DL3007": "FROM debian:latest",
    "DL3008": "RUN apt-get install -y gcc",
    "DL3009": "RUN apt-get update",
    "DL3014": "RUN apt-get install gcc",
    "DL3015": "RUN apt-get install -y gcc",
    "DL3020": "ADD a b",
    "DL3025": "CMD run me",
    "DL3045": "COPY a b",
    "DL4000": "MAINTAINER me",
    "DL4001": "RUN wget a && curl b",
    "DL4003": 'CMD ["a"]\nCMD ["b"]',
    "DL4006": "RUN a | b",
}


@pytest.mark.parametrize("number", BROKEN)
def test_each_rule_finds_its_fault(number: str) -> None:
    (rule,) = [rule for name, rule in RULES.items() if name.startswith(number)]
    assert rule(instructions(BROKEN[number])) != []


def test_what_it_copies_is_here_and_is_all_that_runs() -> None:
    copied: set[str] = set()
    for rest in of(instructions(TEXT), "COPY"):
        copied |= set(word for word in rest.split()[:-1] if not word.startswith("--"))
    assert all((PROJECT / name).exists() for name in copied)
    assert {HASHES, *(file for files in FILES.values() for file in files)} <= copied
    assert {"app.py", "launch.sh", "engine", "ui", "presets"} <= copied
    assert (PROJECT / "launch.sh").stat().st_mode & 0o111


def test_its_entry_is_the_programs_and_its_volume_the_programs_folder() -> None:
    parts = instructions(TEXT)
    launcher, *arguments = json.loads(of(parts, "ENTRYPOINT")[0])
    assert launcher == "./launch.sh"
    told = _parser().parse_args([*arguments, "--auth", "a:b"])
    assert told.host == "0.0.0.0"
    assert str(told.port) in of(parts, "EXPOSE")
    (home,) = re.findall(r"HEADROOM_HOME=(\S+)", " ".join(of(parts, "ENV")))
    assert json.loads(of(parts, "VOLUME")[0]) == [home]
    (target,) = of(parts, "ARG")
    (setup,) = [run for run in runs(parts) if "launch.sh" in run]
    words = setup.replace('"$TARGET"', target.partition("=")[2]).split()
    assert read_order(words[1:]).wish == "gpu"
    drivers = " ".join(of(parts, "ENV"))
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in drivers
