"""What a container, a service or a session may take of the machine: Linux's control groups.

A group's limits hold for all below it, so each level from ours up to the top of what can be seen
counts. Versions 1 and 2 may be mounted side by side, each with some of the controllers (cgroups(7);
the kernel's admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).

Standard library only: set-up uses it as well.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path("/")
UNLIMITED = 1 << 62


@dataclass(frozen=True)
class GroupMemory:
    """Bytes. ``available``: what may be taken yet, with the files' cache that would be given back.
    None: no group limits it."""

    total: int | None = None
    available: int | None = None
    swap_total: int | None = None
    swap_free: int | None = None


@dataclass(frozen=True)
class _Level:
    """A group's folder, of version 1 or 2."""

    folder: Path
    version: int

    def number(self, name: str) -> int | None:
        """The file's number; None where there is none ("max"), or it can't be read."""
        words = self._text(name).split()
        return _limit(int(words[0])) if words and words[0].isdecimal() else None

    def words(self, name: str) -> list[str]:
        return self._text(name).split()

    def table(self, name: str) -> Mapping[str, int]:
        pairs = (line.split() for line in self._text(name).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def memory(root: Path = ROOT) -> GroupMemory:
    """The smallest of all levels, as it is now; whoever has less RAM than that isn't limited.

    Args:
        root: where /proc and /sys are.
    """
    seen = [
        _memory_v2(level) if level.version == 2 else _memory_v1(level)
        for level in _levels(root, "memory")
    ]
    return GroupMemory(
        _smallest(*(group.total for group in seen)),
        _smallest(*(group.available for group in seen)),
        _smallest(*(group.swap_total for group in seen)),
        _smallest(*(group.swap_free for group in seen)),
    )


def cores(root: Path = ROOT) -> int | None:
    """How many cores may be used at once: by the set of processors and by the quota, of which a
    part counts as a whole one; None where nothing limits them."""
    found = [len(_set(level)) for level in _levels(root, "cpuset") if _set(level)]
    for level in _levels(root, "cpu"):
        if level.version == 2:
            quota, period = (*level.words("cpu.max"), "", "")[:2]
        else:
            quota = str(level.number("cpu.cfs_quota_us") or "")
            period = str(level.number("cpu.cfs_period_us") or "")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found.append(max(1, math.ceil(int(quota) / int(period))))
    return min(found, default=None)


# ---- memory ----------------------------------------------------------------------------------


def _memory_v2(level: _Level) -> GroupMemory:
    # Above "high" nobody is killed, but held up until hardly anything moves.
    limits = [level.number("memory.max"), level.number("memory.high")]
    stat = level.table("memory.stat")
    kept = sum(stat.get(n, 0) for n in ("inactive_file", "active_file", "slab_reclaimable"))
    swap, swapped = level.number("memory.swap.max"), level.number("memory.swap.current") or 0
    return _group(limits, level.number("memory.current"), kept, swap, swapped)


def _memory_v1(level: _Level) -> GroupMemory:
    stat = level.table("memory.stat")
    # "hierarchical" is the smallest of all above, also of those that a container can't see.
    limit = _smallest(
        level.number("memory.limit_in_bytes"), _limit(stat.get("hierarchical_memory_limit"))
    )
    both = _smallest(
        level.number("memory.memsw.limit_in_bytes"), _limit(stat.get("hierarchical_memsw_limit"))
    )
    kept = sum(stat.get(f"total_{n}", stat.get(n, 0)) for n in ("inactive_file", "active_file"))
    swap = None if both is None or limit is None else max(0, both - limit)
    swapped = stat.get("total_swap", stat.get("swap", 0))
    return _group([limit], level.number("memory.usage_in_bytes"), kept, swap, swapped)


def _group(
    limits: list[int | None], used: int | None, kept: int, swap: int | None, swapped: int
) -> GroupMemory:
    limit = _smallest(*limits)
    left = None if limit is None else max(0, limit - max(0, (used or 0) - kept))
    return GroupMemory(limit, left, swap, None if swap is None else max(0, swap - swapped))


def _limit(number: int | None) -> int | None:
    """Version 1 has the largest number of pages for "none"."""
    return None if number is None or number >= UNLIMITED else number


def _smallest(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


# ---- where a group's files are ---------------------------------------------------------------


@cache
def _levels(root: Path, controller: str) -> tuple[_Level, ...]:
    """Ours and all above it that can be seen, of each version that may have ``controller``. Looked
    up once: a process that runs is hardly ever moved, and this is asked four times a second."""
    found: list[_Level] = []
    for version, mount, path in _places(root, controller):
        folder = mount / path
        if not os.path.isdir(folder):  # seen from outside of our namespace
            folder = mount
        while True:
            found.append(_Level(folder, version))
            if folder == mount:
                break
            folder = folder.parent
    return tuple(found)


def _places(root: Path, controller: str) -> list[tuple[int, Path, str]]:
    """Version, mount point, and our group's path below it."""
    groups = dict[str, str]()
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(",") if number != "0" else [""]:
            groups[name] = path
    found = []
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        parts, told = fields.split(" "), rest.split(" ")
        kind, options = told[0], told[-1]
        if len(parts) < 5 or kind not in ("cgroup", "cgroup2"):
            continue
        name = "" if kind == "cgroup2" else controller
        if name in groups and (not name or name in options.split(",")):
            below = _below(groups[name], _plain(parts[3]))
            mount = root / _plain(parts[4]).lstrip("/")
            found.append((2 if kind == "cgroup2" else 1, mount, below))
    return found


def _below(path: str, mounted: str) -> str:
    """``path`` from the group that is mounted; a container may have its own mounted only."""
    if mounted != "/" and (path == mounted or path.startswith(f"{mounted}/")):
        path = path[len(mounted) :]
    elif mounted != "/":
        path = ""
    parts = [part for part in path.split("/") if part]
    return "" if ".." in parts else "/".join(parts)


def _plain(text: str) -> str:
    """A path as mountinfo has it, with its escapes (proc(5))."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _set(level: _Level) -> set[int]:
    """The processors of "0-3,8"; none where it isn't said."""
    name = "cpuset.cpus.effective" if level.version == 2 else "cpuset.effective_cpus"
    found: set[int] = set()
    for part in "".join(level.words(name)).split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (last.isdecimal() or not dash):
            found.update(range(int(first), int(last or first) + 1))
    return found
