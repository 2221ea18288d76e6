"""A text for an issue: what a stranger needs to help, and nothing that says who asks or for what.

No prompt, no path into somebody's home, no user's or computer's name. Who passes it on reads it
first: it is shown before it is copied.
"""

import contextlib
import getpass
import re
import socket
from pathlib import Path

from engine import VERSION
from engine.engine import Engine
from engine.errors import HeadroomError
from engine.install.installed import differing
from engine.jobs import Job, State
from engine.logs import without_prompts
from engine.machine.facts import Machine
from engine.machine.memory import MemorySample
from engine.presets import ModelPreset
from engine.process.console import one_line
from engine.units import gigabytes
from engine.worker.slot import worker_log

LINES = 50  # of each log
TAIL_BYTES = 64_000
SHORTEST_NAME = 3  # a shorter user's name would be found in words


def report(engine: Engine) -> str:
    """Markdown; every part that can't be had says why instead."""
    sample, machine = engine.look(), engine.machine()
    failed = last_failure(engine)
    status = engine.status()
    model = failed.request.model if failed else status.model
    preset = engine.presets.models.get(model, engine.presets.default)
    logs = [engine.home.logs / "page.log"]
    logs += [worker_log(engine.home, lane.name) for lane in engine.lanes]
    parts = [
        _part("Headroom's report", _versions(machine)),
        _part("Machine", [*_machine(machine, sample), *_lanes(engine)]),
        _part(f"Plan, {preset.id}", _plan(engine, preset)),
        _part("Verdict", _verdict(engine, preset)),
        _part("Engine", [f"state: {status.state.value}", f"notice: {status.notice or 'none'}"]),
        _part("Last failure", _failure(failed)),
        *[_log(file) for file in logs],
    ]
    prompts = {job.request.prompt for job in engine.jobs.recent()}
    return without_persons("\n".join(parts), engine.home.root, prompts)


def last_failure(engine: Engine) -> Job | None:
    """The job that failed last, of those that the page still knows."""
    return next(iter(engine.jobs.ended(1, State.FAILED)), None)


def without_persons(text: str, root: Path, prompts: set[str]) -> str:
    """``text`` without prompts, homes, and the names of user and computer.

    Args:
        root: Headroom's folder, which may lie anywhere.
    """
    text = without_prompts(text, *sorted(prompts, key=len, reverse=True))
    for folder, short in ((root, "[Headroom's folder]"), *_home()):
        if folder == Path(folder.anchor):
            continue
        for form in {str(folder), folder.as_posix(), str(folder).replace("\\", "\\\\")}:
            text = text.replace(form, short)
    # Another's home, or one that was reached through a link.
    text = re.sub(r"(/home/|/Users/|[A-Za-z]:\\+Users\\+)[^/\\\s'\":]+", "~", text)
    for name, short in _names():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", short, text, flags=re.IGNORECASE)
    return text


def _home() -> list[tuple[Path, str]]:
    try:
        return [(Path.home(), "~")]
    except RuntimeError:  # a container's user may have none
        return []


def _names() -> list[tuple[str, str]]:
    found = [
        (socket.gethostname(), "[computer]"),
        (socket.gethostname().split(".")[0], "[computer]"),
    ]
    with contextlib.suppress(OSError, KeyError, ImportError):  # a container may have no user
        found.append((getpass.getuser(), "[user]"))
    return [pair for pair in found if len(pair[0]) >= SHORTEST_NAME and pair[0] not in ("root",)]


def _part(title: str, lines: list[str]) -> str:
    return "\n".join([f"### {title}", "", *[f"- {one_line(line)}" for line in lines], ""])


def _versions(machine: Machine) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    other = "; ".join(differing()[:6]) or "none"
    return [
        f"Headroom {VERSION}, Python {machine.python}, {machine.system} {machine.architecture}",
        f"packages: {packages or 'none of those that make clips'}",
        f"not in their tested version: {other}",
    ]


def _machine(machine: Machine, sample: MemorySample) -> list[str]:
    host, gpu = sample.host, machine.gpu
    lines = [
        f"{machine.processor}, {machine.cores} cores",
        f"RAM {gigabytes(host.total)}, {gigabytes(host.available)} free",
    ]
    if gpu is None:
        return [*lines, f"GPU: none. {sample.problem}".strip()]
    return [*lines, f"GPU: {gpu.name}, {gigabytes(gpu.total)}, driver {gpu.driver}"]


def _lanes(engine: Engine) -> list[str]:
    """Of several cards each, and those that have no lane."""
    several = engine.lanes if len(engine.lanes) > 1 else ()
    lines = [f"lane {lane.name}: {lane.seat.title}, {lane.status.state.value}" for lane in several]
    return [*lines, *map(str, engine.left_out)]


def _plan(engine: Engine, preset: ModelPreset) -> list[str]:
    try:
        plan = engine.plan_for(preset.id)
    except HeadroomError as error:
        return [str(error)]
    return [f"{name}: {choice.value} ({choice.reason})" for name, choice in plan.items()]


def _verdict(engine: Engine, preset: ModelPreset) -> list[str]:
    size = engine.guard.rules(preset.id).baseline
    try:
        verdict = engine.guard.verdict(preset.id, size)
        rows = engine.guard.rows(preset.id)
    except HeadroomError as error:
        return [str(error)]
    lines = [f"{size}: {verdict.word.value}, {verdict.reason}", f"basis: {verdict.basis}"]
    for row in rows[-5:]:
        found = row.measurement
        peak = gigabytes(found.peak) if found.peaks else "no peak"
        lines.append(f"measured {found.size}: {found.outcome}, {peak} ({row.kind})")
    return lines


def _failure(job: Job | None) -> list[str]:
    if job is None:
        return ["none"]
    request = job.request
    return [
        f"job {job.id}: {job.kind} of {request.model}, {request.size}, try {job.attempts}",
        f"{job.note} {job.remedy}".strip(),
    ]


def _log(file: Path) -> str:
    return f"### {file.name}\n\n```\n{_tail(file)}\n```\n"


def _tail(file: Path) -> str:
    """The last lines, which hold no prompts but those of a time when everything was written."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - TAIL_BYTES))
            text = opened.read().decode("utf-8", "replace")
    except OSError as error:
        return f"({error.strerror or error})"
    lines = [one_line(line) for line in text.splitlines() if " DEBUG " not in line]
    return "\n".join(lines[-LINES:]).replace("```", "'''") or "(empty)"
